"""The user-service client: what it sends, what it keeps, and what it makes of the answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson
import pytest
import requests

from bff import context
from bff.errors import (
    AlreadyThere,
    BadResponse,
    NotFound,
    Rejected,
    Unreachable,
)
from bff.library_cache import SILENCE_S, LibraryCache
from bff.model import Call, Intent, Ok
from bff.upstream.breaker import Breakers
from bff.upstream.guard import Guard
from bff.upstream.rate import Pause
from bff.upstream.session import configure
from bff.upstream.users import UserClient
from tests.bff.upstream.tools import Clock, permits
from tests.bff.upstream.workers import JSON_TYPE, Upstream

URL = "http://users.test"
INTENT = Intent("key-1", "print-1")
ITEMS = {"favorites": "favorite", "watchlist": "watchlist_item", "history": "history_item"}
names = pytest.mark.parametrize("name", ITEMS)


@pytest.fixture
def libraries(clock: Clock) -> LibraryCache:
    """Return the memory of users' collections; the event stream is alive."""
    made = LibraryCache(clock=clock)
    made.clear()  # it was lost once
    made.beat()
    return made


@pytest.fixture
def client(libraries: LibraryCache) -> UserClient:
    """Return a client."""
    session = configure(requests.Session(), 4)
    guard = Guard("users", session, 20, Breakers("users", None), permits(), Pause("users"))
    return UserClient(URL, "the-token", guard, libraries)


def at(revision: object) -> dict[str, str]:
    """Return the headers of an answer as of a revision."""
    return {**JSON_TYPE, "X-Library-Revision": str(revision)}


def collection(name: str, *films: int) -> dict[str, Any]:
    """Return a collection as the user service sends it."""
    return {name: [{"movie_id": film} for film in films], "total": len(films)}


def ids(outcome: Ok[Any] | None, name: str = "favorites") -> list[int] | None:
    """Return which films a collection holds."""
    return None if outcome is None else [item["movie_id"] for item in outcome.value[name]]


def knows(revision: int) -> None:
    """Begin a request of a caller who knows of a revision."""
    context.enter(replace(context.current(), revision=revision))


# -- reads


@names
def test_read_when_it_is_made_then_it_names_the_user_and_is_never_shared(
    upstream: Upstream, client: UserClient, name: str
) -> None:
    """The user goes into a header, with our token and the request's id; the key is nobody's."""
    upstream.gives(collection(name, 550))
    for call in (getattr(client, name)("ada"), client.collection(name, "ada")):
        assert call.key is None
        assert ids(call.load(), name) == [550]
    for request in upstream.requests:
        assert (request.method, request.url) == ("GET", f"{URL}/{name}")
        assert request.headers["X-User-Id"] == "ada"
        assert request.headers["X-Request-ID"] == "test"
        assert request.headers["Authorization"] == "Bearer the-token"
        assert "Idempotency-Key" not in request.headers


def test_read_when_the_stream_is_alive_then_memory_answers_until_it_is_silent(
    upstream: Upstream, client: UserClient, clock: Clock
) -> None:
    """Without the stream every request asks."""
    upstream.gives(collection("favorites", 550), headers=at(3))
    call = client.favorites("ada")
    assert call.cached() is None
    call.load()
    first, second = call.cached(), call.cached()
    assert ids(first) == [550]
    assert first is not None
    assert second is not None
    assert first.number == second.number != 0
    assert context.current().timings[-1].outcome == "hit"
    assert client.favorites("bob").cached() is None
    assert client.watchlist("ada").cached() is None
    knows(3)
    assert ids(call.cached()) == [550]
    knows(4)  # the caller wrote through another worker, whose change has not been heard of yet
    assert call.cached() is None
    knows(0)
    clock.move(SILENCE_S + 0.1)
    assert call.cached() is None
    call.load()
    assert len(upstream.requests) == 2


@pytest.mark.parametrize("revision", ["", "-1", "1.5", "x", "²", "9" * 19])
def test_read_when_the_user_service_does_not_say_which_revision_then_it_is_not_kept(
    upstream: Upstream, client: UserClient, revision: str
) -> None:
    """It is an answer all the same."""
    upstream.gives(collection("favorites", 550), headers=at(revision))
    call = client.favorites("ada")
    assert ids(call.load()) == [550]
    assert call.cached() is None


def test_read_when_a_change_comes_meanwhile_then_it_is_not_kept(
    upstream: Upstream, client: UserClient, libraries: LibraryCache
) -> None:
    """The answer that is under way may be from before the change."""
    upstream.gives(collection("favorites", 550), headers=at(3))
    upstream.meanwhile = lambda: libraries.changed("ada", 4)
    call = client.favorites("ada")
    assert ids(call.load()) == [550]
    assert call.cached() is None


ODD = [b"", b"<html>", b"[]", b"null", b'{"favorites": 5}', b'{"detail": "no"}']


@pytest.mark.parametrize(
    ("body", "status"), [*((body, 200) for body in ODD), (b"{}", 404), (b"{}", 204), (b"{}", 302)]
)
def test_read_when_no_collection_comes_then_it_is_a_bad_response_and_not_kept(
    upstream: Upstream, client: UserClient, body: bytes, status: int
) -> None:
    """Nothing old stands in for it."""
    upstream.gives(body, status, at(3))
    call = client.favorites("ada")
    with pytest.raises(BadResponse) as caught:
        call.load()
    assert call.cached() is None
    with pytest.raises(BadResponse):
        call.fallback(caught.value)


# -- writes

Write = Callable[[UserClient, str], Call[Any]]
ITEM = {"movie_id": 550, "title": "Fight Club"}
WRITES: dict[str, Write] = {
    "add": lambda users, name: users.add(name, "ada", ITEM, INTENT),
    "put_new": lambda users, name: users.put_new(name, "ada", 550, ITEM, INTENT),
    "change": lambda users, name: users.change(name, "ada", 550, ITEM, INTENT),
    "remove": lambda users, name: users.remove(name, "ada", 550, INTENT),
}
# Method, path and condition.
SENT: dict[str, tuple[str, str, dict[str, str]]] = {
    "add": ("POST", "", {}),
    "put_new": ("PUT", "/550", {"If-None-Match": "*"}),
    "change": ("PUT", "/550", {"If-Match": "*"}),
    "remove": ("DELETE", "/550", {}),
}
writes = pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)


@names
@pytest.mark.parametrize("verb", WRITES)
def test_write_when_it_is_made_then_it_goes_out_once_with_its_key_and_condition(
    upstream: Upstream, client: UserClient, name: str, verb: str
) -> None:
    """The user service knows a repetition by key and fingerprint, and acts once."""
    method, path, condition = SENT[verb]
    key = "removed" if method == "DELETE" else ITEMS[name]
    upstream.gives({key: ITEM}, 201 if method == "POST" else 200, at(7))
    call = WRITES[verb](client, name)
    assert (call.key, call.cached(), upstream.requests) == (None, None, [])
    written = call.load().value
    assert (written.item["movie_id"], written.item["title"]) == (550, "Fight Club")
    assert (written.created, written.revision) == (method == "POST", 7)
    (request,) = upstream.requests
    assert (request.method, request.url) == (method, f"{URL}/{name}{path}")
    sent = {
        "X-User-Id": "ada",
        "Authorization": "Bearer the-token",
        "Idempotency-Key": "key-1",
        "Idempotency-Fingerprint": "print-1",
        **condition,
    }
    assert sent.items() <= dict(request.headers).items()
    assert {"If-Match", "If-None-Match"} & set(request.headers) == set(condition)
    body = orjson.loads(request.body) if isinstance(request.body, bytes) else None
    assert body == (None if verb == "remove" else ITEM)


@writes
def test_write_when_it_fails_then_it_is_not_sent_again(
    upstream: Upstream, client: UserClient, write: Write
) -> None:
    """It may have been done."""
    upstream.gives(requests.ConnectionError(ConnectionResetError()))
    with pytest.raises(Unreachable):
        write(client, "favorites").load()
    assert len(upstream.requests) == 1


REFUSED: dict[tuple[str, int], type[Exception]] = {
    ("put_new", 412): AlreadyThere,
    ("change", 412): NotFound,
    ("remove", 404): NotFound,
    **{(verb, status): Rejected for verb in WRITES for status in (409, 422)},
}


@pytest.mark.parametrize("detail", ["it is there already", None, [{"loc": ["title"]}]])
@pytest.mark.parametrize("status", [400, 404, 409, 410, 412, 422, 204, 302])
@pytest.mark.parametrize("verb", WRITES)
def test_write_when_it_is_refused_then_the_caller_hears_why(
    upstream: Upstream, client: UserClient, verb: str, status: int, detail: object
) -> None:
    """Each status means one thing for each write; what has no meaning is a bad response."""
    upstream.gives({"detail": detail}, status, at(9))
    with pytest.raises(REFUSED.get((verb, status), BadResponse)) as caught:  # type: ignore[arg-type]
        WRITES[verb](client, "watchlist").load()
    error = caught.value
    if isinstance(error, Rejected):
        said = detail if isinstance(detail, str) else "refused"
        assert (error.status, error.detail) == (status, said)
    if isinstance(error, NotFound):
        assert (error.upstream, error.what) == ("users", "watchlist item")
    assert len(upstream.requests) == 1


ITEMLESS = [None, 5, [], {}, {"movie_id": "550"}, {"movie_id": None}, {"title": "Fight Club"}]


@writes
@pytest.mark.parametrize("status", [200, 201, 409, 422])
def test_write_when_garbage_comes_then_it_is_a_bad_response(
    upstream: Upstream, client: UserClient, write: Write, status: int
) -> None:
    """Nobody knows what has become of the write. An item without its film is no item."""
    items = [{"history_item": item} for item in ITEMLESS] if status < 400 else []
    for body in (b"", b"<html>", b"[]", b"null", *items):
        upstream.gives(body, status)
        with pytest.raises(BadResponse):
            write(client, "history").load()


@writes
def test_write_when_it_is_done_then_memory_forgets_what_is_older(
    upstream: Upstream, client: UserClient, write: Write
) -> None:
    """At once, on the worker that wrote: of this user, all collections; of others, nothing."""
    upstream.gives({**collection("favorites"), **collection("watchlist", 550)}, headers=at(3))
    calls = [client.favorites("ada"), client.watchlist("ada"), client.favorites("bob")]
    for call in calls:
        call.load()
    upstream.gives({"watchlist_item": ITEM}, headers=at(4))
    write(client, "watchlist").load()
    assert [ids(call.cached()) for call in calls] == [None, None, []]


def test_change_when_memory_knows_that_it_is_not_there_then_no_call_asks(
    upstream: Upstream, client: UserClient, clock: Clock
) -> None:
    """But for a repetition, whose first answer the user service knows, and for a silent stream."""
    upstream.gives(collection("favorites", 13), headers=at(3))
    client.favorites("ada").load()
    with pytest.raises(NotFound) as caught:
        client.change("favorites", "ada", 550, ITEM, INTENT).load()
    assert caught.value.what == "favorite"
    assert len(upstream.requests) == 1
    upstream.gives({"favorite": ITEM}, headers=at(3))
    client.change("favorites", "ada", 13, ITEM, INTENT).load()
    client.change("favorites", "ada", 550, ITEM, replace(INTENT, repeatable=True)).load()
    client.change("favorites", "bob", 550, ITEM, INTENT).load()
    knows(4)
    client.change("favorites", "ada", 550, ITEM, INTENT).load()
    knows(0)
    clock.move(SILENCE_S + 0.1)
    client.change("favorites", "ada", 550, ITEM, INTENT).load()
    assert len(upstream.requests) == 6
