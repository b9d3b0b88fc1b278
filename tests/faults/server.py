"""An upstream on a real socket: answers as the real app does, or fails in any way one asks for."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import orjson
from flask import Flask

from tests.faults.table import RETRY_AFTER_S

LONGEST_S = 60.0  # a held call ends by itself, whatever the test does
HTML = b"<!doctype html><html><title>Log in</title><body>Please log in</body></html>"


JSON = (("Content-Type", "application/json"),)


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = JSON

    @property
    def head(self) -> bytes:
        """Return status line and headers."""
        lines = [f"HTTP/1.1 {self.status} Told", f"Content-Length: {len(self.body)}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        return "\r\n".join([*lines, "", ""]).encode()

    @property
    def whole(self) -> bytes:
        """Return it as it goes over the wire."""
        return self.head + self.body


class Upstream:
    """A threaded HTTP server before a Flask app. Thread-safe.

    The answers of the app are kept by path, so that they are the same bytes
    each time. `fail` makes the calls of a path fail until `heal`.
    """

    def __init__(self, app: Flask) -> None:
        self._client = app.test_client(use_cookies=False)
        self._known: dict[str, Answer] = {}
        self._instead: dict[str, bytes] = {}
        self._lock = threading.Lock()
        self._arrived = threading.Condition()
        self.calls: list[str] = []
        self._path, self._fault, self._ahead = "", "", 0
        self.healed = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._server.upstream = self  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """End the server."""
        self.heal()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def fail(self, path: str, fault: str, ahead: int = 0) -> None:
        """Fail calls of `path` (fnmatch); a 429 is held back until `ahead` calls have come."""
        self.heal()
        self.healed = threading.Event()
        self._path, self._fault, self._ahead = path, fault, ahead

    def heal(self) -> None:
        """End the fault, let go of held calls and forget what was called and said instead."""
        self._path, self._fault = "", ""
        self.healed.set()
        self._instead = {}
        with self._arrived:
            self.calls.clear()

    def says(self, path: str, body: bytes) -> None:
        """Answer calls of `path` (fnmatch) with this body, until `heal`."""
        self._instead[path] = body

    def asked(self, path: str) -> int:
        """Return how many calls of a path (fnmatch) came."""
        with self._arrived:
            return sum(fnmatchcase(call, path) for call in self.calls)

    def serve(self, handler: _Handler) -> None:
        """Answer one call."""
        path = urlsplit(handler.path).path
        with self._arrived:
            self.calls.append(path)
            self._arrived.notify_all()
        fault = self._fault if self._path and fnmatchcase(path, self._path) else ""
        answer = self._answer(handler, path)
        if fault in _FAIL:
            _FAIL[fault](self, handler, answer)
        elif fault:
            handler.wfile.write(_INSTEAD[fault](answer).whole)
        else:
            handler.wfile.write(answer.whole)

    def _answer(self, handler: _Handler, path: str) -> Answer:
        for pattern, body in self._instead.items():
            if fnmatchcase(path, pattern):
                return Answer(200, body)
        with self._lock:
            if handler.path not in self._known:
                told = ("Authorization", "X-User-Id")
                headers = {name: handler.headers[name] for name in told if name in handler.headers}
                reply = self._client.get(handler.path, headers=headers)
                kept = [
                    (name, value)
                    for name, value in reply.headers
                    if name in ("Content-Type", "Cache-Control")
                ]
                self._known[handler.path] = Answer(reply.status_code, reply.data, tuple(kept))
            return self._known[handler.path]

    # -- ways to fail

    def _timeout(self, handler: _Handler, _: Answer) -> None:
        self.healed.wait(LONGEST_S)
        handler.close_connection = True

    def _hang(self, handler: _Handler, answer: Answer) -> None:
        handler.wfile.write(answer.head)
        self._timeout(handler, answer)

    def _slow_body(self, handler: _Handler, answer: Answer) -> None:
        handler.wfile.write(answer.head)
        self._trickle(handler, answer.body)

    def _slow_head(self, handler: _Handler, answer: Answer) -> None:
        self._trickle(handler, answer.head)

    def _trickle(self, handler: _Handler, data: bytes) -> None:
        handler.close_connection = True
        with suppress(OSError):  # the caller has gone
            for number in range(len(data)):
                if self.healed.wait(0.02):
                    return
                handler.wfile.write(data[number : number + 1])

    def _429(self, handler: _Handler, _: Answer) -> None:
        with self._arrived:  # so that it is known which calls went out before it
            self._arrived.wait_for(lambda: len(self.calls) >= self._ahead, timeout=2)
        handler.wfile.write(_status(429, wait=True).whole)

    def _reset(self, handler: _Handler, answer: Answer) -> None:
        handler.wfile.write(answer.head + answer.body[: len(answer.body) // 2])
        linger = struct.pack("ii", 1, 0)  # closing sends RST
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        handler.close_connection = True
        # The handler's files keep a plain close() from closing, and would end with FIN first.
        socket.close(handler.connection.detach())


def _status(status: int, *, wait: bool = False) -> Answer:
    headers = (*JSON, ("Retry-After", str(RETRY_AFTER_S))) if wait else JSON
    return Answer(status, b'{"status_code":11,"status_message":"told to fail"}', headers)


_FAIL = {
    "timeout": Upstream._timeout,
    "hang": Upstream._hang,
    "slow_body": Upstream._slow_body,
    "slow_head": Upstream._slow_head,
    "429": Upstream._429,
    "reset": Upstream._reset,
}
# What is answered in place of the good answer.
_INSTEAD: dict[str, Callable[[Answer], Answer]] = {
    "500": lambda _: _status(500),
    "503": lambda _: _status(503, wait=True),
    "404": lambda _: _status(404),
    "truncated": lambda answer: Answer(200, answer.body[: len(answer.body) // 2]),
    "html": lambda _: Answer(200, HTML, (("Content-Type", "text/html"),)),
    "wrong_types": lambda answer: Answer(200, orjson.dumps(_turned(orjson.loads(answer.body)))),
}


def _turned(document: dict[str, Any]) -> dict[str, Any]:
    """Return the same keys, each with a value of another type."""
    return {
        key: {"a": 1} if isinstance(value, list | str) else "text"
        for key, value in document.items()
    }


class _Server(ThreadingHTTPServer):
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        """Say nothing: a caller that gave up may reset its connection."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self.server.upstream.serve(self)  # type: ignore[attr-defined]

    def log_message(self, *_: object) -> None:
        """Say nothing."""
