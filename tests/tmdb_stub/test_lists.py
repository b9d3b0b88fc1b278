"""Lists and trending: their order, their dates, their pages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tmdb_stub.stub import Stub

Get = Callable[..., Any]
LISTS = ["popular", "top_rated", "now_playing", "upcoming"]


@pytest.mark.parametrize("name", LISTS)
def test_list_when_walked_then_has_every_film_once(get: Get, name: str) -> None:
    """The first and the last pages hold 20 and the rest, and the page behind is empty."""
    first = get(f"/movie/{name}")
    last = first["total_pages"]
    assert len(first["results"]) == 20
    assert last == -(-first["total_results"] // 20)
    rest = first["total_results"] - 20 * (last - 1)
    assert len(get(f"/movie/{name}", page=last)["results"]) == rest
    assert get(f"/movie/{name}", page=last + 1)["results"] == []
    pages = [get(f"/movie/{name}", page=page + 1) for page in range(min(last, 5))]
    ids = [film["id"] for page in pages for film in page["results"]]
    assert len(ids) == len(set(ids))


def test_popular_when_listed_then_is_sorted_by_popularity(get: Get) -> None:
    """The most popular film comes first."""
    values = [film["popularity"] for page in (1, 2, 3) for film in _page(get, "popular", page)]
    assert values == sorted(values, reverse=True)


def test_top_rated_when_listed_then_few_votes_do_not_win(get: Get) -> None:
    """The first page is of well-known, well-rated films."""
    films = _page(get, "top_rated", 1)
    assert "The Shawshank Redemption" in {film["title"] for film in films[:3]}
    assert all(film["vote_count"] >= 5000 and film["vote_average"] > 8 for film in films)


@pytest.mark.parametrize("name", ["now_playing", "upcoming"])
def test_dates_when_listed_then_every_film_lies_between_them(get: Get, name: str) -> None:
    """`dates` says between which days the films of the list came out; there are several pages."""
    first = get(f"/movie/{name}")
    assert first["total_pages"] >= 2
    low, high = first["dates"]["minimum"], first["dates"]["maximum"]
    for page in range(first["total_pages"]):
        assert all(low <= film["release_date"] <= high for film in _page(get, name, page + 1))


def test_upcoming_when_compared_then_begins_where_now_playing_ends(stub: Stub) -> None:
    """No film is in both lists."""
    assert stub.lists.now_playing_dates["maximum"] < stub.lists.upcoming_dates["minimum"]


def test_trending_when_windows_differ_then_the_order_does(get: Get) -> None:
    """Day and week are two orders of the same films, each the same at every call."""
    day = [film["id"] for film in get("/trending/movie/day")["results"]]
    week = [film["id"] for film in get("/trending/movie/week")["results"]]
    assert day != week
    assert len(set(day) & set(week)) > 5
    assert day == [film["id"] for film in get("/trending/movie/day")["results"]]


@pytest.mark.parametrize("kind", ["movie", "all", "person"])
def test_trending_when_listed_then_says_the_media_type(get: Get, kind: str) -> None:
    """Entries of trending say what they are."""
    expected = "person" if kind == "person" else "movie"
    for window in ("day", "week"):
        entries = get(f"/trending/{kind}/{window}")["results"]
        assert {entry["media_type"] for entry in entries} == {expected}


def test_trending_when_tv_then_is_empty(get: Get) -> None:
    """The catalogue has no series."""
    body = {"page": 1, "results": [], "total_pages": 0, "total_results": 0}
    assert get("/trending/tv/week") == body


def test_latest_when_asked_then_is_the_highest_id(get: Get, stub: Stub) -> None:
    """`latest` is the film that was added last, with what is known of it."""
    assert get("/movie/latest")["id"] == max(film.id for film in stub.catalogue.films)


def test_configuration_when_asked_then_images_are_the_stubs_own(get: Get) -> None:
    """The address of the images is the one under which the stub was reached."""
    images = get("/configuration")["images"]
    assert images["base_url"] == images["secure_base_url"] == "http://localhost/t/p/"


def _page(get: Get, name: str, page: int) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = get(f"/movie/{name}", page=page)["results"]
    return results
