"""The dashboard's pages over the real stubs: what they hold, and how it comes together."""

from __future__ import annotations

from typing import Any

import jwt
import pytest

from tests.api.conftest import JWT_SECRET
from tests.api.openapi import ContractClient
from tests.api.upstreams import Upstream, film, films


def favorite(number: int, rating: int | None = None, day: int = 1, **fields: Any) -> dict[str, Any]:
    """Return a favourite as the user service sends it."""
    return {
        "movie_id": number,
        "title": f"Favourite {number}",
        "rating": rating,
        "added_date": f"2026-11-{day:02}T10:00:00Z",
        "genres": [],
        "poster_path": None,
        "release_date": None,
        **fields,
    }


def begun(number: int, progress: float, day: int = 1, **fields: Any) -> dict[str, Any]:
    """Return an entry of the history as the user service sends it."""
    return {
        "movie_id": number,
        "title": f"Film {number}",
        "progress": progress,
        "watched_date": None,
        "updated_date": f"2026-11-{day:02}T10:00:00Z",
        "genres": [{"id": 18, "name": "Drama"}],
        **fields,
    }


def has(users: Upstream, **lists: list[dict[str, Any]]) -> None:
    """Let the user service answer with these lists."""
    for name in ("favorites", "watchlist", "history"):
        items = lists.get(name, [])
        users.answers(f"/{name}", json={name: items, "total": len(items)})


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
    assert list(body["sections"]) == ["movies", "favorites", "watchlist"]
    assert {part["status"] for part in body["sections"].values()} == {"ok"}
    assert "X-Degraded" not in response.headers


def test_film_when_tmdb_sends_odd_values_then_the_feed_has_clean_ones(
    client: ContractClient, tmdb: Upstream
) -> None:
    """`""` is no date, a missing list is empty, a wrong type is unknown."""
    odd = film(1, release_date="", genre_ids=None, vote_average="8", poster_path=5, title=None)
    broken = film(2, id="two")
    tmdb.answers("/movie/popular", json={**films(), "results": [odd, broken, None, 7]})

    (movie,) = client.get("/api/dashboard/feed").json["movies"]

    assert movie["release_date"] is None
    assert movie["genre_ids"] == []
    assert movie["vote_average"] == 0.0
    assert movie["poster_path"] is None
    assert movie["title"] == ""


def test_feed_when_tmdb_lists_adult_films_or_repeats_one_then_neither_is_shown(
    client: ContractClient, tmdb: Upstream
) -> None:
    """Nobody asked for adult films, and nobody wants a film twice."""
    results = [film(1), film(2, adult=True), film(1), film(3)]
    tmdb.answers("/movie/popular", json={**films(), "results": results})

    shown = client.get("/api/dashboard/feed").json["movies"]

    assert [movie["id"] for movie in shown] == [1, 3]


def test_film_page_when_all_is_well_then_one_call_of_tmdb_fills_it(
    client: ContractClient, tmdb: Upstream
) -> None:
    """Details, ten of cast and crew, six similar and recommended films, the user's data."""
    body = client.get("/api/dashboard/movie/550/enriched").json

    (call,) = tmdb.calls
    assert call.path == "/movie/550"
    assert set(call.query["append_to_response"].split(",")) == {
        "credits",
        "reviews",
        "similar",
        "recommendations",
    }
    assert (body["title"], body["release_date"]) == ("Fight Club", "1999-10-15")
    assert 0 < len(body["cast"]) <= 10
    assert 0 < len(body["crew"]) <= 10
    assert len(body["similar_movies"]) == len(body["recommended_movies"]) == 6
    assert isinstance(body["reviews_count"], int)
    data = body["user_data"]
    assert (data["is_favorite"], data["user_rating"], data["is_in_watchlist"]) == (True, 5, False)
    assert data["added_to_favorites_date"]
    assert data["added_to_watchlist_date"] is data["watched_date"] is None


def test_film_page_when_it_shows_people_and_films_then_the_right_ones_come_first(
    client: ContractClient, tmdb: Upstream
) -> None:
    """The lead and the director, and no film as its own neighbour."""
    crew = [{"id": number, "job": "Grip", "department": "Camera"} for number in range(1, 40)]
    crew.append({"id": 99, "job": "Director", "department": "Directing"})
    cast = [{"id": 7, "order": 1}, {"id": 8, "order": 0}]
    blocks = {"credits": {"cast": cast, "crew": crew}, "similar": films(550, 680)}
    tmdb.answers("/movie/550", json={**film(550), **blocks})

    body = client.get("/api/dashboard/movie/550/enriched").json

    assert [person["id"] for person in body["cast"]] == [8, 7]
    assert [person["id"] for person in body["crew"]][:2] == [99, 1]
    assert [movie["id"] for movie in body["similar_movies"]] == [680]


@pytest.mark.parametrize(
    ("block", "shown"),
    [
        ("credits", {"cast", "crew"}),
        ("reviews", {"reviews_count"}),
        ("similar", {"similar_movies"}),
        ("recommendations", {"recommended_movies"}),
    ],
)
@pytest.mark.parametrize("value", [None, "", [], 5])
def test_film_page_when_a_block_is_broken_then_its_part_is_null(
    client: ContractClient, tmdb: Upstream, block: str, shown: set[str], value: object
) -> None:
    """A block that TMDB did not send is unknown, not empty."""
    whole = {
        "credits": {"cast": [], "crew": []},
        "reviews": films(),
        "similar": films(1),
        "recommendations": films(2),
        **film(550),
    }
    tmdb.answers("/movie/550", json={**whole, block: value})

    body = client.get("/api/dashboard/movie/550/enriched").json

    optional = {"cast", "crew", "reviews_count", "similar_movies", "recommended_movies"}
    assert {name for name in optional if body[name] is None} == shown


def test_film_page_when_tmdb_knows_no_such_film_then_it_is_404(client: ContractClient) -> None:
    """A page of an unknown film is not found."""
    response = client.get("/api/dashboard/movie/999999999/enriched")

    assert response.status_code == 404


def test_search_when_it_finds_films_then_they_carry_marks_and_the_query(
    client: ContractClient,
) -> None:
    """Results with marks; the query comes back."""
    body = client.get("/api/dashboard/search/enriched?query=Fight%20Club").json

    assert body["query"] == "Fight Club"
    first = body["results"][0]
    assert (first["id"], first["is_favorite"], first["user_rating"]) == (550, True, 5)


def test_search_when_it_finds_nothing_then_it_is_200_and_empty(client: ContractClient) -> None:
    """Nothing found is an answer."""
    body = client.get("/api/dashboard/search/enriched?query=zzzzqqqq").json

    assert (body["results"], body["total_results"]) == ([], 0)


def test_search_when_it_has_filters_then_tmdb_gets_them(
    client: ContractClient, tmdb: Upstream
) -> None:
    """Year, page, adult, language and region go to TMDB."""
    tmdb.answers("/search/movie", json=films())
    client.get(
        "/api/dashboard/search/enriched?query=a&year=1999&page=3&include_adult=true"
        "&language=de&region=de"
    )

    assert tmdb.calls[0].query == {
        "query": "a",
        "year": "1999",
        "page": "3",
        "include_adult": "true",
        "language": "de",
        "region": "DE",
    }


def test_complete_when_all_is_well_then_every_part_is_there(client: ContractClient) -> None:
    """The first screen from the sample of the demo user."""
    response = client.get("/api/dashboard/complete")

    body = response.json
    assert len(body["popular_movies"]) == len(body["trending_movies"]) == 12
    assert (body["page"], body["total_pages"] > 1) == (1, True)
    assert body["stats"]["total_favorites"] == 3
    assert body["stats"]["total_watchlist"] == 2
    assert body["stats"]["avg_rating"] == 4.67
    assert body["stats"]["favorite_genres"][0] == {"id": 18, "name": "Drama", "count": 3}
    known = {550, 155, 13, 680, 27205}
    assert len(body["recommended_for_you"]) == 12
    for movie in body["recommended_for_you"]:
        assert movie["id"] not in known
        assert movie["because"]["kind"] == "favorite"
        assert movie["because"]["id"] in {550, 155, 13}
    assert "X-Degraded" not in response.headers


def test_complete_when_a_page_is_asked_for_then_only_popular_is_turned(
    client: ContractClient, tmdb: Upstream
) -> None:
    """Trending and recommended films have no pages here."""
    body = client.get("/api/dashboard/complete?page=2").json

    assert body["page"] == 2
    paged = {call.path: call.query.get("page") for call in tmdb.calls}
    assert paged.pop("/movie/popular") == "2"
    assert set(paged.values()) == {None}


def test_recommended_when_there_are_many_favourites_then_the_best_and_the_latest_lead(
    client: ContractClient, tmdb: Upstream, users: Upstream
) -> None:
    """Three best-rated, then the two latest of the others: five calls, no more."""
    has(
        users,
        favorites=[
            favorite(1, 5, day=1),
            favorite(2, 5, day=2),
            favorite(3, 5, day=3),
            favorite(4, 4, day=4),
            favorite(5, None, day=9),
            favorite(6, 1, day=8),
            favorite(7, 2, day=5),
        ],
    )
    tmdb.answers("/movie/*/recommendations", json=films(100))

    client.get("/api/dashboard/complete")

    asked = {call.path for call in tmdb.asked("/movie/*/recommendations")}
    assert asked == {f"/movie/{number}/recommendations" for number in (1, 2, 3, 5, 6)}


def test_recommended_when_lists_agree_then_agreement_beats_one_high_place(
    client: ContractClient, tmdb: Upstream, users: Upstream
) -> None:
    """Merged by rank; `because` names the favourite where the film stands highest."""
    has(users, favorites=[favorite(1, 5), favorite(2, 4)])
    tmdb.answers("/movie/1/recommendations", json=films(100, 300, 200))
    tmdb.answers("/movie/2/recommendations", json=films(200, 400))

    movies = client.get("/api/dashboard/complete").json["recommended_for_you"]

    assert [movie["id"] for movie in movies] == [200, 100, 300, 400]
    assert [movie["because"]["id"] for movie in movies] == [2, 1, 1, 2]
    assert movies[0]["because"] == {"kind": "favorite", "id": 2, "title": "Favourite 2"}


def test_recommended_when_the_user_has_or_has_begun_a_film_then_it_is_left_out(
    client: ContractClient, tmdb: Upstream, users: Upstream
) -> None:
    """Favourites, watchlist and history are not recommended."""
    has(
        users,
        favorites=[favorite(1, 5)],
        watchlist=[favorite(100)],
        history=[begun(200, 0.1), begun(300, 1)],
    )
    tmdb.answers("/movie/1/recommendations", json=films(1, 100, 200, 300, 400))

    movies = client.get("/api/dashboard/complete").json["recommended_for_you"]

    assert [movie["id"] for movie in movies] == [400]


def test_recommended_when_there_are_no_favourites_then_trending_stands_in_labelled(
    client: ContractClient, tmdb: Upstream
) -> None:
    """A new user gets what trends, and is told so."""
    token = jwt.encode({"sub": "new"}, JWT_SECRET, "HS256")

    body = client.get("/api/dashboard/complete", headers={"Authorization": f"Bearer {token}"}).json

    assert [movie["id"] for movie in body["recommended_for_you"]] == [
        movie["id"] for movie in body["trending_movies"]
    ]
    for movie in body["recommended_for_you"]:
        assert movie["because"] == {"kind": "trending", "id": None, "title": None}
    assert not tmdb.asked("/movie/*/recommendations")
    assert body["stats"] == {
        "total_favorites": 0,
        "total_watchlist": 0,
        "movies_watched": 0,
        "avg_rating": None,
        "favorite_genres": [],
    }


def test_recommended_when_one_favourite_fails_then_the_others_recommend_and_it_says_why(
    client: ContractClient, tmdb: Upstream
) -> None:
    """Part of the recommendations is better than none; the section names the reason."""
    tmdb.answers("/movie/550/recommendations", 500)

    response = client.get("/api/dashboard/complete")

    body = response.json
    assert {movie["because"]["id"] for movie in body["recommended_for_you"]} <= {155, 13}
    section = body["sections"]["recommended"]
    assert (section["status"], section["reason"]) == ("ok", "upstream_error")
    assert "ETag" not in response.headers


def test_recommended_when_tmdb_no_longer_has_the_favourite_then_the_rest_is_whole(
    client: ContractClient, tmdb: Upstream
) -> None:
    """A favourite that TMDB has deleted is no failure."""
    tmdb.answers("/movie/550/recommendations", 404)

    section = client.get("/api/dashboard/complete").json["sections"]["recommended"]

    assert section == {"status": "ok", "reason": None, "age": None, "retry_after": None}


def test_continue_watching_when_films_are_begun_then_the_latest_comes_first(
    client: ContractClient, users: Upstream
) -> None:
    """Begun and not finished, with progress; a film at 0.95 or at 0 is neither."""
    has(
        users,
        history=[
            begun(1, 0.4, day=1),
            begun(2, 0.94, day=3),
            begun(3, 0.95, day=4),
            begun(4, 0, day=5),
            begun(5, 0.2, day=2),
            begun(6, 0.2, day=6, watched_date="2026-11-01T10:00:00Z"),
        ],
    )

    body = client.get("/api/dashboard/complete").json

    assert [(item["id"], item["progress"]) for item in body["continue_watching"]] == [
        (6, 0.2),  # watched once, and begun again
        (2, 0.94),
        (5, 0.2),
        (1, 0.4),
    ]
    assert body["continue_watching"][0]["genre_ids"] == [18]
    assert [item["is_favorite"] for item in body["continue_watching"]] == [False] * 4
    assert body["stats"]["movies_watched"] == 2


def test_stats_when_favourites_are_rated_then_mean_and_genres_follow(
    client: ContractClient, users: Upstream, tmdb: Upstream
) -> None:
    """The mean is of those with stars; genres by number, then by name, five at most."""
    names = {18: "Drama", 35: "Comedy", 53: "Thriller", 80: "Crime", 28: "Action", 12: "Adventure"}

    def genres(*numbers: int) -> list[dict[str, Any]]:
        return [{"id": number, "name": names[number]} for number in numbers]

    tmdb.answers("/movie/*/recommendations", json=films())
    has(
        users,
        favorites=[
            favorite(1, 5, genres=genres(18, 35, 53)),
            favorite(2, 4, genres=genres(18, 80, 28)),
            favorite(3, None, genres=genres(12, 35)),
        ],
    )

    stats = client.get("/api/dashboard/complete").json["stats"]

    assert stats["avg_rating"] == 4.5
    assert [(genre["name"], genre["count"]) for genre in stats["favorite_genres"]] == [
        ("Comedy", 2),
        ("Drama", 2),
        ("Action", 1),
        ("Adventure", 1),
        ("Crime", 1),
    ]
