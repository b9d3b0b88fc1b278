"""Servers that misbehave on purpose, on 127.0.0.1."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from bff.upstream.shared import RedisClient, connect

Script = Callable[[socket.socket, "RawServer"], None]


class RawServer:
    """Accepts connections and does to each what its script says; counts requests."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/"
        self.requests: list[bytes] = []
        self.over = threading.Event()
        self._connections: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while not self.over.is_set():
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        self._connections.append(connection)
        with connection:
            try:
                self._script(connection, self)
            except OSError:  # the caller has gone
                pass
            finally:
                connection.close()

    def read(self, connection: socket.socket) -> bytes:
        """Read the head of a request, and note it."""
        head = b""
        while b"\r\n\r\n" not in head:
            part = connection.recv(65_536)
            if not part:
                raise OSError("closed")
            head += part
        self.requests.append(head)
        return head

    def trickle(self, connection: socket.socket, data: bytes, pause_s: float = 0.02) -> None:
        """Send byte by byte, for as long as the test runs."""
        for number in range(len(data)):
            if self.over.wait(pause_s):
                return
            connection.sendall(data[number : number + 1])

    def close(self) -> None:
        """End all connections."""
        self.over.set()
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for connection in self._connections:
            with contextlib.suppress(OSError):  # closed already
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)


def reset(connection: socket.socket) -> None:
    """Close with a reset instead of an end."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def answer(body: bytes = b"{}", status: str = "200 OK", *headers: str) -> bytes:
    """Return an answer as bytes."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def always(*answers: bytes) -> Script:
    """Return a script that gives these answers in turn, and then the last one."""
    left, lock = list(answers), threading.Lock()

    def script(connection: socket.socket, server: RawServer) -> None:
        while True:
            server.read(connection)
            with lock:
                data = left.pop(0) if len(left) > 1 else left[0]
            connection.sendall(data)

    return script


class RedisServer:
    """A Redis without persistence on a free port; can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        binary = shutil.which("redis-server")
        if binary is None:
            pytest.skip("redis-server is not installed")
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self._command = [
            *(binary, "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""),
            *("--appendonly", "no", "--dir", str(folder), "--loglevel", "warning"),
        ]
        self._process: subprocess.Popen[bytes] | None = None
        self._clients: list[redis.Redis] = []

    def client(self) -> redis.Redis:
        """Return a client as the app has it."""
        client = redis.Redis(
            host="127.0.0.1", port=self.port, socket_timeout=0.2, socket_connect_timeout=0.2
        )
        self._clients.append(client)
        return client

    @property
    def url(self) -> str:
        """Return its address."""
        return f"redis://127.0.0.1:{self.port}/0"

    def connect(self) -> RedisClient:
        """Return the app's own client."""
        client = connect(self.url)
        self._clients.append(client)
        return client

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        end = time.monotonic() + 10
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=0.5):
                    return
            except OSError:
                assert time.monotonic() < end, "redis-server does not answer"
                time.sleep(0.01)

    def stop(self) -> None:
        """Let it hang: it accepts and says nothing."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def kill(self) -> None:
        """End it without a word."""
        if self._process is not None:
            os.kill(self._process.pid, signal.SIGKILL)
            self._process.wait(10)
            self._process = None

    def close(self) -> None:
        """End it and the clients."""
        for client in self._clients:
            client.close()
        self.kill()
