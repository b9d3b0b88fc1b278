"""The faults that concern the connection, under a real gunicorn."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

pytestmark = pytest.mark.e2e
POPULAR = "/3/movie/popular"


class Caller:
    """Calls the server; keeps its connections until `close`."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self._connections: list[http.client.HTTPConnection] = []

    def __call__(self, method: str, path: str, body: Any = None) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection(*self.address, timeout=10)
        self._connections.append(connection)
        headers = {"Connection": "close"}
        connection.request(
            method, path, body=None if body is None else json.dumps(body), headers=headers
        )
        return connection.getresponse()

    def hold(self) -> socket.socket:
        """Send a request by hand and return the socket that its answer comes to."""
        raw = socket.create_connection(self.address, timeout=10)
        raw.sendall(f"GET {POPULAR} HTTP/1.1\r\nHost: stub\r\n\r\n".encode())
        return raw

    def close(self) -> None:
        """End the fault, and with it every call that it holds; close the connections."""
        self("DELETE", "/__faults").read()
        self("DELETE", "/__calls").read()
        for connection in self._connections:
            connection.close()


@pytest.fixture
def call(server: tuple[str, int]) -> Iterator[Caller]:
    """A caller; the fault ends with the test."""
    caller = Caller(server)
    yield caller
    caller.close()


def test_reset_sends_rst_and_the_server_lives_on(call: Caller) -> None:
    """Reset the connection with a TCP RST; the next call is served."""
    call("PUT", "/__faults", {"reset": True, "times": 3}).read()

    for _ in range(3):
        with call.hold() as raw, pytest.raises(ConnectionResetError):
            raw.recv(1)

    assert call("GET", POPULAR).status == 200


def test_truncate_closes_after_half_of_the_body(call: Caller) -> None:
    """Close the connection in the middle of a body whose whole length was announced."""
    whole = call("GET", POPULAR).read()
    call("PUT", "/__faults", {"truncate": True}).read()

    answer = call("GET", POPULAR)
    with pytest.raises(http.client.IncompleteRead) as caught:
        answer.read()

    assert answer.headers["Content-Length"] == str(len(whole))
    assert caught.value.partial == whole[: len(whole) // 2]


def test_slow_body_sends_the_headers_at_once(call: Caller) -> None:
    """Send the headers at once and let the body trickle in."""
    call("PUT", "/__faults", {"slow_body_ms": 400}).read()

    begun = time.monotonic()
    answer = call("GET", POPULAR)
    headers_s = time.monotonic() - begun
    body = answer.read()
    body_s = time.monotonic() - begun

    assert headers_s < 0.3
    assert body_s >= 0.4
    assert json.loads(body)["path"] == POPULAR


def test_hang_when_callers_go_gives_their_threads_back(call: Caller) -> None:
    """Hold more calls than there are threads without losing the server to those that left."""
    call("PUT", "/__faults", {"hang": True}).read()

    for _ in range(12):
        with call.hold() as raw:
            raw.settimeout(0.01)
            with pytest.raises(TimeoutError):
                raw.recv(1)

    assert call("GET", "/__calls").status == 200


def test_hang_when_the_fault_ends_is_answered(call: Caller) -> None:
    """Answer a held call as soon as the fault is deleted."""
    call("PUT", "/__faults", {"hang": True}).read()
    with call.hold() as raw:
        while not json.loads(call("GET", "/__calls").read()):
            pass
        call("DELETE", "/__faults").read()

        assert raw.recv(15) == b"HTTP/1.1 200 OK"
