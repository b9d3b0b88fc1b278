"""Event streams as they are served: gunicorn, several processes, signals and real connections."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from http.client import HTTPConnection, HTTPResponse, IncompleteRead

import pytest

from tests.user_stub.conftest import Service
from tests.user_stub.stream import Message, changes_until, messages

pytestmark = pytest.mark.e2e
StartService = Callable[..., Service]


class Opened:
    """A stream on a connection of its own."""

    def __init__(self, service: Service, last: int | None = None) -> None:
        self.connection = HTTPConnection("127.0.0.1", service.port, timeout=15)
        headers = {} if last is None else {"Last-Event-ID": str(last)}
        self.connection.request("GET", "/events", headers=headers)
        self.answer: HTTPResponse = self.connection.getresponse()
        self.messages: Iterator[Message] = messages(self._pieces())

    def _pieces(self) -> Iterator[bytes]:
        while piece := self.answer.read1():
            yield piece

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()


def put(service: Service, user: str, movie_id: int) -> None:
    """Change a user's library."""
    answer = service.call("PUT", f"/favorites/{movie_id}", b"{}", X_User_Id=user)
    assert answer.status == 201


def test_two_services_on_one_file_then_each_streams_the_changes_of_both(
    start_service: StartService,
) -> None:
    """Send every revision once and in order, whichever process it was made by."""
    services = [start_service("--workers", "2"), start_service()]
    streams = [Opened(service) for service in services]

    def write(number: int) -> None:
        for movie_id in range(1, 11):
            put(services[number % 2], f"user-{number % 4}", number * 100 + movie_id)

    threads = [threading.Thread(target=write, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    seen = [changes_until(stream.messages, 81) for stream in streams]
    for thread in threads:
        thread.join(30)
    for stream in streams:
        stream.close()

    assert seen[0] == seen[1]
    assert [each.id for each in seen[0]] == list(range(2, 82))
    for number in range(4):
        found = [each for each in seen[0] if each.data["user"] == f"user-{number}"]
        assert [each.data["revision"] for each in found] == list(range(1, 21))


def test_stream_when_the_service_is_killed_then_it_resumes_without_a_gap(
    start_service: StartService,
) -> None:
    """Break off with the service; after its restart, send what was missed."""
    service = start_service()
    stream = Opened(service)
    put(service, "ada", 1)
    last = changes_until(stream.messages, 2)[-1].id
    put(service, "ada", 2)
    service.kill(signal.SIGKILL)
    with pytest.raises((IncompleteRead, ConnectionError)):
        changes_until(stream.messages, 1000)
    stream.close()
    service.start()
    put(service, "bob", 1)

    resumed = Opened(service, last)

    assert [each.data for each in changes_until(resumed.messages, 4)] == [
        {"user": "ada", "revision": 2},
        {"user": "bob", "revision": 1},
    ]
    resumed.close()


def test_term_when_streams_are_open_then_they_end_whole_and_at_once(
    start_service: StartService,
) -> None:
    """End each stream with its last chunk within two seconds, and hold no worker back."""
    service = start_service("--workers", "2")
    streams = [Opened(service) for _ in range(4)]
    ended: list[tuple[str, float]] = []

    def read(stream: Opened) -> None:
        last = [each.event for each in stream.messages][-1]
        ended.append((last, time.monotonic()))

    readers = [threading.Thread(target=read, args=[stream]) for stream in streams[:3]]
    for reader in readers:
        reader.start()
    time.sleep(0.3)
    begun = time.monotonic()
    service.kill(signal.SIGTERM)
    took = time.monotonic() - begun
    for reader in readers:
        reader.join(5)
    # Nobody has read this one meanwhile.
    unread = [each.event for each in streams[3].messages]
    for stream in streams:
        stream.close()

    assert [event for event, _ in ended] == ["beat"] * 3
    assert max(at for _, at in ended) - begun < 2
    assert unread[-1] == "beat"
    # Mostly the interpreters' own end; a stream that held a worker would cost 10 s.
    assert took < 9


def test_subscribers_when_they_have_gone_then_their_places_are_free(
    start_service: StartService,
) -> None:
    """Refuse the 33rd stream, and notice within a second that callers have gone."""
    service = start_service()
    for _ in range(2):
        streams = [Opened(service) for _ in range(32)]
        refused = Opened(service)
        assert refused.answer.status == 503
        assert refused.answer.headers["Retry-After"] == "10"
        assert service.call("GET", "/favorites").status == 200
        for stream in (*streams, refused):
            stream.close()
        time.sleep(1)


def test_open_stream_when_a_reset_is_injected_then_the_caller_sees_a_cut(
    start_service: StartService,
) -> None:
    """Break an open stream off on the wire, and serve the next one."""
    service = start_service()
    stream = Opened(service)
    next(stream.messages)
    service.call("PUT", "/__faults", b'{"match": "/events", "reset": true, "times": 1}')

    with pytest.raises((IncompleteRead, ConnectionError)):
        changes_until(stream.messages, 1000)
    stream.close()
    with closing(Opened(service)) as again:
        assert next(again.messages).event == "beat"
