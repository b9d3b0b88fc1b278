"""The event stream client: what it makes of events, and of streams that are lost or are none."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest

from bff.errors import ConnectFailed
from bff.library_cache import Kept, LibraryCache
from bff.upstream import events as module
from bff.upstream.breaker import BreakerPolicy, Breakers
from bff.upstream.events import EventStream, events
from tests.bff.upstream.servers import RawServer, always, answer, reset
from tests.bff.upstream.tools import Clock, until

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
BEAT = b'id: 1\nevent: beat\ndata: {"seq":1}\n\n'
LONG_S = 20  # far more than anything takes


def change(user: str, revision: int) -> bytes:
    """Return the message about a change."""
    return b'event: change\ndata: {"user":"%b","revision":%d}\n\n' % (user.encode(), revision)


# -- reading events


def read(*parts: bytes) -> list[tuple[str, bytes]]:
    """Return the events of a stream that comes in these parts."""
    left = [*parts, b""]
    return list(events(SimpleNamespace(raw=SimpleNamespace(read1=lambda _: left.pop(0)))))  # type: ignore[arg-type]


STREAM = (
    b": hello\n\n" + BEAT + b'event:change\r\ndata:{"a":\r\ndata: 1}\r\nretry: 5\r\n\r\ndata: x\n\n'
)
EVENTS = [("message", b""), ("beat", b'{"seq":1}'), ("change", b'{"a":1}'), ("message", b"x")]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_events_when_a_stream_comes_in_pieces_then_each_event_is_read_once(size: int) -> None:
    """Wherever the pieces end, between the bytes of a line end as well; half an event is none."""
    text = STREAM + b"event: beat\ndata: never en"
    parts = [text[begin : begin + size] for begin in range(0, len(text), size)]
    assert read(*parts) == EVENTS


def test_events_when_one_does_not_end_then_the_stream_is_given_up() -> None:
    """What is kept of it is bounded."""
    with pytest.raises(ValueError, match="without an end"):
        read(*[b"data: " + b"x" * 10_000] * 1000)


# -- following streams


class Service:
    """A user service whose streams the test writes; `next` waits for the next connection."""

    def __init__(self, serve: Callable[..., RawServer]) -> None:
        self._connections: queue.Queue[socket.socket] = queue.Queue()
        self.server = serve(self._script)

    def _script(self, connection: socket.socket, server: RawServer) -> None:
        server.read(connection)
        self._connections.put(connection)
        server.over.wait(60)

    def hang_up(self) -> None:
        """Break all connections."""
        for connection in list(self.server._connections):
            with contextlib.suppress(OSError):  # it is closed already
                connection.shutdown(socket.SHUT_RDWR)

    def next(self, first: bytes = b"") -> socket.socket:
        """Return the next connection, and begin to answer it."""
        connection = self._connections.get(timeout=LONG_S)
        connection.sendall(first)
        return connection


class Pauses(threading.Event):
    """Stands in for what ends the thread: notes how long it would have waited, and goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout or 0.0)
        return super().wait(0.001)


class Listener:
    """An event stream client, its memory, and what it has done."""

    def __init__(self, service: Service, on_connect: Callable[[], None] | None = None) -> None:
        self.clock = Clock()
        self.libraries = LibraryCache(clock=self.clock)
        self.connects, self._service, url = 0, service, service.server.url[:-1]
        self.stream = EventStream(url, "the-token", self.libraries, on_connect or self._connected)
        self.pauses = self.stream._closed = Pauses()

    def _connected(self) -> None:
        self.connects += 1

    def alive(self) -> bool:
        """Wait until memory may be used."""
        return until(self.libraries.alive, LONG_S)

    def lost(self) -> bool:
        """Wait until it may not."""
        return until(lambda: not self.libraries.alive(), LONG_S)

    def keep(self, user: str, revision: int) -> None:
        """Keep a collection."""
        self.libraries.keep(user, "favorites", Kept(b"[]", revision), self.libraries.ticket())

    def has(self, user: str) -> bool:
        """Whether a collection of the user is served from memory."""
        return self.libraries.get(user, "favorites") is not None

    def said(self) -> tuple[str, str]:
        """Return what readiness tells."""
        (check,) = self.stream.health()["events:stream"]
        return check["observedValue"], check["status"]

    def close(self) -> None:
        """End the thread."""
        self.stream.close()
        assert until(lambda: self._service.hang_up() or not self.stream._thread.is_alive(), LONG_S)


@pytest.fixture
def service(serve: Callable[..., RawServer], monkeypatch: pytest.MonkeyPatch) -> Service:
    """Return a user service, which is never silent for too long."""
    monkeypatch.setattr(module, "SILENCE_S", 3 * LONG_S)
    return Service(serve)


@pytest.fixture
def listener(service: Service) -> Iterator[Listener]:
    """Return a client that listens to the service."""
    made = Listener(service)
    made.stream.start()
    yield made
    made.close()


def test_stream_when_it_beats_then_memory_may_be_used(service: Service, listener: Listener) -> None:
    """With the first beat, not with the connection nor with events that it does not know."""
    connection = service.next(HEAD + b"event: news\ndata: {\n\n")
    assert not listener.libraries.alive()
    connection.sendall(BEAT)
    assert listener.alive()
    assert until(lambda: listener.connects == 1, LONG_S)
    assert listener.said() == ("alive", "pass")
    request = service.server.requests[0].decode().lower()
    assert request.startswith("get /events http/1.1\r\n")
    for header in (
        "authorization: bearer the-token",
        "accept: text/event-stream",
        "accept-encoding: identity",
    ):
        assert f"\r\n{header}\r\n" in request


def test_stream_when_a_library_changes_then_what_is_older_is_dropped(
    service: Service, listener: Listener
) -> None:
    """Of that user, and nothing else; a reset of all users, where nobody knows what changed."""
    connection = service.next(HEAD + BEAT)
    assert listener.alive()
    for user in ("ada", "bob"):
        listener.keep(user, 3)
    connection.sendall(b"event: news\ndata: {\n\n" + change("ada", 3) + change("ada", 4))
    assert until(lambda: not listener.has("ada"), LONG_S)
    assert listener.has("bob")
    connection.sendall(b'event: reset\ndata: {"seq":9}\n\n')
    assert until(lambda: not listener.has("bob"), LONG_S)
    assert listener.alive()
    assert (listener.connects, listener.pauses.waits) == (1, [])


def end(connection: socket.socket) -> None:
    """End a stream as a service that stops does."""
    connection.shutdown(socket.SHUT_RDWR)


def says(data: bytes) -> Callable[[socket.socket], None]:
    """Return what sends this, and then nothing."""
    return lambda connection: connection.sendall(data)


WAYS: dict[str, Callable[[socket.socket], None]] = {
    "ends": end,
    "is reset": reset,
    "is not JSON": says(b"event: change\ndata: {\n\n"),
    "is no change": says(b"event: change\ndata: [5]\n\n"),
    "has no user": says(b'event: change\ndata: {"user":5,"revision":5}\n\n'),
    "has no revision": says(b'event: change\ndata: {"user":"ada","revision":true}\n\n'),
    "never ends an event": says(b"data: " + b"x" * 300_000),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_stream_when_it_is_lost_then_memory_is_cleared_and_it_is_followed_anew(
    service: Service, listener: Listener, way: Callable[[socket.socket], None]
) -> None:
    """Nothing that was kept before a gap is served after it."""
    connection = service.next(HEAD + BEAT)
    assert listener.alive()
    listener.keep("ada", 3)
    way(connection)
    assert listener.lost()
    service.next(HEAD + BEAT)
    assert listener.alive()
    assert not listener.has("ada")
    assert until(lambda: listener.connects == 2, LONG_S)


def test_stream_when_it_is_silent_then_memory_is_cleared_and_it_is_followed_anew(
    serve: Callable[..., RawServer],
) -> None:
    """A connection that is dead in truth says nothing; nor does the end of an event come."""
    service = Service(serve)
    listener = Listener(service)
    listener.stream.start()
    service.next(HEAD + BEAT + b"event: cha")
    assert until(lambda: listener.connects == 1, LONG_S)
    assert listener.lost()
    service.next()
    listener.close()


NONE = [answer(b"", "500 Oops"), answer(b"<html>sign in</html>"), HEAD, b"garbage\r\n\r\n", b""]


def test_stream_when_it_fails_then_pauses_grow_until_it_beats_and_each_loss_is_told_once(
    service: Service,
    listener: Listener,
    serve: Callable[..., RawServer],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What is no stream is not asked for in a loop, nor elsewhere, and closes no circuit."""
    elsewhere = serve(always(answer()))
    moved = answer(b"", "302 Found", f"Location: {elsewhere.url}")
    for first in (moved, *NONE, HEAD + BEAT, *NONE, moved, HEAD + BEAT):
        connection = service.next(first)
        if BEAT in first:
            assert listener.alive()
            end(connection)
            assert listener.lost()
        else:
            end(connection)
    service.next(HEAD + BEAT)
    assert listener.alive()
    waits = listener.pauses.waits
    growing = [0.05 * 2**turn for turn in range(6)]  # up to 1.6 s, and then 2 s
    expected = [*growing, *growing, 2.0, 0.05]
    assert len(waits) == len(expected)
    for waited, pause_s in zip(waits, expected, strict=True):
        assert pause_s / 2 <= waited <= pause_s
    assert (listener.connects, elsewhere.requests) == (3, [])
    assert sum("events.lost" in record.getMessage() for record in caplog.records) == 2


def test_stream_when_the_user_service_has_none_then_it_is_looked_for_now_and_then(
    service: Service, listener: Listener
) -> None:
    """Memory is not used; readiness does not warn; one that comes with an upgrade is followed."""
    for status in ("404 Not Found", "405 Method Not Allowed", "501 Not Implemented"):
        end(service.next(answer(b"{}", status)))
        assert until(lambda: listener.said() == ("none", "pass"), LONG_S)
        assert not listener.libraries.alive()
    service.next(HEAD + BEAT)
    assert listener.alive()
    assert all(7.5 <= wait_s <= 15 for wait_s in listener.pauses.waits[:3])
    assert listener.connects == 1


def test_health_when_the_stream_is_lost_then_readiness_warns_after_a_while(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restart of the user service is nothing to warn of. The circuits close with the stream."""
    breakers = Breakers("users", BreakerPolicy(failures=1, open_s=60))
    for operation in ("favorites", "watchlist"):
        with pytest.raises(ConnectFailed), breakers.calling(operation, "ada", bool):
            raise ConnectFailed("users")
    listener = Listener(service, breakers.close)
    assert listener.said() == ("off", "pass")
    listener.stream.start()
    connection = service.next(HEAD)
    assert listener.said() == ("lost", "pass")
    monkeypatch.setattr(module, "LOST_S", 0.0)
    assert listener.said() == ("lost", "warn")
    assert [breaker.state for breaker in breakers.all()] == ["open", "open"]
    connection.sendall(BEAT)
    assert until(lambda: listener.said() == ("alive", "pass"), LONG_S)
    assert until(lambda: {breaker.state for breaker in breakers.all()} == {"closed"}, LONG_S)
    listener.clock.move(10)
    assert listener.said() == ("silent", "warn")
    listener.stream.close()
    assert not listener.libraries.alive()
    connection.sendall(BEAT)  # the thread ends with the next event, or with the silence
    listener.stream._thread.join(LONG_S)
    assert not listener.stream._thread.is_alive()
    assert not listener.libraries.alive()
