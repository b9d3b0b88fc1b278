"""The faults that concern the connection, under a real gunicorn."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

pytestmark = pytest.mark.e2e
POPULAR = "/3/movie/popular"
HANG_GUARD_S = 30


class Caller:
    """Calls the server; keeps its connections until `close`."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self._connections: list[http.client.HTTPConnection] = []

    def __call__(self, method: str, path: str, body: Any = None) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection(*self.address, timeout=HANG_GUARD_S)
        self._connections.append(connection)
        text = None if body is None else json.dumps(body)
        connection.request(method, path, body=text, headers={"Connection": "close"})
        return connection.getresponse()

    def hold(self) -> socket.socket:
        """Send a request by hand and return the socket that its answer comes to."""
        raw = socket.create_connection(self.address, timeout=HANG_GUARD_S)
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


def test_reset_when_set_then_the_connection_ends_and_the_server_lives_on(call: Caller) -> None:
    """The caller sees a TCP RST; the next call is served."""
    call("PUT", "/__faults", {"reset": True, "times": 3}).read()

    for _ in range(3):
        with call.hold() as raw, pytest.raises(ConnectionResetError):
            raw.recv(1)
    assert call("GET", POPULAR).status == 200


def test_truncate_when_set_then_half_of_the_body_comes(call: Caller) -> None:
    """The connection ends in the middle of a body whose whole length was announced."""
    whole = call("GET", POPULAR).read()
    call("PUT", "/__faults", {"truncate": True}).read()

    answer = call("GET", POPULAR)
    with pytest.raises(http.client.IncompleteRead) as caught:
        answer.read()

    assert answer.headers["Content-Length"] == str(len(whole))
    assert caught.value.partial == whole[: len(whole) // 2]


def test_slow_body_when_set_then_the_headers_come_first(call: Caller) -> None:
    """The headers are there while the body is still held, which comes when the fault ends."""
    call("PUT", "/__faults", {"slow_body_ms": 600_000}).read()

    answer = call("GET", POPULAR)
    call("DELETE", "/__faults").read()

    assert json.loads(answer.read())["path"] == POPULAR


def test_hang_when_callers_go_then_their_threads_are_free(call: Caller) -> None:
    """More calls than there are threads are held, and those that left hold nobody up."""
    call("PUT", "/__faults", {"hang": True}).read()

    for _ in range(12):
        with call.hold() as raw:
            raw.settimeout(0.01)
            with pytest.raises(TimeoutError):
                raw.recv(1)

    assert call("GET", "/__calls").status == 200


def test_hang_when_the_fault_ends_then_the_call_is_answered(call: Caller) -> None:
    """A held call is answered as soon as the fault is deleted."""
    call("PUT", "/__faults", {"hang": True}).read()
    with call.hold() as raw:
        while not json.loads(call("GET", "/__calls").read()):
            pass
        call("DELETE", "/__faults").read()

        assert raw.recv(15) == b"HTTP/1.1 200 OK"
