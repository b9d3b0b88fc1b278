"""bff/pages: every page over every combination of outcomes, without a thread or a socket."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from bff.errors import ERRORS, BffError, NotFound, UpstreamError
from bff.model import Failed, Missing, Ok, Outcome, Outcomes, Reason
from bff.pages import complete, feed, library, movie, search, sections
from bff.pages.marks import Marks
from bff.reads import ENRICHED, POPULAR
from bff.schemas import pages as schemas
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
    enriched = movie.plan(tmdb, users, "ann", 550, {})
    assert enriched["movie"] == Planned("Tmdb", ("enriched", 550, {}))
    assert list(enriched) == ["movie", "favorites", "watchlist", "history"]
    first = complete.plan(tmdb, users, "ann", params)
    assert first["popular"] == Planned("Tmdb", ("popular", params))
    assert first["trending"] == Planned("Tmdb", ("trending", {"language": "de"}))


def test_plan_recommended_when_favourites_are_known_then_it_asks_for_their_films() -> None:
    """Nothing is asked where the favourites are unknown or there are none."""
    tmdb: Any = Tmdb()
    params = {"page": "2", "language": "de"}

    planned = complete.plan_recommended(tmdb, {"favorites": Ok(FAVORITES)}, params)

    assert planned == {"1": Planned("Tmdb", ("recommendations", 1, {"language": "de"}))}
    nobody: Json = {"favorites": [], "total": 0}
    for outcome in (Ok(nobody), Failed("users", Reason.TIMEOUT), Missing("users", "x")):
        assert complete.plan_recommended(tmdb, {"favorites": outcome}, params) == {}


def test_required_when_it_failed_then_the_error_carries_upstream_and_wait() -> None:
    """The error of a required section is the one of its outcome."""
    with pytest.raises(UpstreamError) as caught:
        sections.required(Failed("tmdb", Reason.RATE_LIMITED, 9))

    assert (caught.value.upstream, caught.value.retry_after_s) == ("tmdb", 9)


def test_marks_when_the_favourites_are_empty_then_a_film_is_none_of_them() -> None:
    """An empty list is known: false and 0, not null."""
    nothing: Json = {"favorites": [], "watchlist": [], "total": 0}
    marks = Marks.of(Ok(nothing), Ok(nothing))

    assert marks.on(1) == {"is_favorite": False, "is_in_watchlist": False, "user_rating": None}
    assert (marks.favorites_count, marks.watchlist_count) == (0, 0)


def test_entry_when_the_caller_gives_something_then_it_wins_and_null_does_not() -> None:
    """What the body leaves out, or gives as null, is TMDB's."""
    found = {**whole_film(), "poster_path": "/tmdb.jpg"}

    made = library.entry({"movie_id": 550, "title": "Mine", "poster_path": None}, found)

    assert made == {
        "movie_id": 550,
        "title": "Mine",
        "poster_path": "/tmdb.jpg",
        "release_date": None,
        "genres": [],
    }


def test_find_when_the_film_is_not_there_then_it_is_none() -> None:
    """An entry is found by its film."""
    assert library.find([entry(1), entry(2)], 2) == entry(2)
    assert library.find([entry(1)], 2) is None
