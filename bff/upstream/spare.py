"""Keeping a package out of memory that a library loads in case it is needed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast


@contextmanager
def without(package: str) -> Iterator[None]:
    """Let what is imported meanwhile find no such package, unless it is loaded already.

    For imports at the top of a module, before there are threads. None in
    `sys.modules` is Python's own way to say that there is none.
    """
    if package in sys.modules:
        yield
        return
    modules = cast("dict[str, Any]", sys.modules)
    modules[package] = None
    try:
        yield
    finally:
        del modules[package]
