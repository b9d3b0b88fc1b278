"""What every suite starts with: Python set up so that the time goes into the tests."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

# pytest makes every `assert` tell its values, which takes a second for the whole tree. It keeps
# what it made as bytecode, but not where PYTHONDONTWRITEBYTECODE keeps the tree free of that: so
# this process, and none that it starts, has a place of its own for bytecode outside of the tree.
if sys.dont_write_bytecode:
    sys.dont_write_bytecode = False
    sys.pycache_prefix = str(Path(__file__).resolve().parents[1] / "var" / "pycache")

# Modules, schemas and catalogues are hundreds of thousands of objects that live to the end. With
# Python's usual threshold they are looked through again and again: a tenth of the whole time.
gc.set_threshold(400_000, 50, 100)


def pytest_collection_finish() -> None:
    """Take what was imported for permanent; what the tests themselves leave is still found."""
    gc.freeze()


def pytest_unconfigure() -> None:
    """Find what the last tests left, and let Python end without looking for it again."""
    gc.collect()
    gc.freeze()
