"""The gunicorn worker of the BFF: gthread, with what gunicorn has no setting for.

- What gunicorn refuses by itself (a request line that is too long, a broken header) it answers
  with an HTML page. A client of a JSON API gets a problem document (RFC 9457) like any other.
- A malformed chunk in a body is the client's fault. gunicorn raises an error of its own inside
  the application, which would be a 500, and answers twice where nobody read the body.
- On a reload (HUP) the master starts new workers and stops the old ones at once; until the new
  ones have loaded the application, nobody would accept a connection. Here the old ones go on
  until the new ones are ready.
- A new connection goes to whichever worker looks first, often one worker after the other until
  that one has nearly all, while the others idle. Here who has connections is slower to look.
- A request that waited for a free thread has less of its page deadline left. gunicorn does not
  tell the application, so the arrival is put into the environ as `bff.arrived`.

A module of its own beside `gunicorn.conf.py`, because it belongs to the server and not to the
application: `bff` must run under any WSGI server. Written against gunicorn 27.0, whose
`ThreadWorker` has `accept`, `enqueue_req`, `handle`, `_keepalive_after` and `handle_error` to hook
in, and whose `RequestParser` makes requests of its `mesg_class`.
"""

from __future__ import annotations

import json
import mmap
import re
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

from gunicorn import util
from gunicorn.http import errors
from gunicorn.http.message import Request
from gunicorn.http.parser import RequestParser
from gunicorn.workers.gthread import TConn, ThreadWorker
from werkzeug.exceptions import BadRequest

# Most specific first: a bad response header is the application's fault, though its class
# derives from the one for bad request headers.
REFUSALS: tuple[tuple[type[Exception], HTTPStatus, str], ...] = (
    (errors.InvalidResponseHeader, HTTPStatus.INTERNAL_SERVER_ERROR, ""),
    (errors.InvalidResponseHeaderName, HTTPStatus.INTERNAL_SERVER_ERROR, ""),
    (errors.ConfigurationProblem, HTTPStatus.INTERNAL_SERVER_ERROR, ""),
    (errors.LimitRequestLine, HTTPStatus.REQUEST_URI_TOO_LONG, "The address is too long."),
    (
        errors.LimitRequestHeaders,
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        "The request has too many headers, or one that is too long.",
    ),
    (
        errors.ExpectationFailed,
        HTTPStatus.EXPECTATION_FAILED,
        "The only expectation that can be met is 100-continue.",
    ),
    (
        errors.UnsupportedTransferCoding,
        HTTPStatus.NOT_IMPLEMENTED,
        "The only transfer coding that is understood is chunked.",
    ),
    (errors.InvalidRequestLine, HTTPStatus.BAD_REQUEST, "The request line is malformed."),
    (errors.InvalidRequestMethod, HTTPStatus.BAD_REQUEST, "The method is malformed."),
    (errors.InvalidHTTPVersion, HTTPStatus.BAD_REQUEST, "The HTTP version is not supported."),
    (errors.InvalidHeaderName, HTTPStatus.BAD_REQUEST, "The name of a header is malformed."),
    (errors.InvalidHeader, HTTPStatus.BAD_REQUEST, "A header is malformed."),
    (errors.ObsoleteFolding, HTTPStatus.BAD_REQUEST, "A header is folded over several lines."),
    (errors.ParseException, HTTPStatus.BAD_REQUEST, "The request is malformed."),
)
# How long a worker waits before it accepts a connection, for each that it has; enough for another
# to be there first, and at the most a fifth of a millisecond of the main loop.
COURTESY_S, MOST_COUNTED = 0.00002, 10
_BUG = "The server met an error of its own."
# As bff/api/lifecycle.py has it: a token of RFC 9110, section 5.6.2.
_PLAIN = r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}"
_PLAIN_TOKEN = re.compile(_PLAIN)
_ID_LINE = re.compile(rf"^x-request-id:[ \t]*({_PLAIN})[ \t]*\r?$".encode(), re.I | re.M)


class ReadRequest(Request):  # type: ignore[misc]  # gunicorn has no types
    """A request that a refusal of it can be told of.

    gunicorn drops a request that it refuses, with all that it has read by then: the target, and
    the headers beside the wrong one. Here it travels with the exception.
    """

    head = b""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        try:
            super().__init__(*args, **kwargs)
        except errors.ParseException as error:
            error.refused = self
            raise

    def parse_headers(self, data: bytes, from_trailer: bool = False) -> Any:
        """Read the headers; keep their bytes where one is wrong."""
        try:
            return super().parse_headers(data, from_trailer)
        except errors.ParseException:
            self.head = data
            raise


RequestParser.mesg_class = ReadRequest


class Handover:
    """What master and workers know of a reload: memory that they share over the fork.

    The first byte is the number of the generation of workers (1 to 255, and again), the second
    how many workers it has; then each worker that has loaded the application puts its generation
    into a byte of its own. One byte is written at a time, so no lock is needed.
    """

    HEAD = 2

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, mmap.PAGESIZE)
        self._shared[0] = 1

    @property
    def generation(self) -> int:
        """The generation of workers that is starting or at work."""
        return self._shared[0]

    def begin(self, workers: int) -> None:
        """Start a new generation of so many workers; for the master."""
        new = self._shared[0] % 255 + 1
        marks = self._shared[self.HEAD :]
        self._shared[self.HEAD :] = marks.replace(bytes([new]), b"\0")  # of 255 reloads ago
        self._shared[1] = min(workers, 255)
        self._shared[0] = new

    def ready(self, worker: int, generation: int) -> None:
        """Say that a worker serves; `worker` is its number, counted by the master."""
        slots = len(self._shared) - self.HEAD
        self._shared[self.HEAD + worker % slots] = generation

    def is_under_way(self, generation: int) -> bool:
        """Whether a newer generation than this one is starting and is not complete yet."""
        new = self.generation
        return new != generation and self._shared[self.HEAD :].count(new) < self._shared[1]


handover = Handover()


class BffWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """A gthread worker that answers refused requests with problem documents.

    `application` is the WSGI application as it was loaded; `wsgi` wraps it.
    `generation` is the one of `Handover`, `processor` the one that it keeps to.
    """

    application: Any = None
    wsgi: Any
    processor: int | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._thread = threading.local()
        self.generation = handover.generation
        self._leave_by: float | None = None

    def load_wsgi(self) -> None:
        """Load the application and wrap it so that it learns when its request arrived."""
        super().load_wsgi()
        self.application = app = self.wsgi
        thread = self._thread

        def timed(environ: dict[str, Any], start_response: Any) -> Any:
            environ["bff.arrived"] = time.monotonic() - thread.queued_s
            if "HTTP_TRANSFER_ENCODING" in environ:
                environ["wsgi.input"] = _ChunkedBody(environ["wsgi.input"])
            return app(environ, start_response)

        self.wsgi = timed
        handover.ready(self.age, self.generation)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Stop (SIGTERM); at a reload, when the new workers are ready or when told again."""
        if self._leave_by is None and handover.is_under_way(self.generation):
            self._leave_by = time.monotonic() + self.cfg.graceful_timeout
            return
        super().handle_exit(sig, frame)

    def is_parent_alive(self) -> bool:
        """Look around, once in each turn of the main loop, which is at least once a second."""
        if self._leave_by is not None and (
            time.monotonic() > self._leave_by or not handover.is_under_way(self.generation)
        ):
            self.alive = False
        return bool(super().is_parent_alive())

    def accept(self, listener: socket.socket) -> None:
        """Accept a connection, unless a worker that has fewer is there first."""
        if self.cfg.workers > 1 and self.nr_conns:
            time.sleep(min(self.nr_conns, MOST_COUNTED) * COURTESY_S)
        super().accept(listener)

    def enqueue_req(self, conn: TConn) -> None:
        """Hand a connection to the thread pool: a new one, or one that became readable."""
        conn.enqueued = time.monotonic()
        super().enqueue_req(conn)

    def handle(self, conn: TConn) -> Any:
        """Serve one request; runs in a thread of the pool."""
        self._thread.queued_s = time.monotonic() - conn.enqueued
        # Browsers open connections ahead of need. As long as nothing has been sent, no
        # request was waiting, and it would be wrong to charge that time to a later one.
        if not conn.initialized and not conn.data_ready and not conn.wait_for_data(0):
            self._thread.queued_s = 0.0
        return super().handle(conn)

    def _keepalive_after(self, conn: TConn, keepalive: bool) -> bool:
        try:
            return bool(super()._keepalive_after(conn, keepalive))
        except errors.ParseException:
            # The request has its answer; a second one for its unread, malformed body would be
            # taken for the answer to the next request.
            return False

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: Exception) -> None:
        """Answer a request that never reached the application, or that it failed to answer."""
        status, detail = refusal(exc)
        read = req or getattr(exc, "refused", None)
        request_id = _request_id(read)
        if status == HTTPStatus.INTERNAL_SERVER_ERROR:
            self.log.error("server.error request_id=%s", request_id, exc_info=exc)
        else:
            # The class only: the text of the exception quotes the request, and with it
            # perhaps a credential.
            self.log.warning(
                "server.refused status=%d reason=%s ip=%s request_id=%s",
                status,
                type(exc).__name__,
                addr[0] if addr else "-",
                request_id,
            )
        try:
            util.write_nonblock(client, problem(status, detail, request_id, _path(read)))
        except Exception:
            self.log.debug("server.refused could not be answered")


class _ChunkedBody:
    """A chunked request body whose malformed chunks are a 400 and not a bug."""

    def __init__(self, body: Any) -> None:
        self._body = body

    def read(self, size: int | None = None) -> bytes:
        return self._guarded(self._body.read, size)

    def readline(self, size: int | None = None) -> bytes:
        return self._guarded(self._body.readline, size)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.readline, b"")

    @staticmethod
    def _guarded(read: Callable[[int | None], bytes], size: int | None) -> bytes:
        try:
            return read(size)
        except errors.ParseException:
            raise BadRequest("The chunked body is malformed.") from None


def refusal(exc: Exception) -> tuple[HTTPStatus, str]:
    """Return the status and the detail for what gunicorn could not serve."""
    for kind, status, detail in REFUSALS:
        if isinstance(exc, kind):
            return status, detail or _BUG
    return HTTPStatus.INTERNAL_SERVER_ERROR, _BUG


def problem(status: HTTPStatus, detail: str, request_id: str, path: str = "") -> bytes:
    """Return a whole HTTP answer with a problem document, after which the connection closes.

    `path` is that of the request; empty where it could not be read.
    """
    body = json.dumps(
        {
            "type": "about:blank",
            "title": status.phrase,
            "status": status.value,
            "detail": detail,
            **({"instance": path} if path else {}),
            "request_id": request_id,
        }
    ).encode()
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\n"
        "Connection: close\r\n"
        f"Date: {util.http_date()}\r\n"
        "Content-Type: application/problem+json\r\n"
        f"Content-Length: {len(body)}\r\n"
        "Cache-Control: no-store\r\n"
        f"X-Request-ID: {request_id}\r\n"
        "\r\n"
    )
    return head.encode("ascii") + body


def _request_id(req: Any) -> str:
    """Return the caller's id where it could be read and is a plain token, else a new one."""
    for name, value in getattr(req, "headers", None) or ():
        if name == "X-REQUEST-ID" and _PLAIN_TOKEN.fullmatch(value):
            return str(value)
    found = _ID_LINE.search(getattr(req, "head", b""))
    return found[1].decode() if found else uuid.uuid4().hex


def _path(req: Any) -> str:
    """Return the path of the target as the application would know it; empty: it was not read."""
    return unquote(getattr(req, "path", None) or "", errors="replace")
