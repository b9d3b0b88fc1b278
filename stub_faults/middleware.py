"""The WSGI middleware: counts every call and applies the fault that is set."""

from __future__ import annotations

import errno
import json
import os
import random
import socket
import struct
import time
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import TYPE_CHECKING, NoReturn

from stub_faults.control import ControlPaths
from stub_faults.fault import Fault
from stub_faults.state import ActiveFault, State

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

ErrorBody = Callable[[int], tuple[bytes, str]]
Answer = tuple[str, list[tuple[str, str]], Iterable[bytes]]

LONGEST_HANG_S = 120.0
PIECES = 10
# How often a held call looks whether its caller has gone; it gives its thread back then.
CALLER_CHECK_S = 0.2
GARBAGE = b"<!doctype html><html><title>502</title><body>Bad gateway {not: json"


def problem_body(status: int) -> tuple[bytes, str]:
    """Return a problem document (RFC 9457) for an injected status."""
    document = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase if status in set(HTTPStatus) else "Error",
        "status": status,
        "detail": "injected fault",
    }
    return json.dumps(document).encode(), "application/problem+json"


class FaultMiddleware:
    """Counts calls and applies the active fault to those that match it. Thread-safe."""

    def __init__(
        self,
        app: WSGIApplication,
        state: State,
        control: ControlPaths,
        *,
        base: str,
        error_body: ErrorBody,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._app = app
        self._state = state
        self._control = control
        self._base = base
        self._error_body = error_body
        self._draw = draw

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one call."""
        path = environ.get("PATH_INFO", "").encode("latin-1").decode("utf-8", "replace")
        if path.startswith("/__"):
            return self._control(environ, start_response)
        method = environ["REQUEST_METHOD"]
        self._state.count(method, path)
        active = self._state.active
        if (
            active is None
            or not active.fault.concerns(method, path, self._base)
            or not active.take()
        ):
            return self._app(environ, start_response)
        return self._faulty(active, environ, start_response)

    def _faulty(
        self, active: ActiveFault, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        fault = active.fault
        if fault.latency_ms:
            _hold(active, fault.latency_ms / 1000, environ)
        fails = fault.error_rate is None or self._draw() < fault.error_rate
        answer = self._failure(active, environ) if fails else None
        if answer is None and not fault.slow_body_ms and not (fails and fault.truncate):
            return self._app(environ, start_response)
        status, headers, body = answer or self._call_app(environ)
        if dict(headers).get("Content-Type", "").startswith("text/event-stream"):
            start_response(status, headers)
            return body
        whole = _drain(body)
        if environ["REQUEST_METHOD"] == "HEAD":
            whole = b""
        elif not any(name.lower() == "content-length" for name, _ in headers):
            headers = [*headers, ("Content-Length", str(len(whole)))]
        start_response(status, headers)
        cut = len(whole) // 2 if fails and fault.truncate and answer is None else None
        return _pieces(active, whole[:cut], cut is not None, environ)

    def _failure(self, active: ActiveFault, environ: WSGIEnvironment) -> Answer | None:
        """Return the answer of a failing call, None where the app's own is still needed."""
        fault = active.fault
        status = fault.failure_status
        if fault.after and (fault.reset or fault.garbage or fault.hang or status):
            _drain(self._call_app(environ)[2])
        if fault.hang:
            _hold(active, LONGEST_HANG_S, environ)
            if fault.after and not (fault.reset or fault.garbage or status):
                status = 504  # the application has acted once and must not act again
        if fault.reset:
            _reset(environ)
        if fault.garbage:
            return "200 OK", [("Content-Type", "text/html; charset=utf-8")], [GARBAGE]
        if status is not None:
            return self._status_answer(fault, status)
        return None

    def _status_answer(self, fault: Fault, status: int) -> Answer:
        body, content_type = self._error_body(status)
        headers = [("Content-Type", content_type)]
        if fault.retry_after is not None:
            headers.append(("Retry-After", str(fault.retry_after)))
        phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else "Error"
        return f"{status} {phrase}", headers, [body]

    def _call_app(self, environ: WSGIEnvironment) -> Answer:
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start(
            status: str, headers: list[tuple[str, str]], _error: object = None
        ) -> Callable[[bytes], object]:
            started.append((status, headers))
            return _no_write

        body = self._app(environ, start)
        status, headers = started[-1]
        return status, headers, body


def _no_write(_data: bytes) -> object:
    raise NotImplementedError("the write callable of WSGI is not supported under a fault")


def _drain(body: Iterable[bytes]) -> bytes:
    try:
        return b"".join(body)
    finally:
        close = getattr(body, "close", None)
        if close is not None:
            close()


def _pieces(
    active: ActiveFault, body: bytes, breaks_off: bool, environ: WSGIEnvironment
) -> Iterator[bytes]:
    """Yield the body, slowly where the fault says so; then break off the connection if asked."""
    pause_s = active.fault.slow_body_ms / 1000 / PIECES
    size = max(1, -(-len(body) // PIECES)) if pause_s else max(1, len(body))
    yield b""  # makes the server send the headers now
    for start in range(0, len(body), size):
        if pause_s:
            _hold(active, pause_s, environ)
        yield body[start : start + size]
    if breaks_off:
        # gunicorn takes this for a caller that has gone and closes the connection quietly.
        raise ConnectionResetError(errno.ECONNRESET, "injected fault: truncated body")


def _hold(active: ActiveFault, seconds: float, environ: WSGIEnvironment) -> None:
    """Wait until the time is over or the fault ends; raise where the caller has gone."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        if active.ended.wait(min(left, CALLER_CHECK_S)):
            return
        if _caller_has_gone(environ.get("gunicorn.socket")):
            raise ConnectionResetError(errno.ECONNRESET, "the caller has gone")


def _caller_has_gone(sock: socket.socket | None) -> bool:
    if sock is None:
        return False
    try:
        return sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def _reset(environ: WSGIEnvironment) -> NoReturn:
    """Close the connection with a TCP RST instead of an answer."""
    sock: socket.socket | None = environ.get("gunicorn.socket")
    if sock is not None:
        # Closing with a linger of 0 sends RST. gunicorn still holds the socket object and would
        # stumble over a closed one, so its descriptor is pointed at a dead pair instead.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        ours, theirs = socket.socketpair()
        with ours, theirs:
            os.dup2(ours.fileno(), sock.fileno(), inheritable=False)
    raise ConnectionResetError(errno.ECONNRESET, "injected fault: connection reset")
