"""What every suite starts with: Python set up so that the time goes into the tests."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent

# pytest makes every `assert` tell its values, which takes a second for the whole tree. It keeps
# what it made as bytecode, but not where PYTHONDONTWRITEBYTECODE keeps folders free of that: so
# this process, and none that it starts, keeps all bytecode in var/, which git ignores.
if sys.dont_write_bytecode:
    sys.dont_write_bytecode = False
    sys.pycache_prefix = str(TESTS.parent / "var" / "pycache")

# Modules, schemas and catalogues are hundreds of thousands of objects that live to the end, and
# Python would look through them again and again: a tenth of the whole time. Garbage waits for the
# end of a test, where a pause is not taken for an upstream's delay.
gc.disable()
GARBAGE = 1_000_000  # new objects that may wait


SLOW = {"browser", "clients", "deploy"}  # and what is end to end and not essential


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what ./run-tests.sh leaves to --all."""
    for item in items:
        room = item.path.relative_to(TESTS).parts[0]
        if room in SLOW or (room == "e2e" and item.get_closest_marker("essential") is None):
            item.add_marker("slow")


def pytest_collection_finish() -> None:
    """Take what was imported for permanent; what the tests themselves leave is still found."""
    gc.freeze()


def pytest_runtest_logfinish() -> None:
    """Throw away what the tests so far have left in circles."""
    if gc.get_count()[0] > GARBAGE:
        gc.collect(1)


def pytest_unconfigure() -> None:
    """Find what the last tests left, and let Python end without looking for it again."""
    gc.collect()
    gc.freeze()
