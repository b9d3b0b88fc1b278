"""bff/schemas/library.py: the user service's lists, read as documented whatever they hold."""

from __future__ import annotations

from typing import Any

import pytest

from bff.schemas import library
from bff.schemas.base import AnswerSchema, Malformed
from bff.schemas.reading import reader


@pytest.mark.parametrize(
    ("schema", "name"),
    [
        (library.FavoritesSchema, "favorites"),
        (library.WatchlistSchema, "watchlist"),
        (library.HistorySchema, "history"),
    ],
)
def test_list_when_an_entry_is_broken_then_it_is_left_out(
    schema: type[AnswerSchema], name: str
) -> None:
    """An entry without a film is none; a list that is missing is a bad response."""
    entries: list[Any] = [{"movie_id": 1}, {"movie_id": "two"}, {}, None, {"movie_id": 3}]

    read = reader(schema)({name: entries, "total": 5})

    assert [entry["movie_id"] for entry in read[name]] == [1, 3]
    assert read[name][0]["title"] is None
    with pytest.raises(Malformed):
        reader(schema)({"total": 0})
