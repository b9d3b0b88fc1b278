"""The client libraries tmdbsimple and tmdbv3api from PyPI, against the stub under gunicorn."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
import tmdbsimple
import tmdbv3api
from requests.adapters import HTTPAdapter

from scripts.processes import Server, until
from tests.e2e.stack import clean_environment, free_ports

HANG_GUARD_S = 60

pytestmark = pytest.mark.e2e


class ToStub(HTTPAdapter):
    """Sends what is meant for TMDB to the stub."""

    def __init__(self, origin: str) -> None:
        super().__init__()
        self._origin = origin

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> Any:
        assert request.url is not None
        request.url = request.url.replace("https://api.themoviedb.org", self._origin, 1)
        return super().send(request, *args, **options)


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a stub process, started as in production; ended with the module."""
    (port,) = free_ports(1)
    log = tmp_path_factory.mktemp("stub") / "log"
    stub = Server("tmdb", "tmdb_stub.wsgi:app", "tmdb_stub/gunicorn_conf.py", port, log)
    stub.start(clean_environment(ENV_FILE=os.devnull, TMDB_STUB_PORT=str(port)))
    try:
        up = until(lambda: stub.answers() or stub.exit_code() is not None, HANG_GUARD_S)
        assert up, stub.tail()
        assert stub.exit_code() is None, stub.tail()
        yield f"http://127.0.0.1:{port}"
    finally:
        stub.end(10)


@pytest.fixture
def session(origin: str) -> Iterator[requests.Session]:
    """A session whose calls to TMDB reach the stub."""
    with requests.Session() as session:
        session.trust_env = False
        session.mount("https://api.themoviedb.org", ToStub(origin))
        yield session


@pytest.fixture
def simple(session: requests.Session, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Tmdbsimple over the session."""
    monkeypatch.setattr(tmdbsimple, "API_KEY", "any")
    monkeypatch.setattr(tmdbsimple, "REQUESTS_SESSION", session)
    monkeypatch.setattr(tmdbsimple, "REQUESTS_TIMEOUT", HANG_GUARD_S)
    return tmdbsimple


@pytest.fixture
def v3(session: requests.Session, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Tmdbv3api over the session; it keeps its settings in the environment."""
    for name in ("page", "total_results", "total_pages", "TMDB_DEBUG_ENABLED"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("TMDB_API_KEY", "any")
    monkeypatch.setenv("TMDB_LANGUAGE", "en-US")
    # Its cache goes around the session.
    monkeypatch.setenv("TMDB_CACHE_ENABLED", "False")
    monkeypatch.setattr(tmdbv3api.TMDb, "_session", session)
    return tmdbv3api


def test_tmdbsimple_when_reading_lists_then_films_and_people_are_found(simple: Any) -> None:
    """Searches, lists with pages, trending, discover, genres, find, collections."""
    search = simple.Search()
    search.movie(query="The Bourne")
    assert any(film["title"].startswith("The Bourne") for film in search.results)
    assert search.multi(query="inception")["results"][0]["id"] == 27205
    assert search.movie(query="batman", year=1989)["total_results"] == 1
    movies = simple.Movies()
    for method in ("popular", "top_rated", "now_playing", "upcoming"):
        assert len(getattr(movies, method)(page=2)["results"]) > 0
    assert simple.Trending(media_type="movie", time_window="week").info()["results"]
    found = simple.Discover().movie(with_genres=37, sort_by="vote_average.desc")
    assert all(37 in film["genre_ids"] for film in found["results"])
    assert {"id": 28, "name": "Action"} in simple.Genres().movie_list()["genres"]
    assert simple.Configuration().info()["images"]["base_url"].startswith("http://127.0.0.1:")
    films = simple.Find("tt1375666").info(external_source="imdb_id")["movie_results"]
    assert [film["title"] for film in films] == ["Inception"]
    parts = simple.Collections(263).info()["parts"]
    assert [part["id"] for part in parts] == [272, 155, 49026], "not in the order of release"


def test_tmdbsimple_when_reading_details_then_has_every_block(simple: Any) -> None:
    """The methods of films and people set attributes from the stub's answers; a 404 raises."""
    movie = simple.Movies(155)
    movie.info(append_to_response="credits,videos")
    assert (movie.title, movie.runtime) == ("The Dark Knight", 152)
    assert movie.credits()["cast"][0]["name"] == "Christian Bale"
    for method in ("recommendations", "similar_movies", "reviews", "videos", "watch_providers"):
        assert "results" in getattr(movie, method)()
    assert movie.keywords()["keywords"]
    assert movie.release_dates()["results"]
    assert movie.images()["posters"]
    assert movie.alternative_titles()["titles"] == []
    assert movie.translations()["translations"]
    assert movie.external_ids()["imdb_id"] == "tt0468569"
    number = simple.Search().person(query="Christopher Nolan")["results"][0]["id"]
    person = simple.People(number)
    assert person.info()["name"] == "Christopher Nolan"
    assert 155 in {film["id"] for film in person.movie_credits()["crew"]}
    assert person.images()["profiles"]
    assert simple.People().popular()["results"]
    with pytest.raises(requests.HTTPError, match="404"):
        simple.Movies(0).info()


def test_tmdbv3api_when_reading_films_and_people_then_they_are_objects(v3: Any) -> None:
    """Searches, details with the library's own blocks, each block alone, and TMDB's message."""
    assert v3.Search(obj_cached=False).movies("Amelie")[0].title == "Amélie"
    assert v3.Search(obj_cached=False).people("Tom Hanks")[0].name == "Tom Hanks"
    movie = v3.Movie(obj_cached=False)
    details = movie.details(550)
    assert (details.title, details.imdb_id) == ("Fight Club", "tt0137523")
    assert len(movie.credits(550).cast) == 15
    assert "Batman Begins" in {film.title for film in movie.recommendations(155)}
    assert len(movie.similar(155)) == 20
    assert movie.watch_providers(155).results
    assert movie.keywords(155).keywords
    assert movie.images(155).posters
    assert len(list(movie.popular(page=50))) == 20
    for method in ("now_playing", "upcoming", "top_rated"):
        assert len(list(getattr(movie, method)())) == 20
    found = v3.Discover(obj_cached=False).discover_movies(
        {"primary_release_year": 1999, "sort_by": "vote_count.desc"}
    )
    assert found[0].title in {"Fight Club", "The Matrix"}
    assert "Western" in {genre.name for genre in v3.Genre(obj_cached=False).movie_list()}
    person = v3.Person(obj_cached=False)
    assert person.details(819).name == "Edward Norton"
    assert 550 in {film.id for film in person.movie_credits(819).cast}
    assert list(person.popular())
    assert v3.Trending(obj_cached=False).movie_week().results[0].media_type == "movie"
    with pytest.raises(tmdbv3api.exceptions.TMDbException, match="could not be found"):
        movie.details(0)


def test_stub_when_32_calls_come_at_once_then_all_are_answered_and_counted(origin: str) -> None:
    """One process answers many callers, and its counts are whole."""
    requests.delete(f"{origin}/__calls", timeout=HANG_GUARD_S)
    url = f"{origin}/3/movie/155?append_to_response=similar,recommendations&api_key=x"
    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda _: requests.get(url, timeout=HANG_GUARD_S), range(64)))
    assert [answer.status_code for answer in answers] == [200] * 64
    counts = requests.get(f"{origin}/__calls", timeout=HANG_GUARD_S).json()
    assert counts == {"GET /3/movie/155": 64}
