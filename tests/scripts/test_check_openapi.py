"""scripts/check_openapi.py: what counts as a valid document."""

from __future__ import annotations

from typing import Any

import pytest

from scripts import check_openapi


def spec(**changes: Any) -> dict[str, Any]:
    """Return a small valid document with changes."""
    operation = {"summary": "List films", "responses": {"200": {"description": "The films"}}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "T", "version": "1"},
        "paths": {"/films": {"get": operation}},
    } | changes


def test_document_when_it_is_valid_then_there_is_no_fault() -> None:
    """A valid OpenAPI 3.1 document passes."""
    assert list(check_openapi.faults(spec())) == []


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        (spec(openapi="3.0.3"), "not 3.1"),
        (spec(info={"title": "T"}), "version"),
        (spec(paths={"/films": {"get": {"responses": {}}}}), "no summary"),
        (spec(paths={"/films/{id}": {"get": {"summary": "A", "responses": {}}}}), "id"),
    ],
)
def test_document_when_it_is_not_valid_then_the_fault_is_named(
    wrong: dict[str, Any], fault: str
) -> None:
    """Another version, a missing field, an undocumented operation or parameter is a fault."""
    assert fault in "; ".join(check_openapi.faults(wrong))
