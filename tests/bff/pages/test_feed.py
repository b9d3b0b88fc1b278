"""bff/pages/feed.py and search.py: films with marks, over every combination of outcomes."""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any

import pytest

from bff.model import Outcomes
from bff.pages import feed, search
from bff.schemas import pages as schemas
from tests.bff.pages.outcomes import (
    FAVORITES,
    WATCHLIST,
    Planned,
    Tmdb,
    Users,
    checker,
    good,
    outcomes_of,
    page_of,
    raises_for,
    says,
)


@pytest.mark.parametrize("kind", ["feed", "search"])
def test_list_page_when_outcomes_combine_then_each_shows_in_its_own_place(kind: str) -> None:
    """The films are required; marks and counts are null exactly where their list is unknown."""
    name = "movies" if kind == "feed" else "results"
    valid = checker(schemas.FeedSchema if kind == "feed" else schemas.EnrichedSearchSchema)
    make = feed.assemble if kind == "feed" else partial(search.assemble, query="q")
    for movies, liked, planned in itertools.product(
        outcomes_of(page_of(1, 2, 3)), outcomes_of(FAVORITES), outcomes_of(WATCHLIST)
    ):
        outcomes: Outcomes = {name: movies, "favorites": liked, "watchlist": planned}
        if not good(movies):
            raises_for(movies, partial(make, outcomes))
            continue
        page = make(outcomes)
        assert valid(page)
        assert all(says(page["sections"][part], outcome) for part, outcome in outcomes.items())
        first, second, third = page[name]
        assert first["is_favorite"] is (True if good(liked) else None)
        assert third["is_favorite"] is (False if good(liked) else None)
        assert first["user_rating"] == (4 if good(liked) else None)
        assert second["is_in_watchlist"] is (True if good(planned) else None)
        assert third["is_in_watchlist"] is (False if good(planned) else None)
        if kind == "feed":
            assert page["favorites_count"] == (1 if good(liked) else None)
            assert page["watchlist_count"] == (1 if good(planned) else None)


def test_plan_when_a_page_is_planned_then_every_section_is_named() -> None:
    """Plans name calls and make none; the parameters go to those that take them."""
    tmdb: Any = Tmdb()
    users: Any = Users()
    params = {"page": "2", "language": "de"}

    assert feed.plan(tmdb, users, "ann", params) == {
        "movies": Planned("Tmdb", ("popular", params)),
        "favorites": Planned("Users", ("favorites", "ann")),
        "watchlist": Planned("Users", ("watchlist", "ann")),
    }
    assert search.plan(tmdb, users, "ann", params)["results"] == Planned("Tmdb", ("search", params))
