"""Lists and trending: their order, their dates, their pages."""

from __future__ import annotations

import pytest

from tests.tmdb_stub.conftest import Get
from tmdb_stub.stub import Stub


@pytest.mark.parametrize("name", ["popular", "top_rated", "now_playing", "upcoming"])
def test_list_when_walked_then_has_every_film_once(get: Get, name: str) -> None:
    """The first and the last pages hold 20 and the rest, and the page behind is empty."""
    first = get(f"/movie/{name}")
    last = first["total_pages"]
    assert len(first["results"]) == 20
    assert last == -(-first["total_results"] // 20) >= 2
    rest = first["total_results"] - 20 * (last - 1)
    assert len(get(f"/movie/{name}", page=last)["results"]) == rest
    assert get(f"/movie/{name}", page=last + 1)["results"] == []
    pages = [get(f"/movie/{name}", page=page + 1) for page in range(min(last, 5))]
    films = [film for page in pages for film in page["results"]]
    assert len(films) == len({film["id"] for film in films})
    if "dates" in first:
        low, high = first["dates"]["minimum"], first["dates"]["maximum"]
        assert all(low <= film["release_date"] <= high for film in films)
    if name == "popular":
        values = [film["popularity"] for film in films]
        assert values == sorted(values, reverse=True)
        assert len(get("/movie/popular", page=50)["results"]) == 20


def test_top_rated_when_listed_then_few_votes_do_not_win(get: Get) -> None:
    """The first page is of well-known, well-rated films."""
    films = get("/movie/top_rated")["results"]
    assert "The Shawshank Redemption" in {film["title"] for film in films[:3]}
    assert all(film["vote_count"] >= 5000 and film["vote_average"] > 8 for film in films)


def test_upcoming_when_compared_then_begins_where_now_playing_ends(stub: Stub) -> None:
    """No film is in both lists."""
    assert stub.lists.now_playing_dates["maximum"] < stub.lists.upcoming_dates["minimum"]


def test_trending_when_windows_differ_then_the_order_does(get: Get) -> None:
    """Day and week are two orders of the same films, each the same at every call."""
    day, week, again = (
        [film["id"] for film in get(f"/trending/movie/{window}")["results"]]
        for window in ("day", "week", "day")
    )
    assert day == again != week
    assert len(set(day) & set(week)) > 5


@pytest.mark.parametrize(
    ("kind", "said"),
    [("movie", {"movie"}), ("all", {"movie"}), ("person", {"person"}), ("tv", set())],
)
def test_trending_when_listed_then_says_the_media_type(get: Get, kind: str, said: set[str]) -> None:
    """Entries of trending say what they are; the catalogue has no series."""
    for window in ("day", "week"):
        body = get(f"/trending/{kind}/{window}")
        assert {entry["media_type"] for entry in body["results"]} == said
        assert bool(body["total_results"]) is bool(said)


def test_latest_when_asked_then_is_the_highest_id(get: Get, stub: Stub) -> None:
    """`latest` is the film that was added last, with what is known of it."""
    assert get("/movie/latest")["id"] == max(film.id for film in stub.catalogue.films)
