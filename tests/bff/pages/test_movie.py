"""bff/pages/movie.py: the page of a film, over every combination of outcomes."""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any

import pytest

from bff.model import Ok, Outcomes
from bff.pages import movie
from bff.schemas import pages as schemas
from tests.bff.pages.outcomes import (
    Planned,
    Tmdb,
    Users,
    checker,
    entry,
    good,
    outcomes_of,
    raises_for,
    says,
    whole_film,
)


def test_film_page_when_outcomes_combine_then_each_shows_in_its_own_place() -> None:
    """The film is required; each part of the user's data stands and falls with its list."""
    valid = checker(schemas.EnrichedMovieSchema)
    watched = {"history": [entry(550, watched_date="2026-11-24T17:30:00Z")], "total": 1}
    lists = (
        outcomes_of(whole_film()),
        outcomes_of({"favorites": [entry(550, rating=4)], "total": 1}),
        outcomes_of({"watchlist": [entry(550)], "total": 1}),
        outcomes_of(watched),
    )
    for found, liked, planned, seen in itertools.product(*lists):
        if not good(found) and not (good(liked) and good(planned) and good(seen)):
            continue  # what else failed makes no difference to a page that fails
        outcomes: Outcomes = {
            "movie": found,
            "favorites": liked,
            "watchlist": planned,
            "history": seen,
        }
        if not good(found):
            raises_for(found, partial(movie.assemble, outcomes))
            continue
        page = movie.assemble(outcomes)
        assert valid(page)
        for name, outcome in (
            ("is_favorite", liked),
            ("user_rating", liked),
            ("added_to_favorites_date", liked),
            ("is_in_watchlist", planned),
            ("added_to_watchlist_date", planned),
            ("watched_date", seen),
            ("progress", seen),
        ):
            assert (page["user_data"][name] is not None) is good(outcome), name
        assert all(says(page["sections"][part], outcome) for part, outcome in outcomes.items())


@pytest.mark.parametrize("absent", list(itertools.product([True, False], repeat=4)))
def test_film_page_when_blocks_are_missing_then_only_they_are_null(
    absent: tuple[bool, ...],
) -> None:
    """A block that TMDB did not send is null, not empty."""
    parts = {
        "credits": ("cast", "crew"),
        "reviews": ("reviews_count",),
        "similar": ("similar_movies",),
        "recommendations": ("recommended_movies",),
    }
    gone = [name for name, is_absent in zip(parts, absent, strict=True) if is_absent]
    nothing = {name: Ok({name: [], "total": 0}) for name in ("favorites", "watchlist", "history")}

    page = movie.assemble({"movie": Ok({**whole_film(), **dict.fromkeys(gone)}), **nothing})

    for block, names in parts.items():
        for name in names:
            assert (page[name] is None) is (block in gone)
    assert not set(parts) & set(page)


def test_plan_when_the_film_is_planned_then_one_call_of_tmdb_brings_it() -> None:
    """The film and the three lists of the user."""
    tmdb: Any = Tmdb()
    users: Any = Users()

    planned = movie.plan(tmdb, users, "ann", 550, {})

    assert planned["movie"] == Planned("Tmdb", ("enriched", 550, {}))
    assert list(planned) == ["movie", "favorites", "watchlist", "history"]
