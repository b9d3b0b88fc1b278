"""HTTP sessions against upstreams that misbehave: each call ends in time, bounded, on its own."""

from __future__ import annotations

import gzip
import logging
import os
import socket
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from unittest import mock

import orjson
import pytest
import requests

import bff
from bff import context
from bff.context import Deadline, RequestContext
from bff.errors import (
    BadResponse,
    RateLimited,
    Unreachable,
    UpstreamError,
    UpstreamFailed,
    UpstreamTimeout,
)
from bff.upstream.breaker import Breakers
from bff.upstream.guard import Guard
from bff.upstream.rate import Pause
from bff.upstream.session import MOST_BYTES, configure, prepared
from config import Config
from tests.bff.doctor.servers import HttpServer, certificate
from tests.bff.upstream.servers import RawServer, Script, always, answer, reset
from tests.bff.upstream.tools import permits, until

pytestmark = pytest.mark.e2e

TIMEOUT_S = 0.25
HANG_S = 10  # a call that takes longer is taken for one that never ends
SECRET = "planted-secret"
HEAD = b"HTTP/1.1 200 OK\r\n"
LONG = HEAD + b"Content-Length: 100000\r\n\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
Serve = Callable[..., RawServer]
Make = Callable[..., Guard]


@pytest.fixture(name="make")
def _make() -> Iterator[Make]:
    """Return a maker of guards without a circuit; `timeout_s`, `proxy`, `ipv4_only`."""
    made: list[Guard] = []

    def make(timeout_s: float = HANG_S, proxy: str = "", *, ipv4_only: bool = False) -> Guard:
        session = configure(requests.Session(), 4, proxy, ipv4_only=ipv4_only)
        breakers, limiter = Breakers("tmdb", None), permits()
        made.append(Guard("tmdb", session, timeout_s, breakers, limiter, Pause("tmdb")))
        return made[-1]

    yield make
    for guard in made:
        guard.close()


def send(guard: Guard, url: str, method: str = "POST", **headers: str) -> bytes:
    """Make a call, which is not repeated unless it is a GET; take a 200 and nothing else."""

    def read(response: requests.Response, body: bytes) -> bytes:
        if response.status_code != 200:
            raise BadResponse("tmdb", f"status {response.status_code}")
        return body

    return guard.send("popular", "page 1", prepared(method, url, headers), read)


def says(*parts: bytes, then: Callable[[socket.socket], None] | None = None) -> Script:
    """Send the parts, and then `then`, or wait; who sends one more request hears "reused"."""

    def script(connection: socket.socket, server: RawServer) -> None:
        server.read(connection)
        for part in parts:
            connection.sendall(part)
        if then:
            then(connection)
        else:
            server.read(connection)
            connection.sendall(answer(b"reused"))

    return script


def first(script: Script) -> Script:
    """Do this to the first connection, and answer the others."""
    good = always(answer(b"mine"))

    def either(connection: socket.socket, server: RawServer) -> None:
        (script if len(server._connections) == 1 else good)(connection, server)

    return either


def trickles(head: bytes, tail: bytes) -> Script:
    """Send the head at once and the tail byte by byte."""

    def script(connection: socket.socket, server: RawServer) -> None:
        server.read(connection)
        connection.sendall(head)
        server.trickle(connection, tail)

    return script


def endless(head: bytes, part: bytes) -> Script:
    """Send the same part again and again."""

    def script(connection: socket.socket, server: RawServer) -> None:
        server.read(connection)
        connection.sendall(head)
        while not server.over.is_set():
            connection.sendall(part)

    return script


# -- the deadline


SLOW: dict[str, Script] = {
    "nobody reads": lambda connection, server: server.over.wait(3 * HANG_S) and None,
    "hang before the head": says(),
    "hang in the head": says(HEAD, b"X-A: b"),
    "hang after the head": says(LONG),
    "hang in the body": says(LONG, b"x" * 5000),
    "drip of the body": trickles(LONG, b"x" * 5000),
    "drip of a body without a length": trickles(HEAD + b"\r\n", b"x" * 5000),
    "drip of chunks": trickles(CHUNKED, b"1\r\nx\r\n" * 1000),
    "drip of a packed body": trickles(
        HEAD + b"Content-Encoding: gzip\r\nContent-Length: 100000\r\n\r\n",
        gzip.compress(bytes(range(256)) * 100, 0),
    ),
}


@pytest.mark.parametrize("script", SLOW.values(), ids=SLOW.keys())
def test_call_when_the_upstream_is_slow_then_is_a_timeout_and_the_next_one_is_unharmed(
    make: Make, serve: Serve, script: Script
) -> None:
    """However the bytes are spread; what is left of the answer meets no other request."""
    server, guard, now = serve(first(script)), make(TIMEOUT_S), context.current()
    started = time.monotonic()
    with pytest.raises(UpstreamTimeout):
        send(guard, server.url)
    assert TIMEOUT_S - 0.01 <= time.monotonic() - started < HANG_S
    guard.timeout_s = HANG_S
    assert send(guard, server.url) == b"mine"
    assert len(server._connections) == 2
    context.enter(RequestContext("x", Deadline.after(0.01)))  # the nearer one of the two
    with pytest.raises(UpstreamTimeout):
        send(guard, serve(script).url)
    context.enter(now)


# -- answers that are none


@contextmanager
def bounded() -> Iterator[None]:
    """Look that the block takes no more memory than a few of the largest answers."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < 3 * MOST_BYTES
    finally:
        tracemalloc.stop()


BOUND = answer(bytes(MOST_BYTES))
PACKED = answer(gzip.compress(bytes(MOST_BYTES), 1), "200 OK", "Content-Encoding: gzip")
BAD: dict[str, Script] = {
    "8 MiB and a byte": says(HEAD + b"\r\n" + bytes(MOST_BYTES + 1), then=socket.socket.close),
    "20 MB": says(answer(b"x" * 20 * 2**20)),
    "20 MB that say nothing of it": says(HEAD + b"\r\n" + b"x" * 20 * 2**20, then=reset),
    "endless chunks": endless(CHUNKED, b"10000\r\n" + b"x" * 65_536 + b"\r\n"),
    "endless body": endless(HEAD + b"\r\n", b"x" * 65_536),
    "gzip bomb": says(answer(gzip.compress(bytes(2**27), 1), "200 OK", "Content-Encoding: gzip")),
    "deflate bomb": says(
        answer(zlib.compress(bytes(2**27)), "200 OK", "Content-Encoding: deflate")
    ),
    "no gzip": says(LONG.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n"), b"no" * 9999),
    "garbage": says(b"<html>no HTTP</html>\r\n\r\n"),
    "another version": says(b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"),
    "a status of two digits": says(b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n"),
    "a header of 1 MB": says(HEAD + b"X-A: " + b"b" * 2**20 + b"\r\nContent-Length: 0\r\n\r\n"),
    "101 headers": says(HEAD + b"X-A: b\r\n" * 101 + b"Content-Length: 0\r\n\r\n"),
    "103 once": says(b"HTTP/1.1 103 X\r\nLink: a\r\n\r\n"),
    "103 a hundred times": says(b"HTTP/1.1 103 X\r\nLink: a\r\n\r\n" * 100 + answer(b"late")),
    "another protocol": says(b"HTTP/1.1 101 X\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\nabc"),
    "two lengths": says(HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc"),
    "truncated body": says(LONG, b"x" * 500, then=socket.socket.close),
    "truncated chunk": says(CHUNKED, b"ff\r\nxx", then=socket.socket.close),
    "no last chunk": says(CHUNKED, b"2\r\n{}\r\n", then=socket.socket.close),
    "no chunk at all": says(CHUNKED, b"zz\r\n"),
}
BROKEN: dict[str, Script] = {
    "reset before the head": says(then=reset),
    "reset in the head": says(HEAD, b"X-A:", then=reset),
    "reset in the body": says(LONG, b"x" * 500, then=reset),
    "closed without a word": says(then=socket.socket.close),
}


@pytest.mark.parametrize("name", [*BAD, *BROKEN])
def test_call_when_the_answer_is_none_then_it_fails_alone_in_bounded_memory(
    make: Make, serve: Serve, name: str
) -> None:
    """Its name says what happened; its connection is not used again, whatever comes on it."""
    server, guard = serve(first((BAD | BROKEN)[name])), make()
    with bounded(), pytest.raises(UpstreamError) as caught:
        send(guard, server.url)
    assert type(caught.value) is (BadResponse if name in BAD else Unreachable)
    assert send(guard, server.url) == b"mine"
    assert len(server._connections) == 2


def test_call_when_more_follows_the_answer_then_nobody_takes_it_for_theirs(
    make: Make, serve: Serve
) -> None:
    """Neither what comes with an answer nor what comes after it."""
    go, gone = threading.Event(), threading.Event()

    def script(connection: socket.socket, server: RawServer) -> None:
        server.read(connection)
        connection.sendall(answer(b"first") + answer(b"of another"))
        go.wait(HANG_S)
        connection.sendall(answer(b"of another"))
        gone.set()
        server.read(connection)

    server, guard = serve(first(script)), make()
    assert send(guard, server.url) == b"first"
    go.set()
    assert gone.wait(HANG_S)
    assert send(guard, server.url) == b"mine"


# -- answers


GOOD: dict[str, tuple[bytes, bool]] = {
    "a length": (answer(b"{}"), True),
    "chunks and trailers": (CHUNKED + b"1;a=b\r\n{\r\n1\r\n}\r\n0\r\nX-A: b\r\n\r\n", True),
    "until the end": (HEAD + b"\r\n{}", False),
    "closing": (answer(b"{}", "200 OK", "Connection: close"), False),
    "1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", False),
    "100 Continue a hundred times": (b"HTTP/1.1 100 X\r\n\r\n" * 100 + answer(b"{}"), True),
    "gzip": (answer(gzip.compress(b"{}"), "200 OK", "Content-Encoding: gzip"), True),
    "gzip that says nothing of it": (answer(gzip.compress(b"{}")), True),
    "8 MiB": (BOUND, True),
    "8 MiB of gzip": (PACKED, True),
}


@pytest.mark.parametrize(("data", "reusable"), GOOD.values(), ids=GOOD.keys())
def test_call_when_the_answer_is_whole_then_the_connection_is_used_again_if_it_may_be(
    make: Make, serve: Serve, data: bytes, reusable: bool
) -> None:
    """By its length, in chunks or until the end; packed or not."""

    def script(connection: socket.socket, server: RawServer) -> None:
        more = True
        while more:
            server.read(connection)
            connection.sendall(data)
            more = reusable

    server, guard = serve(script), make()
    assert {send(guard, server.url) for _ in range(3)} <= {b"{}", bytes(MOST_BYTES)}
    assert len(server._connections) == (1 if reusable else 3)


@pytest.mark.parametrize(
    ("status", "kept", "error"),
    [("500 X", True, UpstreamFailed), ("429 X", False, RateLimited), ("301 X", True, BadResponse)],
)
def test_call_when_it_fails_then_its_connection_is_used_again_or_closed_at_once(
    make: Make, serve: Serve, status: str, kept: bool, error: type[UpstreamError]
) -> None:
    """A body that is read to its end keeps no socket. Nobody follows a redirect."""
    elsewhere = serve(always(answer()))
    server = serve(always(answer(b"x" * 100_000, status, f"Location: {elsewhere.url}")))
    guard = make()
    with pytest.raises(error) as held:
        send(guard, server.url, Authorization=SECRET)
    assert kept or until(lambda: not server._threads[1].is_alive())
    if kept:
        with pytest.raises(error):
            send(guard, server.url)
        assert len(server._connections) == 1
    del held
    assert elsewhere.requests == []


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("idle", [True, False])
def test_connection_when_the_upstream_closes_it_then_a_write_is_never_sent_twice(
    make: Make, serve: Serve, method: str, idle: bool
) -> None:
    """What was closed while idle is not used; what is closed as a request comes ends a write."""

    def closing(connection: socket.socket, server: RawServer) -> None:
        server.read(connection)
        connection.sendall(answer(b"mine"))
        if not idle:
            server.read(connection)

    server, guard = serve(first(closing)), make()
    assert send(guard, server.url, method) == b"mine"
    if idle:
        assert until(lambda: not server._threads[1].is_alive())
    if idle or method == "GET":
        assert send(guard, server.url, method) == b"mine"
    else:
        with pytest.raises(Unreachable):
            send(guard, server.url, method)
    assert len(server.requests) == (3 if method == "GET" and not idle else 2)


# -- what a session must not do


def test_session_when_environment_netrc_or_cookies_say_otherwise_then_they_are_ignored(
    make: Make, serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The call goes to the upstream itself, with our credential and without its cookies."""
    server = serve(always(answer(b"{}", "200 OK", "Set-Cookie: session=alice; Path=/")))
    proxy, guard = serve(always(answer(b"proxied"))), make()
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login eve password evil\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy.url)
    monkeypatch.delenv("no_proxy", raising=False)
    for _ in range(2):
        assert send(guard, server.url, Authorization="Bearer ours") == b"{}"
        assert b"Authorization: Bearer ours" in server.requests[-1]
    assert b"alice" not in b"".join(server.requests)
    assert proxy.requests == []


LEAKS: dict[str, Script] = {
    "header without a colon": says(HEAD + f"Authorization {SECRET}\r\n\r\n".encode()),
    "both a length and chunks": says(HEAD + b"Content-Length: 2\r\n" + CHUNKED[17:] + b"0\r\n\r\n"),
    **{name: BAD[name] for name in ("garbage", "truncated body")},
    **{name: (BROKEN | SLOW)[name] for name in ("reset before the head", "hang in the head")},
    **{status: says(answer(b"{}", status)) for status in ("401 X", "500 X")},
}


@pytest.mark.parametrize("script", LEAKS.values(), ids=LEAKS.keys())
def test_call_when_it_fails_then_neither_its_error_nor_a_log_line_has_the_credential(
    make: Make, serve: Serve, caplog: pytest.LogCaptureFixture, script: Script
) -> None:
    """Neither that of the address nor that of a header, at any level and from any library."""
    caplog.set_level(logging.DEBUG)
    texts = ["nothing was raised"]
    for url in (serve(script).url, "http://127.0.0.1:9/"):
        try:
            send(make(TIMEOUT_S), f"{url}?api_key={SECRET}", Authorization=SECRET)
        except UpstreamError as error:
            texts += [str(error), repr(error)]
    assert len(texts) >= 3
    assert SECRET not in "".join(texts) + caplog.text


# -- the way there


def test_proxy_when_it_is_set_then_tmdb_is_reached_through_it_and_nothing_tells_of_it(
    serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Of the whole app. The proxy gets the address and its password; one it refuses is a 502."""
    sizes = {f"{kind}_sizes": ["w1"] for kind in ("poster", "profile", "backdrop")}
    images = orjson.dumps({"images": {"secure_base_url": "https://images.test/", **sizes}})
    proxy = serve(always(answer(images), answer(b"", "407 X")))
    settings = {
        "ENV_FILE": os.devnull,
        "CACHE_DIR": str(tmp_path),
        "CACHE_ENABLED": "false",
        "USER_SERVICE_EVENTS": "false",
        "TMDB_READ_TOKEN": "t",
        "TMDB_BASE_URL": "http://tmdb.test/3",
        "TMDB_PROXY": proxy.url.replace("//", f"//me:{SECRET}@"),
        "HTTP_PROXY": "http://127.0.0.1:1",
    }
    with mock.patch.dict(os.environ, settings, clear=True):
        app = bff.create_app(Config.from_env())
    logging.getLogger("bff").propagate = True
    caplog.set_level(logging.DEBUG)
    seen = [app.test_client().get("/api/configuration") for _ in range(2)]
    app.extensions["bff"].close()
    assert [response.status_code for response in seen] == [200, 502], seen[0].text
    head = proxy.requests[0]
    assert head.startswith(b"GET http://tmdb.test/3/configuration HTTP/1.1\r\nHost: tmdb.test\r\n")
    assert b"\r\nProxy-Authorization: Basic " in head
    assert "upstream.call" in caplog.text
    assert SECRET not in caplog.text + repr([(it.text, list(it.headers)) for it in seen])


def test_proxy_when_it_refuses_or_is_gone_then_no_connection_is_made(
    make: Make, serve: Serve
) -> None:
    """Nobody goes around it, and its password stays out of the error."""
    for url in (serve(always(answer(b"", "407 X"))).url, "http://127.0.0.1:9/"):
        guard = make(proxy=url.replace("//", f"//me:{SECRET}@"))
        with pytest.raises(Unreachable) as caught:
            send(guard, "https://tmdb.test/")
        assert SECRET not in str(caught.value)


@pytest.mark.parametrize("known", [False, True])
def test_tls_when_the_certificate_is_nobodys_then_nothing_is_sent(
    tmp_path: Path, known: bool
) -> None:
    """A stranger in the place of the upstream hears no credential."""
    file = certificate(tmp_path, "127.0.0.1")
    session = configure(requests.Session(), 4, ca_bundle=str(file) if known else "")
    guard = Guard("tmdb", session, HANG_S, Breakers("tmdb", None), permits())
    with closing(HttpServer({"/": (200, {}, {})}, tls=file)) as server, suppress(Unreachable):
        send(guard, server.url.replace("http:", "https:") + "/", "GET", Authorization=SECRET)
    assert bool(server.seen) == known


@pytest.mark.parametrize("ipv4_only", [False, True])
def test_session_when_only_ipv4_is_wanted_then_ipv6_is_not_tried(
    make: Make, serve: Serve, monkeypatch: pytest.MonkeyPatch, ipv4_only: bool
) -> None:
    """A machine may believe that it has IPv6, and wait for it in vain."""
    server = serve(always(answer()))
    try:
        other = socket.create_server(("::1", server.port), family=socket.AF_INET6)
    except OSError:
        pytest.skip("no IPv6 here")
    other.settimeout(0)
    found = [
        (family, socket.SOCK_STREAM, 6, "", (host, server.port))
        for family, host in ((socket.AF_INET6, "::1"), (socket.AF_INET, "127.0.0.1"))
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    guard = make(HANG_S if ipv4_only else TIMEOUT_S, ipv4_only=ipv4_only)
    with other, suppress(UpstreamTimeout):
        assert send(guard, "http://films.test/") == b"{}"
        with pytest.raises(BlockingIOError):
            other.accept()
    assert bool(server.requests) == ipv4_only
