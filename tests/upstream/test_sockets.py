"""Upstreams that hang, trickle and break off: each call ends at its deadline, under its name."""

from __future__ import annotations

import gzip
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import requests

from bff import context
from bff.context import Deadline, RequestContext
from bff.errors import BadResponse, Unreachable, UpstreamError, UpstreamTimeout
from bff.upstream import sockets
from bff.upstream.guard import Guard, Reply
from tests.upstream.servers import RawServer, Script, answer, make_certificate, reset
from tests.upstream.tools import prepared, until

pytestmark = pytest.mark.e2e

TIMEOUT_S = 0.25
LATE_S = 0.05  # what a call may take beyond its deadline
BUSY_S = 0.1  # what a busy machine may add to it
MakeGuard = Callable[..., Guard]
Serve = Callable[..., RawServer]
HEAD = b"HTTP/1.1 200 OK\r\n"
LONG = HEAD + b"Content-Length: 100000\r\n\r\n"


def hang(connection: socket.socket, server: RawServer) -> None:
    """Read the request and say nothing."""
    server.read(connection)
    server.over.wait(10)


def deaf(connection: socket.socket, server: RawServer) -> None:
    """Do not even read."""
    server.over.wait(10)


def says(*parts: bytes, then: Callable[[socket.socket], None] | None = None) -> Script:
    """Send the parts, and then hang or do something else."""

    def script(connection: socket.socket, server: RawServer) -> None:
        server.read(connection)
        for part in parts:
            connection.sendall(part)
        if then:
            then(connection)
        else:
            server.over.wait(10)

    return script


def trickles(head: bytes, tail: bytes) -> Script:
    """Send the head at once and the tail byte by byte."""

    def script(connection: socket.socket, server: RawServer) -> None:
        server.read(connection)
        connection.sendall(head)
        server.trickle(connection, tail)

    return script


def late_byte(connection: socket.socket, server: RawServer) -> None:
    """Send some of the body shortly before the deadline, and then hang."""
    server.read(connection)
    connection.sendall(LONG)
    server.over.wait(0.8 * TIMEOUT_S)
    connection.sendall(b"x")
    server.over.wait(10)


CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
SLOW: dict[str, Script] = {
    "nobody reads": deaf,
    "hang before the headers": hang,
    "trickle of the status line": trickles(b"", HEAD * 100),
    "trickle of header bytes": trickles(HEAD, b"X-Slow: " + b"x" * 5000),
    "trickle of header lines": trickles(HEAD, b"X-A: b\r\n" * 1000),
    "hang after the headers": says(LONG),
    "hang in the body": says(LONG, b"x" * 5000),
    "a late byte of the body and a hang": late_byte,
    "trickle of body bytes": trickles(LONG, b"x" * 5000),
    "body without a length": trickles(HEAD + b"\r\n", b"x" * 5000),
    "trickle of chunks": trickles(CHUNKED, b"1\r\nx\r\n" * 1000),
    "trickle of a chunk's size": trickles(CHUNKED, b"0" * 5000),
    "trickle of a packed body": trickles(
        HEAD + b"Content-Encoding: gzip\r\nContent-Length: 100000\r\n\r\n",
        gzip.compress(bytes(range(256)) * 100, 0),
    ),
}
BROKEN: dict[str, tuple[Script, type[UpstreamError]]] = {
    "reset before the headers": (says(then=reset), Unreachable),
    "reset in the headers": (says(HEAD, b"X-A:", then=reset), Unreachable),
    "reset in the body": (says(LONG, b"x" * 500, then=reset), Unreachable),
    "closed without a word": (says(then=socket.socket.close), Unreachable),
    "truncated body": (says(LONG, b"x" * 500, then=socket.socket.close), BadResponse),
    "truncated chunk": (
        says(CHUNKED, b"ff\r\nxx", then=socket.socket.close),
        BadResponse,
    ),
    "no chunk at all": (says(CHUNKED, b"zz\r\n", then=socket.socket.close), BadResponse),
    "packed as it says it is not": (
        says(HEAD + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope"),
        BadResponse,
    ),
}


def ends(guard: Guard, url: str) -> tuple[BaseException | None, float]:
    """Make a call in a slot; return how it ended, after which time, with the slot back."""
    return timed(guard, prepared(url, "POST"))


def timed(guard: Guard, request: requests.PreparedRequest) -> tuple[BaseException | None, float]:
    """Measure in the thread that calls: a busy machine wakes the one that waits late."""
    times: list[float] = []

    def task() -> None:
        times.append(time.monotonic())
        try:
            guard.send("popular", request, lambda reply: reply)
        finally:
            times.append(time.monotonic())

    error = guard.start(task).exception(10)
    assert guard.bulkhead.in_flight == 0
    return error, times[1] - times[0]


@pytest.mark.parametrize("script", SLOW.values(), ids=SLOW.keys())
def test_call_when_the_upstream_is_slow_then_ends_at_its_deadline(
    make_guard: MakeGuard, serve: Serve, script: Script
) -> None:
    """However the bytes are spread, it is a timeout in time, and the slot is back."""
    error, took_s = ends(make_guard(timeout_s=TIMEOUT_S, slots=1), serve(script).url)
    assert isinstance(error, UpstreamTimeout)
    assert TIMEOUT_S - 0.01 <= took_s <= TIMEOUT_S + LATE_S + BUSY_S


@pytest.mark.parametrize(("script", "kind"), BROKEN.values(), ids=BROKEN.keys())
def test_call_when_the_answer_breaks_off_then_ends_at_once(
    make_guard: MakeGuard, serve: Serve, script: Script, kind: type[UpstreamError]
) -> None:
    """A reset is a lost connection, a short body is a bad answer; both long before the deadline."""
    error, took_s = ends(make_guard(timeout_s=5, slots=1), serve(script).url)
    assert type(error) is kind
    assert took_s < 1


def test_call_when_the_request_ends_before_the_upstreams_time_then_so_does_the_call(
    make_guard: MakeGuard, serve: Serve
) -> None:
    """The deadline of the request is the nearer one."""
    context.enter(RequestContext("x", Deadline.after(TIMEOUT_S)))
    error, took_s = ends(make_guard(timeout_s=5, slots=1), serve(SLOW["trickle of chunks"]).url)
    assert isinstance(error, UpstreamTimeout)
    assert took_s <= TIMEOUT_S + LATE_S + BUSY_S


def test_call_when_the_body_is_packed_then_is_unpacked(make_guard: MakeGuard, serve: Serve) -> None:
    """gzip, as TMDB sends it, over a connection that is used again."""
    packed = answer(gzip.compress(b'{"page": 1}'), "200 OK", "Content-Encoding: gzip")

    def script(connection: socket.socket, server: RawServer) -> None:
        while True:
            server.read(connection)
            connection.sendall(packed)

    server, guard = serve(script), make_guard()
    for _ in range(3):
        reply = guard.send("popular", prepared(server.url), lambda reply: reply)
        assert reply == Reply(200, reply.headers, b'{"page": 1}')
    assert len(server._connections) == 1


def test_call_when_a_call_broke_off_then_the_next_one_gets_its_own_answer(
    make_guard: MakeGuard, serve: Serve
) -> None:
    """A connection with the rest of an old answer on it is not used again."""

    def script(connection: socket.socket, server: RawServer) -> None:
        server.read(connection)
        if len(server.requests) == 1:
            connection.sendall(LONG + b"old")
            server.over.wait(10)
        connection.sendall(answer(b"new"))

    guard, url = make_guard(timeout_s=TIMEOUT_S, slots=1), serve(script).url
    assert isinstance(ends(guard, url)[0], UpstreamTimeout)
    assert guard.send("popular", prepared(url), lambda reply: reply.body) == b"new"


# -- connecting


def full_servers(hosts: list[str]) -> list[socket.socket]:
    """Return sockets that let nobody connect: their queues are full. The first one is listening."""
    listener = socket.socket()
    listener.bind((hosts[0], 0))
    port = listener.getsockname()[1]
    held = [listener]
    for host in hosts:
        if host != hosts[0]:
            listener = socket.socket()
            listener.bind((host, port))
            held.append(listener)
        listener.listen(0)
        for _ in range(4):
            caller = socket.socket()
            caller.setblocking(False)
            caller.connect_ex((host, port))
            held.append(caller)
    return held


def test_call_when_a_name_has_dead_addresses_then_they_share_one_timeout(
    make_guard: MakeGuard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four addresses that nobody answers at take one timeout, not four."""
    hosts = [f"127.0.0.{number}" for number in range(11, 15)]
    held = full_servers(hosts)
    port = held[0].getsockname()[1]
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port)) for host in hosts]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: found)
    try:
        guard = make_guard(timeout_s=TIMEOUT_S, slots=1)
        error, took_s = ends(guard, f"http://films.test:{port}/")
        assert isinstance(error, UpstreamTimeout)
        assert took_s <= TIMEOUT_S + LATE_S + BUSY_S
    finally:
        for one in held:
            one.close()


def test_call_when_the_first_address_is_dead_then_the_second_still_has_time(
    make_guard: MakeGuard, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dead address leaves half of the time to the next one."""
    server = serve(says(answer(b"there")))
    held = full_servers(["127.0.0.11"])
    dead = ("127.0.0.11", held[0].getsockname()[1])
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", address)
        for address in (dead, ("127.0.0.1", server.port))
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: found)
    try:
        guard = make_guard(timeout_s=1)
        sent = guard.send("popular", prepared("http://half.test/"), lambda reply: reply.body)
        assert sent == b"there"
    finally:
        for one in held:
            one.close()


def test_call_when_the_name_is_unknown_then_is_unreachable(
    make_guard: MakeGuard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name without an address is a lost connection, not a bug."""

    def unknown(*_: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert isinstance(ends(make_guard(), "http://unknown.test/")[0], Unreachable)


def test_call_when_a_large_request_is_not_read_then_ends_at_its_deadline(
    make_guard: MakeGuard, serve: Serve
) -> None:
    """Sending is under the deadline as well."""
    guard = make_guard(timeout_s=TIMEOUT_S, slots=1)
    request = prepared(serve(deaf).url, "POST", data=bytes(20 * 1024 * 1024))
    error, took_s = timed(guard, request)
    assert isinstance(error, UpstreamTimeout)
    assert took_s <= TIMEOUT_S + LATE_S + BUSY_S


# -- TLS


@pytest.fixture
def tls_guard(make_guard: MakeGuard) -> Iterator[MakeGuard]:
    """Return a maker of guards that trust the certificate of the test."""
    path = str(make_certificate())
    sockets.tls.cache_clear()  # a context of their own, which comes to trust it

    def make(**more: object) -> Guard:
        guard = make_guard(**more)
        guard._wire.verify = path
        return guard

    yield make
    sockets.tls.cache_clear()


@pytest.mark.parametrize(
    "name",
    [
        "hang before the headers",
        "trickle of header bytes",
        "trickle of body bytes",
        "hang in the body",
    ],
)
def test_tls_call_when_the_upstream_is_slow_then_ends_at_its_deadline(
    tls_guard: MakeGuard, serve: Serve, name: str
) -> None:
    """The same as without TLS, the handshake included."""
    error, took_s = ends(tls_guard(timeout_s=TIMEOUT_S, slots=1), serve(SLOW[name], tls=True).url)
    assert isinstance(error, UpstreamTimeout)
    assert took_s <= TIMEOUT_S + LATE_S + BUSY_S


@pytest.mark.parametrize("script", [deaf, trickles(b"", b"\x16\x03\x03\x40\x00" + bytes(5000))])
def test_tls_call_when_the_handshake_does_not_end_then_ends_at_its_deadline(
    tls_guard: MakeGuard, serve: Serve, script: Script
) -> None:
    """A server that says nothing, or a byte now and then, before there is a TLS connection."""

    def raw(connection: socket.socket, server: RawServer) -> None:
        connection.recv(1)
        if script is deaf:
            server.over.wait(10)
        else:
            server.trickle(connection, b"\x16\x03\x03\x40\x00" + bytes(5000))

    url = serve(raw).url.replace("http:", "https:")
    error, took_s = ends(tls_guard(timeout_s=TIMEOUT_S, slots=1), url)
    assert isinstance(error, UpstreamTimeout)
    assert took_s <= TIMEOUT_S + LATE_S + BUSY_S


def test_tls_call_when_the_certificate_is_trusted_then_is_answered_over_one_connection(
    tls_guard: MakeGuard, serve: Serve
) -> None:
    """The sockets of the deadline are good TLS sockets, used again."""

    def script(connection: socket.socket, server: RawServer) -> None:
        while True:
            server.read(connection)
            connection.sendall(answer(b"x" * 100_000))

    server, guard = serve(script, tls=True), tls_guard()
    for _ in range(3):
        assert len(guard.send("popular", prepared(server.url), lambda reply: reply.body)) == 100_000
    assert len(server._threads) == 2  # one accepts, one serves


def test_tls_call_when_the_certificate_is_not_trusted_then_is_unreachable(
    make_guard: MakeGuard, serve: Serve
) -> None:
    """Nothing is sent to who cannot prove its name."""
    server = serve(says(answer()), tls=True)
    assert isinstance(ends(make_guard(), server.url)[0], Unreachable)
    assert server.requests == []


def test_deadline_sockets_then_are_what_connections_use(make_guard: MakeGuard) -> None:
    """An upgrade that goes past them would let a trickle live for ever."""
    adapter = make_guard()._wire._adapter
    tls = adapter.poolmanager.connection_pool_kw["ssl_context"]
    assert tls.sslsocket_class is sockets.DeadlineTlsSocket
    assert tls.verify_mode is ssl.CERT_REQUIRED
    assert tls.check_hostname


def test_adapters_when_there_are_many_then_the_certificates_are_read_once() -> None:
    """It takes longer than all the rest of the start."""
    adapters = [sockets.DeadlineAdapter(1), sockets.DeadlineAdapter(2)]
    found = {id(each.poolmanager.connection_pool_kw["ssl_context"]) for each in adapters}
    assert found == {id(sockets.tls())}
    for each in adapters:  # and not again by urllib3 at each connect
        assert each.pool(prepared("https://films.test/"), True).ca_certs is None


def test_call_when_many_hang_then_all_slots_are_back_within_the_timeout(
    make_guard: MakeGuard, serve: Serve
) -> None:
    """Abandoned calls give slot and thread back by themselves."""
    guard, url = make_guard(timeout_s=TIMEOUT_S, slots=8), serve(hang).url
    before = threading.active_count()
    for _ in range(8):
        guard.start(guard.send, "popular", prepared(url), lambda reply: reply)
    assert guard.bulkhead.in_flight == 8
    assert until(lambda: guard.bulkhead.in_flight == 0, TIMEOUT_S + 1)
    assert threading.active_count() <= before + 16  # the pool and the server, nothing else
