"""bff/pages/complete.py: the first screen, over every combination of outcomes."""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any

from bff.model import Failed, Missing, Ok, Outcome, Outcomes, Reason
from bff.pages import complete
from bff.schemas import pages as schemas
from tests.bff.pages.outcomes import (
    FAVORITES,
    HISTORY,
    STALE,
    WATCHLIST,
    Json,
    Planned,
    Tmdb,
    Users,
    checker,
    entry,
    good,
    outcomes_of,
    page_of,
    raises_for,
    says,
)


def test_complete_when_outcomes_combine_then_each_shows_in_its_own_place() -> None:
    """It fails only where not a single section could be had."""
    valid = checker(schemas.CompleteDashboardSchema)
    late, shut = Failed("x", Reason.TIMEOUT, 3), Failed("x", Reason.CIRCUIT_OPEN, 3)
    films = page_of(3, 4)
    for popular, trending, liked, planned, seen, recommended in itertools.product(
        outcomes_of(page_of(1, 2)),
        [Ok(films), Ok(films, 400.2, 0, STALE), late],
        [Ok(FAVORITES), late],
        [Ok(WATCHLIST), shut],
        [Ok(HISTORY), shut],
        outcomes_of(page_of(5, 2)),
    ):
        outcomes: Outcomes = {
            "popular": popular,
            "trending": trending,
            "favorites": liked,
            "watchlist": planned,
            "history": seen,
        }
        second: Outcomes = {"1": recommended} if good(liked) else {}
        if not any(good(part) for part in outcomes.values()):
            raises_for(popular, partial(complete.assemble, outcomes, second))
            continue
        page = complete.assemble(outcomes, second)
        assert valid(page)
        for name, outcome in outcomes.items():
            assert says(page["sections"][name], outcome), name
        stats = page["stats"]
        for value, outcome in (
            (page["popular_movies"], popular),
            (page["page"], popular),
            (page["total_pages"], popular),
            (page["trending_movies"], trending),
            (page["continue_watching"], seen),
            (stats["total_favorites"], liked),
            (stats["favorite_genres"], liked),
            (stats["total_watchlist"], planned),
            (stats["movies_watched"], seen),
        ):
            assert (value is not None) is good(outcome)
        judge_recommended(page, outcomes, recommended)


def judge_recommended(page: Json, outcomes: Outcomes, recommended: Outcome[Any]) -> None:
    """Assert that the recommended films are those of their sources, and their section true."""
    films, told = page["recommended_for_you"], page["sections"]["recommended"]
    assert (films is None) is (told["status"] == "unavailable")
    if not good(outcomes["favorites"]):
        assert films is None
    elif isinstance(recommended, Failed):
        assert (films, told["reason"]) == (None, recommended.reason.value)
    elif isinstance(recommended, Missing):
        assert (films is not None) is good(outcomes["trending"])
    else:
        unknown = not good(outcomes["watchlist"])
        assert [film["id"] for film in films] == ([5, 2] if unknown else [5])
        if told["status"] == "ok":
            whole = good(outcomes["watchlist"]) and good(outcomes["history"])
            assert (told["reason"] is None) is whole


def test_plan_recommended_when_favourites_are_known_then_it_asks_for_their_films() -> None:
    """Nothing is asked where the favourites are unknown or there are none."""
    tmdb: Any = Tmdb()
    users: Any = Users()
    params = {"page": "2", "language": "de"}
    first = complete.plan(tmdb, users, "ann", params)
    assert first["popular"] == Planned("Tmdb", ("popular", params))
    assert first["trending"] == Planned("Tmdb", ("trending", {"language": "de"}))

    planned = complete.plan_recommended(tmdb, {"favorites": Ok(FAVORITES)}, params)

    assert planned == {"1": Planned("Tmdb", ("recommendations", 1, {"language": "de"}))}
    nobody: Json = {"favorites": [], "total": 0}
    for outcome in (Ok(nobody), Failed("users", Reason.TIMEOUT), Missing("users", "x")):
        assert complete.plan_recommended(tmdb, {"favorites": outcome}, params) == {}


def page(**lists: Any) -> Json:
    """Return the page of a user with these lists; TMDB has nothing to say."""
    outcomes: Outcomes = {"popular": Ok(page_of()), "trending": Ok(page_of())}
    for name in ("favorites", "watchlist", "history"):
        outcomes[name] = Ok({name: lists.get(name, []), "total": len(lists.get(name, []))})
    return complete.assemble(outcomes, {})


def test_continue_watching_when_films_are_begun_then_the_latest_comes_first() -> None:
    """Begun and not finished, with progress; a film at 0.95 or at 0 is neither."""
    places = [(1, 0.4, 1), (2, 0.94, 3), (3, 0.95, 4), (4, 0, 5), (5, 0.2, 2), (6, 0.2, 6)]
    history = [
        entry(number, progress=progress, updated_date=f"2026-11-0{day}T10:00:00Z")
        for number, progress, day in places
    ]
    history[-1]["watched_date"] = "2026-11-01T10:00:00Z"  # watched once, and begun again

    made = page(history=history)

    shown = [(item["id"], item["progress"]) for item in made["continue_watching"]]
    assert shown == [(6, 0.2), (2, 0.94), (5, 0.2), (1, 0.4)]
    assert [item["is_favorite"] for item in made["continue_watching"]] == [False] * 4
    assert made["stats"]["movies_watched"] == 2


def test_stats_when_favourites_are_rated_then_mean_and_genres_follow() -> None:
    """The mean is of those with stars; genres by number, then by name, five at most."""
    names = {18: "Drama", 35: "Comedy", 53: "Thriller", 80: "Crime", 28: "Action", 12: "Adventure"}
    rated = [(5, (18, 35, 53)), (4, (18, 80, 28)), (None, (12, 35))]
    favorites = [
        entry(place, rating=stars, genres=[{"id": one, "name": names[one]} for one in genres])
        for place, (stars, genres) in enumerate(rated)
    ]

    stats = page(favorites=favorites)["stats"]

    assert stats["avg_rating"] == 4.5
    counts = [(genre["name"], genre["count"]) for genre in stats["favorite_genres"]]
    twice, once = ["Comedy", "Drama"], ["Action", "Adventure", "Crime"]
    assert counts == [*((name, 2) for name in twice), *((name, 1) for name in once)]
