"""Requests and answers over connections that are kept: what `requests` would do, in short.

urllib3 connects, and does TLS and proxies. The exchange itself is one write and
as few reads as the answer needs, since each of them lets other threads run.
See docs/decisions/0011.
"""

from __future__ import annotations

import re
import ssl
from contextlib import suppress
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

    def send(self, request: requests.PreparedRequest, timeout_s: float) -> Answer:
        """Send `request` and return the answer, read to its end.

        Raises `TimeoutError`, another `OSError` where the connection fails, and
        `BadAnswer`. Each step has `timeout_s` and not more than is left of the
        deadline. A request that cannot be written as HTTP is a `ValueError`.
        """
        origin = _origin(request)
        way = self._ways.get(origin)
        if way is None:
            way = self._ways[origin] = self._way(origin, request)
        data = _written(way, request)
        connection = _taken(way.pool, timeout_s)
        try:
            answer, reusable = _exchange(connection.sock, data, str(request.method), timeout_s)
            if not reusable:
                connection.close()
        except BaseException:
            connection.close()
            raise
        finally:
            way.pool.give(connection)
        return answer

    def close(self) -> None:
        """Close all connections; the next call opens new ones."""
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


def _exchange(sock: Any, data: bytes, method: str, timeout_s: float) -> tuple[Answer, bool]:
    """Return the answer to `data`, and whether the connection can be used again."""
    sock.settimeout(timeout_s)
    # An upstream may answer and close before it has read everything.
    with suppress(BrokenPipeError, ConnectionResetError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
        sock.sendall(data)
    reading = Reading(method)
    try:
        while not reading.done:
            part = sock.recv(READ_BYTES)
            if part:
                reading.feed(part)
            elif reading.began:
                reading.end()
            else:
                raise ConnectionError("closed without an answer")
        return reading.answer(), reading.reusable
    finally:
        reading.close()
