"""A stand-in for one instance of the BFF, which does to nginx what a test wants."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType


class Request(BaseHTTPRequestHandler):
    """A request that arrived; the body is read already, in `body`."""

    protocol_version = "HTTP/1.1"
    server: Fake
    body: bytes

    def handle_one_request(self) -> None:
        """Read one request, note it, and leave the answer to the test."""
        try:
            self.raw_requestline = self.rfile.readline(65537)
            if not self.raw_requestline:
                self.close_connection = True
            elif self.parse_request():
                self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self.server.requests.append(self)
                self.server.answer(self)
                self.wfile.flush()
        except OSError:
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Say nothing."""

    def reply(self, body: bytes = b"{}", **headers: str) -> None:
        """Answer 200 with a body; underscores in names of headers become hyphens."""
        self.send_response(200)
        fields = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        for name, value in (fields | named).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


class Fake(ThreadingHTTPServer):
    """Answers each request by `answer`, and keeps them all in `requests`."""

    daemon_threads = True

    def __init__(self, answer: Callable[[Request], None] = Request.reply) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.port: int = self.server_address[1]
        self.answer = answer
        self.requests: list[Request] = []
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,))

    def __enter__(self) -> Fake:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """Leave a broken connection to the test, which sees it at nginx."""
