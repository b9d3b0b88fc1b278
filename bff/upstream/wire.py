"""Requests and answers over connections that are kept: what `requests` would do, in short.

urllib3 connects, and does TLS and proxies. The exchange itself is one write and
as few reads as the answer needs, since each of them lets other threads run.
See docs/decisions/0011 and 0013.
"""

from __future__ import annotations

import re
import ssl
import time
from dataclasses import dataclass
from http.client import HTTPException
from importlib.metadata import version
from typing import Any

import requests
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NewConnectionError,
    ReadTimeoutError,
)
from urllib3.util import parse_url

from bff import context
from bff.steps import READ, WRITE, Steps, Wait
from bff.upstream.answers import NO_HTTP, Answer, BadAnswer, Reading
from bff.upstream.sockets import DeadlineAdapter

READ_BYTES = 65_536
AGENT = f"python-urllib3/{version('urllib3')}"
PORTS = {"http": 80, "https": 443}
WITHOUT_BODY = ("GET", "HEAD", "DELETE", "OPTIONS", "TRACE")
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_TARGET = re.compile(r"[!-~]+")
_BREAKS = re.compile(r"[\r\n\0]")


@dataclass(frozen=True, slots=True)
class _Way:
    """The way to one origin: its connections, and what each request to it has in its head."""

    pool: Any  # one of `sockets`
    host: str
    more: dict[str, str]
    skip: int  # of the URL: all but the target


class Wire:
    """Sends requests as they are, and keeps nothing of the answers. Thread-safe.

    Lives as long as its guard. Up to `slots` connections stay open, to the
    upstream or to the `proxy` (http://[user:password@]host:port) in front of it.
    No cookies, no redirects, and nothing is read from the environment. `verify`
    is True or a file of certificates; it is set before the first call.
    """

    def __init__(self, slots: int, proxy: str = "") -> None:
        self.verify: bool | str = True
        self._adapter = DeadlineAdapter(slots, proxy)
        self._ways: dict[str, _Way] = {}

    def idle(self) -> bool:
        """Whether a connection is open that nobody uses, so that a call need not make one."""
        return any(way.pool.idle for way in self._ways.values())

    def sending(self, request: requests.PreparedRequest, timeout_s: float) -> Steps[Answer]:
        """Send `request` and return the answer, read to its end, within `timeout_s`.

        Raises `TimeoutError`, another `OSError` where the connection fails, and
        `BadAnswer`. All of it obeys the deadline as well. A request that cannot
        be written as HTTP is a `ValueError`. To connect is the one step that blocks.
        """
        origin = _origin(request)
        way = self._ways.get(origin)
        if way is None:
            way = self._ways[origin] = self._way(origin, request)
        data = _written(way, request)
        until = time.monotonic() + min(timeout_s, context.current().deadline.left_s())
        connection = _taken(way.pool, timeout_s)
        reusable = False
        try:
            yield from _sent(connection.sock, data, until)
            answer, reusable = yield from _received(connection.sock, str(request.method), until)
        finally:
            if reusable:
                way.pool.give(connection)
            else:
                connection.close()
        return answer

    def close(self) -> None:
        """Close all connections; the next call opens new ones."""
        for way in list(self._ways.values()):
            way.pool.close_idle()
        self._ways.clear()
        self._adapter.close()

    def _way(self, origin: str, request: requests.PreparedRequest) -> _Way:
        pool = self._adapter.pool(request, self.verify)
        forwarded = pool.proxy is not None and origin.startswith("http:")
        url = parse_url(origin)
        host = str(url.host)
        if url.port not in (None, PORTS[pool.scheme]):
            host = f"{host}:{url.port}"
        return _Way(
            pool,
            host,
            {
                "Accept-Encoding": "identity",
                "User-Agent": AGENT,
                **(pool.proxy_headers if forwarded else {}),
            },
            skip=0 if forwarded else len(origin),
        )


def _origin(request: requests.PreparedRequest) -> str:
    """Return scheme, host and port of a URL that has a path."""
    url = str(request.url)
    return url[: url.index("/", len("https://"))]


def _written(way: _Way, request: requests.PreparedRequest) -> bytes:
    """Return the request as bytes; raise ValueError rather than let a value end its line."""
    method, target, body = str(request.method), str(request.url)[way.skip :], request.body or b""
    if not _TOKEN.fullmatch(method) or not _TARGET.fullmatch(target):
        raise ValueError("not a request line")
    if not isinstance(body, bytes):
        raise TypeError("the body is not bytes")
    lines, known = [f"{method} {target} HTTP/1.1"], set[str]()
    for name, value in request.headers.items():
        _line(lines, name, value)
        known.add(name.lower())
    if "host" not in known:
        lines.insert(1, f"Host: {way.host}")
    for name, value in way.more.items():
        if name.lower() not in known:
            _line(lines, name, value)
    if "content-length" not in known and (body or method not in WITHOUT_BODY):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "\r\n"]).encode("latin-1") + body


def _line(lines: list[str], name: str, value: str) -> None:
    if not _TOKEN.fullmatch(name) or _BREAKS.search(value):
        raise ValueError("not a header")
    lines.append(f"{name}: {value}")


def _taken(pool: Any, timeout_s: float) -> Any:
    try:
        return pool.take(timeout_s)
    except NewConnectionError as error:  # refused, or a name without an address
        raise ConnectionError("no connection") from error
    except (ConnectTimeoutError, ReadTimeoutError) as error:
        raise TimeoutError("no connection in time") from error
    except HTTPException as error:  # of the proxy
        if isinstance(error, OSError):
            raise
        raise BadAnswer(NO_HTTP) from error
    except (HTTPError, ValueError) as error:  # ValueError: a certificate of another name
        raise ConnectionError("no connection") from error


def _sent(sock: Any, data: bytes, until: float) -> Steps[None]:
    left = memoryview(data)
    while left:
        try:
            left = left[sock.send_now(left) :]
        except _BLOCKED as error:
            yield _blocked(sock, error, WRITE, until)
        except _GONE:
            return  # an upstream may answer and close before it has read everything


def _received(sock: Any, method: str, until: float) -> Steps[tuple[Answer, bool]]:
    """Return the answer, and whether the connection can be used again."""
    reading = Reading(method)
    try:
        yield Wait(until, sock)
        while not reading.done:
            try:
                part = sock.recv_now(READ_BYTES)
            except _BLOCKED as error:
                yield _blocked(sock, error, READ, until)
                continue
            if part:
                reading.feed(part)
            elif reading.began:
                reading.end()
            else:
                raise ConnectionError("closed without an answer")
            if time.monotonic() >= until and not reading.done:
                raise TimeoutError("no complete answer in time")
        return reading.answer(), reading.reusable
    finally:
        reading.close()


_BLOCKED = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_GONE = (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError, ssl.SSLZeroReturnError)


def _blocked(sock: Any, error: OSError, events: int, until: float) -> Wait:
    """Return what a socket waits for that could not do it at once: TLS may have it turned round."""
    if time.monotonic() >= until:
        raise TimeoutError("the time is over") from error
    if isinstance(error, ssl.SSLWantReadError):
        events = READ
    elif isinstance(error, ssl.SSLWantWriteError):
        events = WRITE
    return Wait(until, sock, events)
