"""Fixtures of the end-to-end tests: real processes, shared by the tests of a session."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.stack import LIVE, SECRET, Stack


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
    with Stack(tmp_path_factory.mktemp("stack"), JWT_SECRET=SECRET) as stack:
        yield stack


@pytest.fixture
def stack(_shared_stack: Stack) -> Stack:
    """Return the stack that all tests share: no fault, no counts, the user service's sample data.

    It takes tokens of `as_user`. The BFF's cache is not emptied. A test that needs it cold, or
    other settings, makes a `Stack` of its own.
    """
    _shared_stack.reset()
    return _shared_stack
