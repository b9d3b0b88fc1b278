"""What holds for every test of the BFF."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tests.bff.app import logging_kept


@pytest.fixture(autouse=True)
def _logging() -> Iterator[None]:
    """Let pytest see the log, and leave the logger as it was, whatever app a test has built."""
    with logging_kept():
        logging.getLogger("bff").propagate = True
        yield
