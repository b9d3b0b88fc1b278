"""The service as it runs: gunicorn, several processes, real HTTP and signals."""

from __future__ import annotations

import json
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPException, HTTPResponse, IncompleteRead
from typing import Any

import pytest

from tests.user_stub.conftest import Service, in_parallel
from tests.user_stub.stream import Message, changes_until, messages

pytestmark = pytest.mark.e2e
StartService = Callable[..., Service]


class Opened:
    """A stream on a connection of its own."""

    def __init__(self, service: Service, last: int | None = None) -> None:
        self._connection = HTTPConnection("127.0.0.1", service.port, timeout=60)
        headers = {} if last is None else {"Last-Event-ID": str(last)}
        self._connection.request("GET", "/events", headers=headers)
        self.answer: HTTPResponse = self._connection.getresponse()
        self.messages: Iterator[Message] = messages(self._pieces())

    def _pieces(self) -> Iterator[bytes]:
        while piece := self.answer.read1():
            yield piece

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def put(service: Service, user: str, movie_id: int) -> None:
    """Change a user's library."""
    answer = service.call("PUT", f"/favorites/{movie_id}", b"{}", X_User_Id=user)
    assert answer.status == 201


def favorites(service: Service) -> list[int]:
    """Return the ids of the favourites."""
    answer: Any = service.call("GET", "/favorites")
    return [item["movie_id"] for item in json.loads(answer.answer)["favorites"]]


def test_posts_when_two_workers_get_them_then_one_adds(start_service: StartService) -> None:
    """Answer 1 times 201 and 29 times 409."""
    service = start_service("--workers", "2")

    statuses = in_parallel(
        30, lambda _: service.call("POST", "/favorites", b'{"movie_id": 7}').status
    )

    assert sorted(statuses) == [201] + [409] * 29
    assert favorites(service) == [7, 550, 155, 13]


def test_kill_when_clients_write_then_no_acknowledged_write_is_lost(
    start_service: StartService,
) -> None:
    """Keep every write that was acknowledged before a kill -9, none of them twice."""
    service = start_service("--workers", "2")
    acknowledged: list[int] = []
    enough = threading.Event()

    def write(client: int) -> None:
        for number in range(1, 1000):
            movie_id = client * 1000 + number
            try:
                answer = service.call("POST", "/favorites", b'{"movie_id": %d}' % movie_id)
            except (OSError, HTTPException):  # no answer, or the head of one without its body
                return
            if answer.status == 201:
                acknowledged.append(movie_id)
            if len(acknowledged) >= 40:
                enough.set()

    threads = [threading.Thread(target=write, args=[client]) for client in range(1, 5)]
    for thread in threads:
        thread.start()
    enough.wait()
    service.kill(signal.SIGKILL)
    for thread in threads:
        thread.join()
    service.start()

    found = favorites(service)
    assert set(acknowledged) <= set(found)
    assert len(found) == len(set(found))


def test_answer_when_it_is_lost_then_the_retry_with_the_key_acts_once(
    start_service: StartService,
) -> None:
    """Let a client whose answer was lost repeat its request; it gets the kept answer."""
    service = start_service()
    service.call("PUT", "/__faults", b'{"reset": true, "after": true, "times": 1}')
    key = {"Idempotency_Key": "once"}

    with pytest.raises(ConnectionResetError):
        service.call("POST", "/favorites", b'{"movie_id": 7}', **key)
    again = service.call("POST", "/favorites", b'{"movie_id": 7}', **key)

    assert again.status == 201
    assert again.headers["Idempotency-Replayed"] == "true"


def test_term_when_a_call_is_served_then_it_is_finished_and_the_data_stays(
    start_service: StartService,
) -> None:
    """Finish what is being served on SIGTERM, exit, and have everything after a new start."""
    service = start_service()
    service.call("PUT", "/__faults", b'{"latency_ms": 500}')
    statuses: list[int] = []
    call = threading.Thread(
        target=lambda: statuses.append(
            service.call("POST", "/favorites", b'{"movie_id": 7}', X_User_Id="ada").status
        )
    )
    call.start()
    while b"favorites" not in service.call("GET", "/__calls").answer:  # type: ignore[attr-defined]
        pass
    service.kill(signal.SIGTERM)
    call.join()
    service.start()

    assert statuses == [201]
    assert service.call("GET", "/favorites/7", X_User_Id="ada").status == 200
    assert favorites(service) == [550, 155, 13]


def test_log_when_a_request_is_served_then_one_line_has_its_id_and_not_the_user(
    start_service: StartService,
) -> None:
    """Write one line per request, which a path cannot forge, without a token or a user in it."""
    service = start_service(USER_SERVICE_TOKEN="correct-horse")
    secrets = {"Authorization": "Bearer correct-horse", "X_User_Id": "ada@example.org"}
    service.call("GET", "/favorites/1%0Astatus=200", X_Request_ID="id-1", **secrets)
    service.kill(signal.SIGTERM)

    text = service.log.read_text()
    line = r'^"GET /favorites/1%0Astatus=200 HTTP/1\.1" status=422 duration_ms=\d+ request_id=id-1$'
    assert re.search(line, text, re.MULTILINE)
    assert "correct-horse" not in text
    assert "ada@example.org" not in text


def test_streams_when_two_services_share_a_file_then_each_has_the_changes_of_both(
    start_service: StartService,
) -> None:
    """Send every revision once and in order, whichever process it was made by."""
    services = [start_service("--workers", "2"), start_service()]
    streams = [Opened(service) for service in services]

    def write(number: int) -> None:
        for movie_id in range(1, 6):
            put(services[number % 2], f"user-{number % 4}", number * 100 + movie_id)

    in_parallel(8, write)
    seen = [changes_until(stream.messages, 41) for stream in streams]
    for stream in streams:
        stream.close()

    assert seen[0] == seen[1]
    assert [each.id for each in seen[0]] == list(range(2, 42))
    for number in range(4):
        found = [each for each in seen[0] if each.data["user"] == f"user-{number}"]
        assert [each.data["revision"] for each in found] == list(range(1, 11))


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


def test_term_when_streams_are_open_then_they_end_whole(start_service: StartService) -> None:
    """End each stream with its last chunk, also one that nobody reads, and hold no worker back."""
    service = start_service("--workers", "2")
    streams = [Opened(service) for _ in range(4)]
    for stream in streams:
        assert next(stream.messages).event == "beat"

    service.kill(signal.SIGTERM)

    for stream in streams:
        assert {each.event for each in stream.messages} <= {"beat"}  # or it raises: cut off
        stream.close()


def test_subscribers_when_they_have_gone_then_their_places_are_free(
    start_service: StartService,
) -> None:
    """Refuse the 33rd stream, serve other calls meanwhile, and notice that callers have gone."""
    service = start_service()
    streams = [Opened(service) for _ in range(32)]
    refused = Opened(service)
    assert refused.answer.status == 503
    assert service.call("GET", "/favorites").status == 200

    for stream in (*streams, refused):
        stream.close()
    while (again := Opened(service)).answer.status == 503:
        again.close()
        time.sleep(0.05)

    assert next(again.messages).event == "beat"
    again.close()


def test_stream_when_a_fault_is_set_then_it_is_cut_and_the_next_one_is_served(
    start_service: StartService,
) -> None:
    """Break an open stream off on the wire, so that its subscriber asks again."""
    service = start_service()
    stream = Opened(service)
    next(stream.messages)
    service.call("PUT", "/__faults", b'{"match": "/favorites", "status": 503}')

    with pytest.raises((IncompleteRead, ConnectionError)):
        changes_until(stream.messages, 1000)
    stream.close()
    again = Opened(service)
    assert next(again.messages).event == "beat"
    again.close()
