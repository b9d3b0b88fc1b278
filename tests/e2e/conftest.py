"""Fixtures of the end-to-end tests: real processes, shared or of a test's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.e2e.stack import Stack

LIVE: list[Stack] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """Put the end of every running process's log into the report of a failed test."""
    report = yield
    if report.failed:
        for stack in LIVE:
            report.sections.append((f"processes of {stack.bff}", stack.logs()))
    return report


@pytest.fixture(scope="session")
def _shared_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("stack"))
    with stack:
        LIVE.append(stack)
        yield stack
        LIVE.remove(stack)


@pytest.fixture
def stack(_shared_stack: Stack) -> Stack:
    """Return the stack that all tests share: no fault, no counts, the user service's sample data.

    The BFF's cache is not emptied. A test that needs it cold, or other settings, or that ends a
    process, takes `make_stack`.
    """
    _shared_stack.reset()
    return _shared_stack


@pytest.fixture
def make_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Stack]]:
    """Return a function that starts a stack with settings of its own: make_stack(THREADS=2)."""
    made: list[Stack] = []

    def make(**settings: Any) -> Stack:
        stack = Stack(tmp_path_factory.mktemp("stack"), **settings)
        stack.start()
        made.append(stack)
        LIVE.append(stack)
        return stack

    yield make
    for stack in made:
        LIVE.remove(stack)
        stack.end()
