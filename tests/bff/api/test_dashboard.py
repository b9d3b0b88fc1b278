"""bff/api/dashboard.py: the four pages over the real stubs, from the request to the answer."""

from __future__ import annotations

import threading

import pytest

from tests.bff.api.test_identity import bearer, token
from tests.bff.fake_upstreams import Call, Upstream, film, films
from tests.contract.client import ContractClient

OK = {"status": "ok", "reason": None, "age": None, "retry_after": None}


def test_feed_when_all_is_well_then_films_carry_the_users_marks(
    client: ContractClient, tmdb: Upstream
) -> None:
    """Marks, counts and pages; every section is ok, and no header says otherwise."""
    tmdb.answers("/movie/popular", json=films(550, 680, 11, page=2, total_pages=9, total_results=3))

    response = client.get("/api/dashboard/feed?page=2")

    body = response.json
    marks = [
        (movie["id"], movie["is_favorite"], movie["is_in_watchlist"], movie["user_rating"])
        for movie in body["movies"]
    ]
    assert marks == [(550, True, False, 5), (680, False, True, None), (11, False, False, None)]
    assert (body["current_page"], body["total_pages"], body["total_results"]) == (2, 9, 3)
    assert (body["favorites_count"], body["watchlist_count"]) == (3, 2)
    assert body["sections"] == {"movies": OK, "favorites": OK, "watchlist": OK}
    assert "X-Degraded" not in response.headers


def test_feed_when_tmdb_sends_odd_films_then_only_clean_ones_are_shown(
    client: ContractClient, tmdb: Upstream
) -> None:
    """Broken, repeated and adult films are left out; an odd value becomes null or the default."""
    odd = film(1, release_date="", genre_ids=None, vote_average="8", poster_path=5, title=None)
    results = [odd, film(2, id="two"), None, 7, film(3, adult=True), film(4), film(4)]
    tmdb.answers("/movie/popular", json={**films(), "results": results})

    first, second = client.get("/api/dashboard/feed").json["movies"]

    clean = ("release_date", "genre_ids", "vote_average", "poster_path", "title")
    assert [first[name] for name in clean] == [None, [], 0.0, None, ""]
    assert second["id"] == 4


def test_film_page_when_all_is_well_then_one_call_of_tmdb_fills_it(
    client: ContractClient, tmdb: Upstream
) -> None:
    """Details, ten of cast and crew, six similar and recommended films, the user's data."""
    body = client.get("/api/dashboard/movie/550/enriched").json

    (call,) = tmdb.calls
    assert call.path == "/movie/550"
    blocks = {"credits", "reviews", "similar", "recommendations"}
    assert set(call.query["append_to_response"].split(",")) == blocks
    assert (body["title"], body["release_date"]) == ("Fight Club", "1999-10-15")
    assert 0 < len(body["cast"]) <= 10
    assert 0 < len(body["crew"]) <= 10
    assert len(body["similar_movies"]) == len(body["recommended_movies"]) == 6
    assert isinstance(body["reviews_count"], int)
    data = body["user_data"]
    assert (data["is_favorite"], data["user_rating"], data["is_in_watchlist"]) == (True, 5, False)
    assert data["added_to_favorites_date"]
    assert data["added_to_watchlist_date"] is data["watched_date"] is None


def test_film_page_when_tmdb_knows_no_such_film_then_it_is_404(client: ContractClient) -> None:
    """A page of an unknown film is not found."""
    assert client.get("/api/dashboard/movie/999999999/enriched").status_code == 404


def test_search_when_it_finds_films_then_they_carry_marks_and_the_query(
    client: ContractClient,
) -> None:
    """The query comes back with the results; nothing found is an answer too."""
    body = client.get("/api/dashboard/search/enriched?query=Fight%20Club").json
    nothing = client.get("/api/dashboard/search/enriched?query=zzzzqqqq").json

    first = body["results"][0]
    assert (body["query"], first["id"], first["is_favorite"]) == ("Fight Club", 550, True)
    assert (nothing["results"], nothing["total_results"]) == ([], 0)


def test_search_when_it_has_filters_then_tmdb_gets_them(
    client: ContractClient, tmdb: Upstream
) -> None:
    """Year, page, adult, language and region go to TMDB; words arrive as they were typed."""
    tmdb.answers("/search/movie", json=films())
    for text in ("a", "😀", "Amélie", "東京", "a&b=c#d", "100% wolf", "\u202eevil", "'; --"):
        query = {"year": "1999", "page": "3", "include_adult": "true", "language": "de"}
        sent = {"query": text, "region": "de", **query}
        body = client.get("/api/dashboard/search/enriched", query_string=sent).json
        assert body["query"] == text
        assert tmdb.calls[-1].query == {**sent, "region": "DE"}


def test_complete_when_all_is_well_then_every_part_is_there(
    client: ContractClient, tmdb: Upstream
) -> None:
    """The first screen from the sample of the demo user; only popular films have pages."""
    response = client.get("/api/dashboard/complete?page=2")

    body = response.json
    assert len(body["popular_movies"]) == len(body["trending_movies"]) == 12
    assert (body["page"], body["total_pages"] > 1) == (2, True)
    stats = body["stats"]
    assert (stats["total_favorites"], stats["total_watchlist"], stats["avg_rating"]) == (3, 2, 4.67)
    assert stats["favorite_genres"][0] == {"id": 18, "name": "Drama", "count": 3}
    assert len(body["recommended_for_you"]) == 12
    for movie in body["recommended_for_you"]:
        assert movie["id"] not in {550, 155, 13, 680, 27205}
        assert movie["because"]["kind"] == "favorite"
        assert movie["because"]["id"] in {550, 155, 13}
    assert "X-Degraded" not in response.headers
    paged = {call.path: call.query.get("page") for call in tmdb.calls}
    assert paged.pop("/movie/popular") == "2"
    assert set(paged.values()) == {None}


def test_recommended_when_there_are_no_favourites_then_trending_stands_in_labelled(
    client: ContractClient, tmdb: Upstream
) -> None:
    """A new user gets what trends, and is told so."""
    body = client.get("/api/dashboard/complete", headers=bearer(token({"sub": "new"}))).json

    recommended = body["recommended_for_you"]
    assert [it["id"] for it in recommended] == [it["id"] for it in body["trending_movies"]]
    label = {"kind": "trending", "id": None, "title": None}
    assert all(movie["because"] == label for movie in recommended)
    assert not tmdb.asked("/movie/*/recommendations")
    zero = dict.fromkeys(("total_favorites", "total_watchlist", "movies_watched"), 0)
    assert body["stats"] == {**zero, "avg_rating": None, "favorite_genres": []}


@pytest.mark.parametrize(("status", "reason"), [(500, "upstream_error"), (404, None)])
def test_recommended_when_one_favourite_fails_then_the_others_recommend(
    client: ContractClient, tmdb: Upstream, status: int, reason: str | None
) -> None:
    """The section names the reason; a favourite that TMDB has deleted is no failure."""
    tmdb.answers("/movie/550/recommendations", status)

    response = client.get("/api/dashboard/complete")

    body = response.json
    assert {movie["because"]["id"] for movie in body["recommended_for_you"]} <= {155, 13}
    assert body["sections"]["recommended"] == {**OK, "reason": reason}
    assert ("ETag" in response.headers) is (reason is None)


@pytest.mark.parametrize("stage", ["first", "recommendations"])
def test_complete_when_its_calls_are_independent_then_all_are_in_flight_at_once(
    client: ContractClient, tmdb: Upstream, users: Upstream, stage: str
) -> None:
    """Each call of a stage waits until all of them have been sent."""
    together = threading.Barrier(5 if stage == "first" else 3)

    def meet(_: Call) -> None:
        together.wait(60)

    if stage == "first":
        tmdb.does("/movie/popular", meet)
        tmdb.does("/trending/*", meet)
        users.does("*", meet)
    else:
        tmdb.does("/movie/*/recommendations", meet)

    sections = client.get("/api/dashboard/complete").json["sections"]

    assert {section["status"] for section in sections.values()} == {"ok"}
