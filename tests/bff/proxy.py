"""A small HTTP proxy: CONNECT for https, the whole address for http; with a password."""

from __future__ import annotations

import base64
import select
import socket
import threading
from collections.abc import Mapping
from urllib.parse import urlsplit


class Proxy:
    """Thread-safe. `hosts` says where a name really is; `seen` has the request lines."""

    def __init__(self, hosts: Mapping[str, int], password: str = "") -> None:
        self._hosts = hosts
        self._expected = base64.b64encode(password.encode()).decode() if password else ""
        self.seen: list[str] = []
        self._server = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._server.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            client.settimeout(60)
            head = b""
            while b"\r\n\r\n" not in head:
                part = client.recv(65_536)
                if not part:
                    return
                head += part
            lines = head.decode("latin-1").split("\r\n")
            self.seen.append(lines[0])
            method, target, _ = lines[0].split(" ")
            if self._expected and f"Proxy-Authorization: Basic {self._expected}" not in lines:
                client.sendall(b"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n")
                return
            host = target.rpartition(":")[0] if method == "CONNECT" else urlsplit(target).hostname
            with socket.create_connection(("127.0.0.1", self._hosts[str(host)])) as server:
                if method == "CONNECT":
                    client.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
                else:
                    server.sendall(head)
                self._pass_on(client, server)

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        ways = {one: other, other: one}
        while True:
            for ready in select.select(list(ways), [], [], 60)[0]:
                try:
                    part = ready.recv(65_536)
                    if not part:
                        return
                    ways[ready].sendall(part)
                except OSError:
                    return

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
