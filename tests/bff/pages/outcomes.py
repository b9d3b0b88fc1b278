"""Every kind of outcome, and what a page must say of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from bff.errors import ERRORS, BffError, NotFound
from bff.model import Failed, Missing, Ok, Outcome, Reason
from bff.reads import ENRICHED, POPULAR
from bff.schemas.base import AnswerSchema
from bff.schemas.reading import reader
from tests.bff.schemas.validator import Validator

Json = dict[str, Any]


def checker(schema: type[AnswerSchema]) -> Callable[[Json], bool]:
    """Return what says whether a page is as documented."""
    return Validator(schema).is_valid


@dataclass(frozen=True)
class Planned:
    """A call that remembers what was planned."""

    upstream: str
    what: tuple[Any, ...]


class Tmdb:
    """Plans like the client, without one."""

    def __getattr__(self, name: str) -> Callable[..., Planned]:
        def planned(*args: Any) -> Planned:
            told = [dict(part) if isinstance(part, Mapping) else part for part in args]
            return Planned(type(self).__name__, (name, *told))

        return planned


class Users(Tmdb):
    """The same for the user service."""


def page_of(*numbers: int) -> Json:
    """Return a page of films as the client reads it."""
    raw = [{"id": number, "title": f"Film {number}"} for number in numbers]
    return reader(POPULAR.schema)({"results": raw, "total_results": len(numbers)})


def entry(number: int, **fields: Any) -> Json:
    """Return an entry of a collection as the client reads it."""
    return {
        "movie_id": number,
        "title": f"Film {number}",
        "poster_path": None,
        "release_date": None,
        "genres": [],
        "rating": None,
        "added_date": "2026-11-24T17:30:00Z",
        "progress": 0.5,
        "watched_date": None,
        "updated_date": None,
        **fields,
    }


def whole_film(number: int = 550) -> Json:
    """Return a film with its blocks as the client reads it."""
    blocks = {
        "credits": {"cast": [{"id": 1}], "crew": [{"id": 2}]},
        "reviews": {"total_results": 4},
        "similar": {"results": [{"id": 3}]},
        "recommendations": {"results": [{"id": 4}]},
    }
    return reader(ENRICHED.schema)({"id": number, "title": "Film", **blocks})


STALE = Failed("tmdb", Reason.TIMEOUT)
FAVORITES = {"favorites": [entry(1, rating=4)], "total": 1}
WATCHLIST = {"watchlist": [entry(2)], "total": 1}
HISTORY = {"history": [entry(1)], "total": 1}


def outcomes_of(value: Any) -> list[Outcome[Any]]:
    """Return every kind of outcome: fresh, stale, each way to fail, and missing."""
    return [
        Ok(value, 10.7, 50),
        Ok(value, 400.2, 0, STALE),
        *[Failed("x", reason, 3) for reason in Reason],
        Missing("x", "thing"),
    ]


def good(outcome: Outcome[Any]) -> bool:
    """Whether there is a value."""
    return isinstance(outcome, Ok)


def says(told: Json, outcome: Outcome[Any]) -> bool:
    """Whether a section tells its outcome."""
    expected: Json = {"status": "ok", "reason": None, "age": None, "retry_after": None}
    if isinstance(outcome, Failed):
        expected |= {"status": "unavailable", "reason": outcome.reason.value, "retry_after": 3}
    elif isinstance(outcome, Missing):
        expected |= {"status": "unavailable", "reason": "bad_response"}
    elif isinstance(outcome, Ok) and outcome.stale_because:
        expected |= {"status": "stale", "reason": "timeout", "age": 400}
    return told == expected


def raises_for(outcome: Outcome[Any], assemble: Callable[[], Json]) -> None:
    """Assert that a page without its required section raises that section's error."""
    with pytest.raises(BffError) as caught:
        assemble()
    if isinstance(outcome, Missing):
        assert isinstance(caught.value, NotFound)
    else:
        assert isinstance(outcome, Failed)
        assert type(caught.value) is ERRORS[outcome.reason]
