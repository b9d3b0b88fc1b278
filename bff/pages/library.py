"""A user's own collections: what a new entry is made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]


def given(body: Mapping[str, Any]) -> Json:
    """Return what the caller gave; a null gives nothing."""
    return {name: value for name, value in body.items() if value is not None}


def entry(body: Mapping[str, Any], film: Json) -> Json:
    """Return what the user service is to keep: what the caller gave, filled in from TMDB."""
    facts = {
        "title": film["title"],
        "poster_path": film["poster_path"],
        "release_date": film["release_date"],
        "genres": film["genres"],
    }
    return {**facts, **given(body)}


def find(items: list[Json], movie_id: int) -> Json | None:
    """Return the entry of a film, or None."""
    return next((item for item in items if item["movie_id"] == movie_id), None)
