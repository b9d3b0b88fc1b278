"""Servers on 127.0.0.1 that the doctor has to tell apart."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Any
from urllib.parse import urlsplit

Answer = tuple[int, dict[str, str], Any]
IMAGES = {"images": {"secure_base_url": "https://image.tmdb.org/t/p/"}}
USERS: dict[str, Answer] = {
    "/health": (200, {}, {"status": "healthy", "service": "user-service"}),
    "/favorites": (200, {}, {"favorites": [], "total": 0}),
    "/events": (200, {"Content-Type": "text/event-stream", "Content-Length": "9999"}, b":\n\n"),
}
BFF: dict[str, Answer] = {"/health": (200, {}, {"service": "movie-dashboard-bff"})}


class HttpServer:
    """Answers each path with what it was given; `seen` has paths and headers of the requests."""

    def __init__(self, answers: dict[str, Answer], tls: Path | None = None, skew_s: float = 0):
        seen = self.seen = list[tuple[str, dict[str, str]]]()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                seen.append((self.path, dict(self.headers)))
                path = urlsplit(self.path).path  # through a proxy it is a whole address
                status, headers, body = answers.get(path, (404, {}, {"error": "no such path"}))
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response_only(status)
                self.send_header("Date", formatdate(time.time() + skew_s, usegmt=True))
                for name, value in {"Content-Length": str(len(data)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.handle_error = lambda *_: None  # a caller who refuses the certificate
        self.port: int = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls)
            # The handshake is the business of the thread that answers.
            self._server.socket = context.wrap_socket(self._server.socket, True, False)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def certificate(folder: Path, name: str) -> Path:
    """Return a file with a key and its self-signed certificate for a name."""
    file, kind = folder / "certificate.pem", "IP" if name[0].isdigit() else "DNS"
    options = f"-newkey rsa:2048 -nodes -subj /CN=x -addext subjectAltName={kind}:{name}"
    command = f"openssl req -x509 {options} -keyout key.pem -out {file.name}"
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    file.write_text(file.read_text() + (folder / "key.pem").read_text())
    return file


@contextmanager
def refusing() -> Iterator[int]:
    """Yield a port that is bound and not listened on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


@contextmanager
def talking(answer: bytes) -> Iterator[int]:
    """Yield a port where every message gets the same answer, which may be empty."""

    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):  # the caller has gone
                while self.request.recv(65_536):
                    self.request.sendall(answer)

    with ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
