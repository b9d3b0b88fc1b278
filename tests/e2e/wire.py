"""A wire between the BFF and the user service whose event streams can be cut and held up."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

CHUNK = 65_536


class Wire:
    """Hands bytes on between clients and `port`. Thread-safe; `url` is where it listens."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._streams: set[socket.socket] = set()
        self._all: set[socket.socket] = set()
        self._held_until = 0.0
        self._lock = threading.Lock()
        self.cuts = 0

    def __enter__(self) -> Wire:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        # shutdown, because a close alone does not wake the thread that accepts.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            left = list(self._all)
        for sock in left:
            _end(sock)

    def cut(self, most: int) -> None:
        """Break so many event streams, or all there are."""
        with self._lock:
            doomed = list(self._streams)[:most]
        for sock in doomed:
            self.cuts += 1
            _end(sock)

    def hold(self, for_s: float) -> None:
        """Hand nothing on of the event streams for a while."""
        self._held_until = time.monotonic() + for_s

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        upstream = socket.create_connection(("127.0.0.1", self._port))
        for sock in (client, upstream):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._all |= {client, upstream}
        back = threading.Thread(target=self._pump, args=(upstream, client), daemon=True)
        back.start()
        self._pump(client, upstream)
        back.join()
        with self._lock:
            self._all -= {client, upstream}
            self._streams.discard(upstream)
        client.close()
        upstream.close()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(CHUNK):
                if data.startswith(b"GET /events "):
                    with self._lock:
                        self._streams.add(target)
                elif source in self._streams:
                    time.sleep(max(0.0, self._held_until - time.monotonic()))
                target.sendall(data)
        except OSError:
            pass
        _end(source)
        _end(target)


def _end(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
