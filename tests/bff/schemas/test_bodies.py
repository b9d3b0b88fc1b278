"""bff/schemas/bodies.py: which values of a body are accepted, and which are refused."""

from __future__ import annotations

from typing import Any

import pytest
from marshmallow import Schema, ValidationError

from bff.schemas.bodies import (
    FavoriteChangeSchema,
    FavoriteEntrySchema,
    IdempotencySchema,
    ProgressSchema,
    WatchlistEntrySchema,
)

FILM = {"movie_id": 13}


def errors(schema: type[Schema], body: dict[str, Any]) -> list[str]:
    """Return the fields of a body that are refused."""
    try:
        schema().load(body)
    except ValidationError as error:
        return list(error.messages_dict)
    return []


GOOD: list[tuple[type[Schema], dict[str, Any]]] = [
    (FavoriteEntrySchema, {"movie_id": 2**31 - 1, "rating": 1, "title": "x" * 500}),
    (FavoriteEntrySchema, {"movie_id": 13.0, "rating": 5.0, "poster_path": None}),
    (FavoriteChangeSchema, {}),
    (WatchlistEntrySchema, {**FILM, "poster_path": "/a-b_c.jpg", "title": "😀"}),
    *((ProgressSchema, {"progress": value}) for value in (0, 0.5, 1)),
    *((IdempotencySchema, {"Idempotency-Key": key}) for key in ("", "x" * 255, "!~")),
    (IdempotencySchema, {"Another": "header"}),
]
BAD: list[tuple[type[Schema], str, tuple[Any, ...]]] = [
    (FavoriteEntrySchema, "movie_id", (0, -1, 2**31, 2**63, "550", 550.5, None, True, [], {})),
    (FavoriteEntrySchema, "rating", (0, 6, -1, 2.5, "5", True, [], {}, None)),
    (FavoriteEntrySchema, "title", ("", "x" * 501, 5, None, "nul\x00", "a\nb", "\ud800", [], {})),
    (
        FavoriteEntrySchema,
        "poster_path",
        ("", "no-slash", "/a b", "/x" * 150, 5, "/\n", "/a\n", []),
    ),
    (FavoriteEntrySchema, "planted", (1,)),
    (WatchlistEntrySchema, "rating", (5,)),  # a watchlist has no stars
    (ProgressSchema, "progress", (-0.1, 1.01, "x", None, [], {}, True, 1e300, float("nan"))),
    (
        IdempotencySchema,
        "Idempotency-Key",
        ("x" * 256, "ü", "tab\tkey", "two words", "a\r\nX-Planted: 1", "x\n"),
    ),
]


@pytest.mark.parametrize(("schema", "body"), GOOD)
def test_body_when_its_values_are_allowed_then_it_is_accepted(
    schema: type[Schema], body: dict[str, Any]
) -> None:
    """The bounds belong to what is allowed; what is optional may be left out."""
    assert errors(schema, body) == []


@pytest.mark.parametrize(("schema", "name", "values"), BAD)
def test_body_when_a_field_is_wrong_then_it_is_refused_and_named(
    schema: type[Schema], name: str, values: tuple[Any, ...]
) -> None:
    """Only the field that is wrong is named."""
    film = FILM if "movie_id" in schema().fields else {}
    for value in values:
        assert errors(schema, {**film, name: value}) == [name], value


def test_entry_when_the_film_is_missing_then_it_is_refused() -> None:
    """There is no entry without a film, and no history without progress."""
    assert errors(FavoriteEntrySchema, {"rating": 5}) == ["movie_id"]
    assert errors(ProgressSchema, {}) == ["progress"]
