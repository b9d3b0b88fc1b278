"""The TMDB client: the requests that it sends, and what it makes of the answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson
import pytest
import requests
import time_machine

from bff import reads
from bff.errors import BadResponse, CircuitOpen, NotFound, UpstreamFailed
from bff.model import Ok
from bff.upstream.breaker import BreakerPolicy, Breakers
from bff.upstream.guard import Guard
from bff.upstream.rate import Pause
from bff.upstream.session import configure
from bff.upstream.tier import on_files
from bff.upstream.tmdb import Credential, TmdbClient
from tests.bff.upstream.tools import permits
from tests.bff.upstream.workers import BASE, FILMS, Upstream, Worker

RECORDED = Path(__file__).resolve().parents[2] / "fixtures" / "tmdb" / "recorded"
FILM = {"id": 550, "title": "Fight Club"}
TTL = 300


def plain(credential: Credential | None = None, policy: BreakerPolicy | None = None) -> TmdbClient:
    """Return a client without a cache."""
    session, breakers = configure(requests.Session(), 4), Breakers("tmdb", policy)
    guard = Guard("tmdb", session, 20, breakers, permits(), Pause("tmdb"))
    return TmdbClient(BASE, credential or Credential("the-key"), guard, None, TTL)


def cached(folder: Path, credential: Credential | None = None) -> TmdbClient:
    """Return a client with a cache."""
    worker = Worker(on_files(folder, 1000, 2**20))
    return TmdbClient(BASE, credential or Credential("the-key"), worker.guard, worker.cache, TTL)


# -- what is sent

LANGUAGE, REGION = {"language": "de-DE"}, {"region": "DE"}
ALL = {"page": "2", **LANGUAGE, **REGION}
MOVIE, PERSON = {"movie_id": 550}, {"person_id": 5}
# Of each read: what fills its path, the path that is asked for, and what goes beside `page` and
# `language`, which all of them take.
SENT: dict[str, tuple[dict[str, Any], str, dict[str, str]]] = {
    "popular": ({}, "/movie/popular", REGION),
    "trending": ({"window": "week"}, "/trending/movie/week", {}),
    "now_playing": ({}, "/movie/now_playing", REGION),
    "upcoming": ({}, "/movie/upcoming", REGION),
    "top_rated": ({}, "/movie/top_rated", REGION),
    "search": ({}, "/search/movie", REGION),
    "discover": ({}, "/discover/movie", REGION),
    "genres": ({}, "/genre/movie/list", {}),
    "movie": (MOVIE, "/movie/550", {}),
    "credits": (MOVIE, "/movie/550/credits", {}),
    "reviews": (MOVIE, "/movie/550/reviews", {}),
    "recommendations": (MOVIE, "/movie/550/recommendations", {}),
    "similar": (MOVIE, "/movie/550/similar", {}),
    "videos": (MOVIE, "/movie/550/videos", {}),
    "images": (MOVIE, "/movie/550/images", {"include_image_language": "de,null"}),
    "watch_providers": (MOVIE, "/movie/550/watch/providers", {}),
    "multi_search": ({}, "/search/multi", {}),
    "person": (PERSON, "/person/5", {}),
    "person_credits": (PERSON, "/person/5/movie_credits", {}),
    "enriched": (
        MOVIE,
        "/movie/550",
        {"append_to_response": "credits,reviews,similar,recommendations"},
    ),
    "configuration": ({}, "/configuration", {}),
}


@pytest.mark.parametrize("name", SENT)
def test_read_when_it_is_made_then_tmdb_gets_its_path_and_parameters(
    upstream: Upstream, name: str
) -> None:
    """The region goes where the answer depends on it; all that a film page needs is appended."""
    path, target, more = SENT[name]
    upstream.gives({}, 500)
    with pytest.raises(UpstreamFailed):
        plain().read(reads.BY_NAME[name], path, {**ALL, "odd": "a&b=ü"}).load()
    (request,) = upstream.requests
    parts = urlsplit(str(request.url))
    sent = dict(parse_qsl(parts.query))
    assert (request.method, parts.path) == ("GET", f"/3{target}")
    assert sent == {"page": "2", **LANGUAGE, **more, "odd": "a&b=ü", "api_key": "the-key"}


@pytest.mark.parametrize(
    ("credential", "header", "key"),
    [
        (Credential("the-key", "the-token"), "Bearer the-token", None),
        (Credential("", "the-token"), "Bearer the-token", None),
        (Credential("the-key"), None, "the-key"),
        (Credential(), None, None),
    ],
)
def test_credential_when_key_and_token_are_there_then_the_token_wins(
    upstream: Upstream, credential: Credential, header: str | None, key: str | None
) -> None:
    """The token goes into a header; the key, which would show in addresses, is not sent then."""
    plain(credential).popular({"page": "1"}).load()
    (request,) = upstream.requests
    assert request.headers.get("Authorization") == header
    assert dict(parse_qsl(urlsplit(str(request.url)).query)).get("api_key") == key
    assert "the-" not in repr(credential) + str(credential)


# -- keys


def test_key_when_what_is_asked_changes_then_it_changes_and_order_does_not_matter(
    tmp_path: Path,
) -> None:
    """Path, parameters, language and region make the key. The credential does not: all see one."""
    client = cached(tmp_path)
    others = [{**ALL, "page": "3"}, {**ALL, "language": "en-US"}, {**ALL, "region": "AT"}, {}]
    keys = {client.popular(params).key for params in (ALL, *others)}
    assert len(keys) == 5
    assert client.popular(dict(reversed(ALL.items()))).key in keys
    assert len({client.movie(550).key, client.movie(551).key, client.enriched(550, {}).key}) == 3
    one, other = {"query": "a&page=2"}, {"query": "a", "page": "2"}
    assert client.search(one).key != client.search(other).key
    # TMDB's answer does not depend on the region here, so that one answer is enough.
    assert client.trending(ALL).key == client.trending({**ALL, "region": "AT"}).key
    for secret in (Credential("secret-one"), Credential("", "secret-two"), Credential()):
        assert cached(tmp_path, secret).popular(ALL).key in keys


def test_circuit_when_all_of_one_film_fails_then_other_films_are_asked_for(
    upstream: Upstream,
) -> None:
    """A film is one thing in whatever language and part; each page of a list is one of its own."""
    client = plain(policy=BreakerPolicy(failures=3, least_keys=3))

    def fail(row: str, path: dict[str, Any] | None = None, **params: str) -> None:
        with pytest.raises(UpstreamFailed):
            client.read(reads.BY_NAME[row], path, params).load()

    upstream.gives({}, 500)
    for row in ("movie", "enriched", "credits", "similar"):
        for language in ("de-DE", "en-US", "fr-FR"):
            fail(row, MOVIE, language=language, page="2")
    for number in (551, 552):
        fail("movie", {"movie_id": number})
    for page in "123":
        fail("popular", page=page)
    upstream.gives(FILMS)
    for call in (client.movie(553), client.trending({"page": "1"})):
        with pytest.raises(CircuitOpen):
            call.load()
    assert client.search({"query": "a"}).load().value["results"][0]["id"] == 550
    assert len(upstream.requests) == 18


# -- what comes back


def errors_of_tmdb() -> Iterator[bytes]:
    """Yield TMDB's own error bodies."""
    for file in sorted(RECORDED.glob("*.json")):
        body = orjson.loads(file.read_bytes())
        if isinstance(body, dict) and {"status_code", "errors"} & set(body):
            yield file.read_bytes()


GARBAGE = [b"", b"{", b"null", b"[]", b"1", b'"x"', b"<html>", b'{"a": "\xff"}', b"[" * 5000]


@pytest.mark.parametrize("name", SENT)
def test_read_when_an_error_of_tmdbs_or_garbage_comes_as_200_then_it_is_a_bad_response(
    upstream: Upstream, name: str
) -> None:
    """It is never taken for an answer, and the error does not quote what came."""
    bodies = [*errors_of_tmdb(), *GARBAGE]
    assert len(bodies) > 8 + len(GARBAGE)
    client = plain()
    for body in bodies:
        upstream.gives(body)
        with pytest.raises(BadResponse) as caught:
            client.read(reads.BY_NAME[name], SENT[name][0]).load()
        assert str(caught.value).startswith("tmdb: bad_response (")
        assert not any(char in str(caught.value) for char in '<{"')


@pytest.mark.parametrize("with_cache", [True, False])
def test_read_when_tmdb_knows_no_such_thing_then_says_what_is_not_there(
    upstream: Upstream, tmp_path: Path, with_cache: bool
) -> None:
    """A film or a person may not exist; a list always does."""
    client = cached(tmp_path) if with_cache else plain()
    upstream.gives({"status_code": 34}, 404)
    for call, what in (
        (client.enriched(550, {}), "film 550"),
        (client.recommendations(7, {}), "film 7"),
        (client.read(reads.BY_NAME["person"], PERSON), "person 5"),
    ):
        with pytest.raises(NotFound) as caught:
            call.load()
        assert caught.value.what == what
    for call in (client.popular({}), client.configuration()):
        with pytest.raises(BadResponse) as bad:
            call.load()
        with pytest.raises(BadResponse):
            call.fallback(bad.value)


def test_read_when_there_is_no_cache_then_every_caller_asks(upstream: Upstream) -> None:
    """No flight is shared, nothing is kept, and nothing old stands in for a failure."""
    call = plain().popular({"page": "1"})
    for _ in range(2):
        assert (call.key, call.cached()) == (None, None)
        assert isinstance(call.load(), Ok)
    assert len(upstream.requests) == 2
    error = UpstreamFailed("tmdb")
    with pytest.raises(UpstreamFailed) as caught:
        call.fallback(error)
    assert caught.value is error


def test_read_when_it_is_kept_then_its_row_says_how_long(
    upstream: Upstream, tmp_path: Path
) -> None:
    """Lists for CACHE_TTL, details for an hour at its default, what hardly changes for a day."""
    client = cached(tmp_path)
    with time_machine.travel(1_700_000_000, tick=False):
        assert client.popular({}).load().fresh_s == TTL
        upstream.gives(FILM)
        assert client.movie(550).load().fresh_s == 3600
        upstream.gives({"genres": [{"id": 18, "name": "Drama"}]})
        genres = client.read(reads.BY_NAME["genres"]).load()
    assert genres.fresh_s == 86_400
    assert genres.value["genres"] == [{"id": 18, "name": "Drama"}]
