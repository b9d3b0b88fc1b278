"""Requests as they are written, and answers as they are read: whole, strict and bounded."""

from __future__ import annotations

import gzip
import socket
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import requests

from bff.steps import alone
from bff.upstream import sockets
from bff.upstream.answers import (
    MOST_BYTES,
    MOST_FIELDS,
    MOST_HEAD_BYTES,
    NO_HTTP,
    NOT_DECODED,
    TOO_LARGE,
    Answer,
    BadAnswer,
    Reading,
    unpacked,
)
from bff.upstream.session import prepared
from bff.upstream.wire import AGENT, Wire
from tests.bff.doctor import servers
from tests.bff.proxy import Proxy
from tests.upstream.servers import RawServer, always, answer
from tests.upstream.tools import until

Serve = Callable[..., RawServer]
SECRET = "planted-proxy-password"
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


def packed(data: bytes, level: int = 9) -> bytes:
    """Pack, always into the same bytes: a time in them would be another name of the test."""
    return gzip.compress(data, level, mtime=0)


@pytest.fixture
def wire() -> Iterator[Wire]:
    """Return a wire without a proxy."""
    made = Wire(4)
    yield made
    made.close()


def send(wire: Wire, request: requests.PreparedRequest, timeout_s: float) -> Answer:
    """Send a request and wait for the answer."""
    return alone(wire.sending(request, timeout_s))


def read(data: bytes, step: int = 0, method: str = "GET") -> tuple[Answer, bool]:
    """Read an answer that comes in parts of `step` bytes, after which the connection ends."""
    reading = Reading(method)
    for begin in range(0, len(data), step or len(data)):
        reading.feed(data[begin : begin + (step or len(data))])
        if reading.done:
            break
    if not reading.done:
        reading.end()
    return reading.answer(), reading.reusable


# -- answers


WHOLE: dict[str, tuple[bytes, bytes, bool]] = {
    "a length": (OK + b"Content-Length: 2\r\n\r\n{}", b"{}", True),
    "no body": (OK + b"Content-Length: 0\r\n\r\n", b"", True),
    "chunks": (CHUNKED + b"2\r\n{}\r\n3;a=b\r\nabc\r\n0\r\n\r\n", b"{}abc", True),
    "trailers": (CHUNKED + b"2\r\n{}\r\n0\r\nX-A: b\r\n\r\n", b"{}", True),
    "until the end": (OK + b"\r\n{}", b"{}", False),
    "until the end, nothing": (OK + b"\r\n", b"", False),
    "closing": (OK + b"Connection: close\r\nContent-Length: 2\r\n\r\n{}", b"{}", False),
    "1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", b"{}", False),
    "1.0 kept": (
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\n{}",
        b"{}",
        True,
    ),
    "no reason": (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\n{}", b"{}", True),
    "after 100 and 103": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 X\r\nLink: a\r\n\r\n"
        + answer(b"{}", "200 OK", "X-A: b"),
        b"{}",
        True,
    ),
}


@pytest.mark.parametrize("step", [0, 1, 7])
@pytest.mark.parametrize(("data", "body", "reusable"), WHOLE.values(), ids=WHOLE.keys())
def test_answer_when_it_is_whole_then_is_read_however_it_is_cut(
    data: bytes, body: bytes, reusable: bool, step: int
) -> None:
    """By its length, in chunks or until the end; and then the connection is kept or not."""
    found, kept = read(data, step)
    assert (found.status, found.body, kept) == (200, body, reusable)
    assert "link" not in found.headers


@pytest.mark.parametrize("status", ["204 X", "304 X"])
def test_answer_when_its_status_has_no_body_then_none_is_waited_for(status: str) -> None:
    """Whatever length it names."""
    found, kept = read(f"HTTP/1.1 {status}\r\nContent-Length: 5\r\n\r\n".encode(), 1)
    assert (found.status, found.body, kept) == (int(status[:3]), b"", True)


@pytest.mark.parametrize("rest", [b"", b"{}"])
def test_answer_when_it_is_to_head_then_has_no_body(rest: bytes) -> None:
    """A body that comes all the same is no part of it, and the connection is not used again."""
    found, kept = read(OK + b"Content-Length: 2\r\n\r\n" + rest, method="HEAD")
    assert (found.body, found.headers["Content-Length"], kept) == (b"", "2", False)


@pytest.mark.parametrize("rest", [b"x", b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"])
@pytest.mark.parametrize("head", [OK, OK + b"Connection: close\r\n"])
def test_answer_when_more_follows_then_is_kept_apart_and_the_connection_is_not_used(
    head: bytes, rest: bytes
) -> None:
    """What was not asked for is nobody's answer."""
    found, kept = read(head + b"Content-Length: 2\r\n\r\n{}" + rest)
    assert (found.body, dict(found.headers)["content-length"], kept) == (b"{}", "2", False)


def test_headers_when_asked_for_then_in_any_case_and_joined() -> None:
    """A header that came twice is a list."""
    found, _ = read(answer(b"", "200 OK", "X-One:  a ", "x-two: b", "X-TWO: c", "X-No:"))
    assert found.headers["x-ONE"] == "a"
    assert found.headers["X-Two"] == "b, c"
    assert found.headers["X-No"] == ""
    assert found.headers.get("X-Three") is None
    assert len(found.headers) == 4


BAD: dict[str, bytes] = {
    "garbage": b"<html>",
    "a request": b"GET / HTTP/1.1\r\n\r\n",
    "another version": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "a status of two digits": b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
    "half a status line": b"HTTP/1.1 2",
    "half a head": OK + b"X-A: b",
    "half a head, whole lines": OK + b"X-A: b\r\n",
    "short body": OK + b"Content-Length: 3\r\n\r\n{}",
    "short chunk": CHUNKED + b"3\r\n{}",
    "no last chunk": CHUNKED + b"2\r\n{}\r\n",
    "half a trailer": CHUNKED + b"2\r\n{}\r\n0\r\nX-A: b\r\n",
    "no chunk": CHUNKED + b"zz\r\n",
    "only 100": b"HTTP/1.1 100 Continue\r\n\r\n",
    "another protocol": b"HTTP/1.1 101 X\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\nabc",
    "101 alone": b"HTTP/1.1 101 X\r\n\r\n",
    "length and chunks": OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
    "a signed length": OK + b"Content-Length: +2\r\n\r\n{}",
    "a length beyond numbers": OK + b"Content-Length: 99999999999999999999999\r\n\r\n",
    "packed on its way": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "packed on its way, to the end": OK + b"Transfer-Encoding: gzip\r\n\r\nabc",
    "NUL in a header": OK + b"X-A: b\0c\r\nContent-Length: 0\r\n\r\n",
    "space before the colon": OK + b"X-A : b\r\nContent-Length: 0\r\n\r\n",
    "a folded header": OK + b"X-A: b\r\n c\r\nContent-Length: 0\r\n\r\n",
    "too many headers": OK + b"X-A: b\r\n" * (MOST_FIELDS + 1) + b"Content-Length: 0\r\n\r\n",
    "a long header": OK + b"X-A: " + b"b" * MOST_HEAD_BYTES + b"\r\nContent-Length: 0\r\n\r\n",
    "many heads": b"HTTP/1.1 103 X\r\n\r\n" * (MOST_HEAD_BYTES // 18 + 1),
    "endless trailers": CHUNKED + b"0\r\n" + b"X-A: b\r\n" * (MOST_HEAD_BYTES // 8),
    "endless extension": CHUNKED + b"1;" + b"x" * MOST_HEAD_BYTES,
}


@pytest.mark.parametrize("step", [0, 1000])
@pytest.mark.parametrize("data", BAD.values(), ids=BAD.keys())
def test_answer_when_it_is_none_then_says_so(data: bytes, step: int) -> None:
    """What breaks off, can be read in two ways or does not end is refused."""
    with pytest.raises(BadAnswer, match=f"^{NO_HTTP}$"):
        read(data, step)


def test_answer_when_a_head_does_not_end_then_is_refused_while_it_comes() -> None:
    """Not only where the connection ends; and the most that may come does."""
    reading, line = Reading("GET"), b"X-A: " + b"b" * 993 + b"\r\n"
    reading.feed(OK)
    for _ in range(65):
        reading.feed(line)
    with pytest.raises(BadAnswer):
        reading.feed(line)
    most = OK + b"X-A: b\r\n" * (MOST_FIELDS - 1) + b"Content-Length: 0\r\n\r\n"
    assert read(most)[0].status == 200


def test_answer_when_chunks_are_of_one_byte_then_is_no_flood() -> None:
    """Frames may be more than what they hold."""
    assert read(CHUNKED + b"1\r\nx\r\n" * 50_000 + b"0\r\n\r\n", 4096)[0].body == b"x" * 50_000


@pytest.mark.parametrize("head", [OK + b"\r\n", CHUNKED, OK + b"Content-Length: 99999999\r\n\r\n"])
def test_answer_when_it_is_too_large_then_is_refused_while_it_comes(head: bytes) -> None:
    """As soon as there are more than 8 MB, however it is framed."""
    part = b"x" * 65_536
    frame = b"10000\r\n" + part + b"\r\n" if head is CHUNKED else part
    reading = Reading("GET")
    reading.feed(head)
    for _ in range(MOST_BYTES // len(part)):
        reading.feed(frame)
    with pytest.raises(BadAnswer, match=TOO_LARGE):
        reading.feed(frame)


# -- packed bodies


def bare(data: bytes) -> bytes:
    """Return `data` deflated without a frame."""
    packing = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packing.compress(data) + packing.flush()


@pytest.mark.parametrize(
    ("body", "coding"),
    [
        (b"text", ""),
        (b"text", "identity"),
        (packed(b"text"), "gzip"),
        (packed(b"text"), " X-GZIP"),
        (packed(b"te") + packed(b"xt"), "gzip"),
        (zlib.compress(b"text"), "deflate"),
        (bare(b"text"), "deflate"),
        (packed(zlib.compress(b"text")), "deflate, gzip"),
    ],
)
def test_body_when_it_is_packed_then_is_unpacked(body: bytes, coding: str) -> None:
    """In every way that an upstream may pack it."""
    assert unpacked(body, coding) == b"text"


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br"])
def test_body_when_there_is_none_then_nothing_is_unpacked(coding: str) -> None:
    """An answer without a body may name a coding."""
    assert unpacked(b"", coding) == b""


@pytest.mark.parametrize(
    ("body", "coding"),
    [
        (b"nope", "gzip"),
        (b"nope", "deflate"),
        (b"nope", "br"),
        (packed(b"text")[:-1], "gzip"),
        (packed(b"text")[:-8] + bytes(8), "gzip"),
        (packed(b"text") + b"more", "gzip"),
        (17 * packed(b""), "gzip"),
        (b"text", "identity, identity, identity, identity"),
    ],
)
def test_body_when_it_cannot_be_unpacked_then_says_so(body: bytes, coding: str) -> None:
    """Neither half of it nor what it was packed in is taken for the answer."""
    with pytest.raises(BadAnswer, match=NOT_DECODED):
        unpacked(body, coding)


@pytest.mark.parametrize(("pack", "coding"), [(gzip.compress, "gzip"), (zlib.compress, "deflate")])
def test_body_when_it_unpacks_to_more_than_the_most_then_is_cut(
    pack: Callable[[bytes], bytes], coding: str
) -> None:
    """Also in members of which each is small enough; the most itself passes."""
    assert len(unpacked(pack(bytes(MOST_BYTES)), coding)) == MOST_BYTES
    with pytest.raises(BadAnswer, match=TOO_LARGE):
        unpacked(pack(bytes(MOST_BYTES + 1)), coding)
    if coding == "gzip":
        with pytest.raises(BadAnswer, match=TOO_LARGE):
            unpacked(pack(bytes(MOST_BYTES)) + pack(b"x"), coding)


# -- requests


def test_request_when_it_is_sent_then_is_one_piece_as_http_has_it(wire: Wire, serve: Serve) -> None:
    """Head and body in one write, with host, agent and length."""
    parts: list[bytes] = []

    def script(connection: socket.socket, server: RawServer) -> None:
        while True:
            parts.append(connection.recv(65_536))
            connection.sendall(answer())

    url = serve(script).url
    send(wire, prepared("GET", f"{url}a?b=c", {"X-A": "\xe9"}), 5)
    send(wire, prepared("PUT", url, {"User-Agent": "me", "Accept-Encoding": "gzip"}, b"{}"), 5)
    send(wire, prepared("POST", url, {"Host": "films.test"}), 5)

    host = url.split("/")[2].encode()
    agent = f"User-Agent: {AGENT}\r\n".encode()
    get = b"X-A: \xe9\r\nAccept-Encoding: identity\r\n" + agent + b"\r\n"
    assert parts[0] == b"GET /a?b=c HTTP/1.1\r\nHost: " + host + b"\r\n" + get
    put = b"User-Agent: me\r\nAccept-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}"
    assert parts[1] == b"PUT / HTTP/1.1\r\nHost: " + host + b"\r\n" + put
    assert parts[2].count(b"Host: ") == 1
    assert b"Content-Length: 0\r\n" in parts[2]


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "", {"X-A": "b\r\nX-C: d"}),
        ("GET", "", {"X-A": "b\nX-C: d"}),
        ("GET", "", {"X-A": "b\r"}),
        ("GET", "", {"X-A": "b\0"}),
        ("GET", "", {"X-A": "\u20ac"}),
        ("GET", "", {"X-A:": "b"}),
        ("GET", "", {"X A": "b"}),
        ("GET", "", {"": "b"}),
        ("GET", "", {"X-A\r\nX-C": "b"}),
        ("GET / HTTP/1.1\r\n", "", {}),
        ("", "", {}),
        ("GET", "a b", {}),
        ("GET", "a\r\nX-C: d", {}),
        ("GET", "\xe9", {}),
    ],
)
def test_request_when_it_would_not_be_one_then_nothing_goes_out(
    wire: Wire, serve: Serve, method: str, path: str, headers: dict[str, str]
) -> None:
    """A value that ends its line would be a header of its own, or a second request."""
    server = serve(always(answer()))
    with pytest.raises(ValueError):
        send(wire, prepared(method, server.url + path, headers), 5)
    assert server._connections == []


# -- connections


def test_connection_when_the_peer_closed_it_while_idle_then_a_write_goes_out_on_another(
    wire: Wire, serve: Serve
) -> None:
    """A write is not sent twice, so that it must not meet a dead connection."""
    closed = threading.Event()

    def script(connection: socket.socket, server: RawServer) -> None:
        server.read(connection)
        connection.sendall(answer())
        connection.close()
        closed.set()

    server = serve(script)
    for _ in range(3):
        closed.clear()
        assert send(wire, prepared("POST", server.url, {}, b"{}"), 5).status == 200
        assert closed.wait(5)
        idle = next(iter(wire._ways.values())).pool.idle[-1]
        assert until(lambda idle=idle: not idle.is_connected)
    assert len(server._connections) == 3


@pytest.mark.parametrize(
    ("data", "connections"),
    [
        (answer(), 1),
        (CHUNKED + b"2\r\n{}\r\n0\r\nX-A: b\r\n\r\n", 1),
        (answer(b"{}", "200 OK", "Connection: close"), 2),
        (answer() + b"x", 2),
        (answer() + answer(b"of another"), 2),
        (answer(b"nope", "200 OK", "Content-Encoding: gzip"), 2),
    ],
)
def test_connection_when_the_answer_is_whole_then_is_used_again_unless_something_is_wrong(
    wire: Wire, serve: Serve, data: bytes, connections: int
) -> None:
    """What stays on a connection would be the answer to the next request."""
    server = serve(always(data))
    for _ in range(2):
        with suppress(BadAnswer):
            send(wire, prepared("GET", server.url, {}), 5)
    assert len(server._connections) == connections


def test_connection_when_the_upstream_answers_before_it_has_read_all_then_the_answer_counts(
    wire: Wire, serve: Serve
) -> None:
    """Refusing a large body early is allowed; the answer is more than a broken pipe."""

    def script(connection: socket.socket, server: RawServer) -> None:
        server.read(connection)
        connection.sendall(answer(b"", "413 X", "Connection: close"))
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65_536):
            pass

    request = prepared("POST", serve(script).url, {}, bytes(4 * 1024 * 1024))
    assert send(wire, request, 5).status == 413


def test_connection_when_the_wire_is_closed_then_idle_ones_are_and_the_next_call_opens_one(
    wire: Wire, serve: Serve
) -> None:
    """A process that hands over leaves nothing open."""
    server = serve(always(answer()))
    send(wire, prepared("GET", server.url, {}), 5)
    wire.close()
    assert until(lambda: not server._threads[1].is_alive())
    assert send(wire, prepared("GET", server.url, {}), 5).status == 200
    assert len(server._connections) == 2


# -- proxies


@pytest.fixture
def proxy() -> Iterator[Callable[..., Proxy]]:
    """Return a maker of proxies."""
    made: list[Proxy] = []

    def make(*args: object) -> Proxy:
        made.append(Proxy(*args))  # type: ignore[arg-type]  # as Proxy takes them
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_proxy_when_the_target_is_http_then_it_gets_the_whole_address(
    serve: Serve, proxy: Callable[..., Proxy]
) -> None:
    """With its password, and the host of the target."""
    target = serve(always(answer()))
    via = proxy({"tmdb.test": target.port}, f"me:{SECRET}")
    wire = Wire(1, f"http://me:{SECRET}@127.0.0.1:{via.port}")
    assert send(wire, prepared("GET", "http://tmdb.test/3/x?y=z", {}), 5).body == b"{}"
    assert via.seen == ["GET http://tmdb.test/3/x?y=z HTTP/1.1"]
    assert b"\r\nHost: tmdb.test\r\n" in target.requests[0]
    wrong = Wire(1, f"http://me:{SECRET}-wrong@127.0.0.1:{via.port}")
    assert send(wrong, prepared("GET", "http://tmdb.test/3/x", {}), 5).status == 407
    wire.close()
    wrong.close()


def test_proxy_when_the_target_is_https_then_it_sees_the_name_only(
    proxy: Callable[..., Proxy], serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CONNECT once for a connection that is used again; the certificate is the target's."""
    file = servers.certificate(tmp_path, "tmdb.test")
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    # A context that has read it, in place of the one that the process has.
    monkeypatch.setattr(sockets, "tls", sockets.tls.__wrapped__)
    monkeypatch.setattr("tests.upstream.servers.make_certificate", lambda: file)
    target = serve(always(answer()), tls=True)
    via = proxy({"tmdb.test": target.port, "other.test": target.port}, f"me:{SECRET}")
    wire = Wire(1, f"http://me:{SECRET}@127.0.0.1:{via.port}")
    for _ in range(2):
        assert send(wire, prepared("GET", "https://tmdb.test/3/x", {}), 5).body == b"{}"
    with pytest.raises(ConnectionError):
        send(wire, prepared("GET", "https://other.test/3/x", {}), 5)
    wire.close()
    assert [line.split(" ")[1] for line in via.seen] == ["tmdb.test:443", "other.test:443"]
    assert b"Proxy-Authorization" not in b"".join(target.requests)
    assert b"\r\nHost: tmdb.test\r\n" in target.requests[0]


def test_proxy_when_it_refuses_or_talks_nonsense_then_the_error_says_which(
    proxy: Callable[..., Proxy],
) -> None:
    """A wrong password is no connection; what is no HTTP is a bad answer."""
    via = proxy({}, f"me:{SECRET}")
    with pytest.raises(OSError):
        send(
            Wire(1, f"http://me:{SECRET}-wrong@127.0.0.1:{via.port}"),
            prepared("GET", "https://tmdb.test/", {}),
            5,
        )
    with servers.talking(b"nonsense\r\n\r\n") as port, pytest.raises(BadAnswer):
        send(Wire(1, f"http://127.0.0.1:{port}"), prepared("GET", "https://tmdb.test/", {}), 5)
