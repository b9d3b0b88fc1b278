"""The client libraries tmdbsimple and tmdbv3api from PyPI, against the stub under gunicorn."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
import tmdbsimple
import tmdbv3api
from requests.adapters import HTTPAdapter

ROOT = Path(__file__).resolve().parents[2]
START_LIMIT_S = 20

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
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("stub") / "log"
    environment = {
        **{name: value for name, value in os.environ.items() if name != "FAULT_PROFILE"},
        "TMDB_STUB_PORT": str(port),
        "ENV_FILE": str(log.parent / "no.env"),
    }
    command = [sys.executable, "-m", "gunicorn", "-c", "tmdb_stub/gunicorn_conf.py"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "tmdb_stub.wsgi:app"],
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        address = f"http://127.0.0.1:{port}"
        _wait_until_up(address, process, log)
        yield address
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def _wait_until_up(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    limit = time.monotonic() + START_LIMIT_S
    while time.monotonic() < limit:
        assert process.poll() is None, log.read_text()
        with contextlib.suppress(requests.ConnectionError):
            if requests.get(f"{address}/health", timeout=5).ok:
                return
        time.sleep(0.05)
    raise AssertionError(f"not up after {START_LIMIT_S} s: {log.read_text()}")


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
    monkeypatch.setattr(tmdbsimple, "REQUESTS_TIMEOUT", 10)
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


def test_tmdbsimple_when_searching_then_finds_films_people_and_both(simple: Any) -> None:
    """Searches fill `results`."""
    search = simple.Search()
    search.movie(query="The Bourne")
    assert any(film["title"].startswith("The Bourne") for film in search.results)
    search.person(query="Tom Hanks")
    assert search.results[0]["name"] == "Tom Hanks"
    assert search.multi(query="inception")["results"][0]["id"] == 27205
    assert search.movie(query="batman", year=1989)["total_results"] == 1


def test_tmdbsimple_when_reading_a_film_then_has_details_and_every_block(simple: Any) -> None:
    """A film's methods set its attributes from the stub's answers."""
    movie = simple.Movies(155)
    movie.info(append_to_response="credits,videos")
    assert (movie.title, movie.runtime) == ("The Dark Knight", 152)
    assert movie.credits()["cast"][0]["name"] == "Christian Bale"
    recommended = {film["title"] for film in movie.recommendations()["results"]}
    assert "Batman Begins" in recommended
    assert movie.similar_movies()["results"]
    assert movie.keywords()["keywords"]
    for method in ("reviews", "videos", "watch_providers", "release_dates"):
        assert "results" in getattr(movie, method)()
    assert movie.images()["posters"]
    assert movie.alternative_titles()["titles"] == []
    assert movie.translations()["translations"]
    assert movie.external_ids()["imdb_id"] == "tt0468569"


def test_tmdbsimple_when_reading_lists_then_pages_work(simple: Any) -> None:
    """Popular, top rated, now playing, upcoming, trending, discover, genres."""
    movies = simple.Movies()
    for method in ("popular", "top_rated", "now_playing", "upcoming"):
        assert len(getattr(movies, method)(page=2)["results"]) > 0
    assert simple.Trending(media_type="movie", time_window="week").info()["results"]
    found = simple.Discover().movie(with_genres=37, sort_by="vote_average.desc")
    assert all(37 in film["genre_ids"] for film in found["results"])
    assert {"id": 28, "name": "Action"} in simple.Genres().movie_list()["genres"]
    assert simple.Configuration().info()["images"]["base_url"].startswith("http://127.0.0.1:")
    assert simple.Find("tt1375666").info(external_source="imdb_id")["movie_results"]
    assert simple.Collections(263).info()["parts"]


def test_tmdbsimple_when_reading_a_person_then_has_credits(simple: Any) -> None:
    """A person found by name leads to details and films."""
    number = simple.Search().person(query="Christopher Nolan")["results"][0]["id"]
    person = simple.People(number)
    assert person.info()["name"] == "Christopher Nolan"
    assert 155 in {film["id"] for film in person.movie_credits()["crew"]}
    assert person.images()["profiles"]
    assert simple.People().popular()["results"]


def test_tmdbsimple_when_the_film_is_unknown_then_raises_404(simple: Any) -> None:
    """The library raises for TMDB's errors."""
    with pytest.raises(requests.HTTPError, match="404"):
        simple.Movies(0).info()


def test_tmdbv3api_when_searching_then_finds_films_and_people(v3: Any) -> None:
    """Searches give objects with the fields of the results."""
    assert v3.Search(obj_cached=False).movies("Amelie")[0].title == "Amélie"
    assert v3.Search(obj_cached=False).people("Tom Hanks")[0].name == "Tom Hanks"
    assert v3.Search(obj_cached=False).multi("inception")[0].id == 27205


def test_tmdbv3api_when_reading_a_film_then_has_details_and_blocks(v3: Any) -> None:
    """Details (with the library's own appended blocks) and each block alone."""
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


def test_tmdbv3api_when_reading_discover_people_and_genres_then_works(v3: Any) -> None:
    """Discover takes its filters as a dictionary; people and genres are objects too."""
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


def test_tmdbv3api_when_the_film_is_unknown_then_raises_tmdbs_message(v3: Any) -> None:
    """The library passes TMDB's message on."""
    with pytest.raises(tmdbv3api.exceptions.TMDbException, match="could not be found"):
        v3.Movie(obj_cached=False).details(0)


def test_stub_when_32_calls_come_at_once_then_all_are_answered_and_counted(origin: str) -> None:
    """One process answers many callers, and its counts are whole."""
    requests.delete(f"{origin}/__calls", timeout=5)
    url = f"{origin}/3/movie/155?append_to_response=similar,recommendations&api_key=x"
    with ThreadPoolExecutor(32) as pool:
        statuses = list(pool.map(lambda _: requests.get(url, timeout=10).status_code, range(64)))
    assert statuses == [200] * 64
    assert sum(requests.get(f"{origin}/__calls", timeout=5).json().values()) == 64
