"""Servers on 127.0.0.1 that are what the doctor has to tell apart."""

from __future__ import annotations

import datetime
import ipaddress
import json
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

Answer = tuple[int, dict[str, str], Any]
IMAGES = {"images": {"secure_base_url": "https://image.tmdb.org/t/p/"}}
HEALTHY = {"status": "healthy", "service": "user-service", "version": "1"}
STREAM = {"Content-Type": "text/event-stream"}
USERS: dict[str, Answer] = {
    "/health": (200, {}, HEALTHY),
    "/favorites": (200, {}, {"favorites": [], "total": 0}),
    "/events": (200, STREAM, b"event: beat\n\n"),
}


class HttpServer:
    """Answers each path with what it was given; `seen` has the heads of the requests."""

    def __init__(self, answers: dict[str, Answer], tls: Path | None = None, skew_s: float = 0):
        seen = self.seen = list[tuple[str, dict[str, str]]]()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = urlsplit(self.path).path  # through a proxy it is a whole address
                seen.append((self.path, dict(self.headers)))
                status, headers, body = answers.get(path, (404, {}, {"error": "no such path"}))
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response_only(status)
                self.send_header("Date", formatdate(time.time() + skew_s, usegmt=True))
                for name, value in {"Content-Length": str(len(data)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                pass  # a caller who does not like the certificate

        self._server = Quiet(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls)
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


def certificate(folder: Path, name: str = "127.0.0.1", days: int = 1) -> Path:
    """Return a key and its own certificate for a name; `days` negative: it has expired."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    own: x509.GeneralName = x509.DNSName(name)
    if name[0].isdigit():
        own = x509.IPAddress(ipaddress.ip_address(name))
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=30))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([own]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / "certificate.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    file.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return file


@contextmanager
def black_hole(host: str = "127.0.0.1") -> Iterator[int]:
    """Yield a port whose queue of connections is full: the kernel drops who comes next."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    waiting: list[socket.socket] = []
    with socket.socket(family) as listening:
        listening.bind((host, 0))
        listening.listen(0)
        port: int = listening.getsockname()[1]
        for _ in range(4):
            sock = socket.socket(family)
            sock.setblocking(False)
            sock.connect_ex((host, port))
            waiting.append(sock)
        time.sleep(0.05)
        try:
            yield port
        finally:
            for sock in waiting:
                sock.close()


@contextmanager
def refusing() -> Iterator[int]:
    """Yield a port that is held and not listened on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


@contextmanager
def talking(answer: bytes) -> Iterator[int]:
    """Yield a port where every part that is sent gets the same answer."""
    over = threading.Event()

    def serve(connection: socket.socket) -> None:
        with connection:
            connection.settimeout(5)
            try:
                while connection.recv(65_536):
                    connection.sendall(answer)
            except OSError:
                pass

    def accept() -> None:
        while not over.is_set():
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            over.set()
            server.shutdown(socket.SHUT_RDWR)
            thread.join(5)


@contextmanager
def redis_with(password: str, folder: Path) -> Iterator[int]:
    """Yield the port of a throwaway Redis that asks for a password."""
    binary = shutil.which("redis-server")
    if binary is None:
        pytest.skip("redis-server is not installed")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    process = subprocess.Popen(
        [
            *(binary, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir"),
            *(str(folder), "--requirepass", password),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        end = time.monotonic() + 10
        with redis.Redis(port=port, password=password) as client:
            while True:
                try:
                    client.ping()
                    break
                except redis.ConnectionError:
                    assert time.monotonic() < end, "redis-server does not answer"
                    time.sleep(0.02)
        yield port
    finally:
        process.terminate()
        process.wait(10)
