"""The documents' tables of failures are the one that the tests are made of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from scripts import failure_table


@pytest.mark.parametrize(
    ("document", "name", "table"), failure_table.DOCUMENTS, ids=["README", "behaviour"]
)
def test_document_when_the_table_changes_then_it_is_written_anew(
    document: Path, name: str, table: Callable[[], str]
) -> None:
    """`python -m scripts.failure_table --write` puts the present tables into the documents."""
    text = document.read_text()
    assert failure_table.written(text, name, table()) == text


def test_document_when_it_has_no_place_for_a_table_then_says_so() -> None:
    """A document without the two marks is an error, not silently left alone."""
    with pytest.raises(ValueError, match="failures:start"):
        failure_table.written("# A project\n", "failures", failure_table.failures())
