"""The service as it runs: gunicorn, several processes, real HTTP and signals."""

from __future__ import annotations

import re
import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import requests

from tests.user_stub.conftest import Service
from tests.user_stub.stream import Message, changes_until, messages

pytestmark = pytest.mark.e2e
StartService = Callable[..., Service]


class Opened:
    """A stream on a connection of its own."""

    def __init__(self, service: Service, **headers: str) -> None:
        self.answer = service.call("GET", "/events", headers=headers, stream=True)
        self.messages: Iterator[Message] = messages(self.answer.iter_content(None))

    def close(self) -> None:
        """Close the connection."""
        self.answer.close()


def favorites(service: Service) -> list[int]:
    """Return the ids of the favourites."""
    return [item["movie_id"] for item in service.call("GET", "/favorites").json()["favorites"]]


def test_kill_when_clients_write_then_nothing_is_lost(start_service: StartService) -> None:
    """Keep every write that two workers acknowledged before a kill -9; streams resume after it."""
    service = start_service("--workers", "2")
    stream = Opened(service)
    first = next(stream.messages)
    acknowledged: list[int] = []
    enough = threading.Event()

    def write(client: int) -> None:
        for movie_id in range(client * 1000, client * 1000 + 999):
            try:
                answer = service.call("POST", "/favorites", json={"movie_id": movie_id})
            except requests.RequestException:  # no answer, or a part of one
                return
            if answer.status_code == 201:
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
    with pytest.raises(requests.RequestException):
        list(stream.messages)
    service.start()
    found = favorites(service)
    resumed = Opened(service, **{"Last-Event-ID": str(first.id)})
    revisions = [each.data["revision"] for each in changes_until(resumed.messages, len(found) - 2)]
    resumed.close()

    assert set(acknowledged) <= set(found)
    assert len(found) == len(set(found))
    assert revisions == list(range(2, len(found) - 1))  # the sample holds three films


def test_answer_when_lost_then_the_retry_acts_once(start_service: StartService) -> None:
    """Let a client whose answer was lost repeat its request; it gets the kept answer."""
    service = start_service()
    service.call("PUT", "/__faults", json={"reset": True, "after": True, "times": 1})
    request = {"json": {"movie_id": 7}, "headers": {"Idempotency-Key": "once"}}

    with pytest.raises(requests.ConnectionError):
        service.call("POST", "/favorites", **request)
    again = service.call("POST", "/favorites", **request)

    assert again.status_code == 201
    assert again.headers["Idempotency-Replayed"] == "true"


def test_term_when_calls_are_served_then_they_end_whole(start_service: StartService) -> None:
    """Finish the call, end each stream with its last chunk, and have the data after a restart."""
    service = start_service()
    service.call("PUT", "/__faults", json={"match": "/favorites", "latency_ms": 500})
    streams = [Opened(service) for _ in range(4)]
    statuses: list[int] = []

    def add() -> None:
        statuses.append(service.call("POST", "/favorites", json={"movie_id": 7}).status_code)

    call = threading.Thread(target=add)
    call.start()
    while "POST /favorites" not in service.call("GET", "/__calls").json():
        pass
    service.kill(signal.SIGTERM)

    call.join()
    for stream in streams:
        assert {each.event for each in stream.messages} == {"beat"}  # raises where it was cut off
    service.start()
    assert statuses == [201]
    assert favorites(service) == [7, 550, 155, 13]


def test_subscribers_when_gone_then_their_slots_are_free(start_service: StartService) -> None:
    """Refuse the 33rd stream; a caller that leaves, or that a fault cuts off, frees its slot."""
    service = start_service()

    def fill() -> list[Opened]:
        opened: list[Opened] = []
        while len(opened) < 32:
            stream = Opened(service)
            if stream.answer.status_code == 200:
                opened.append(stream)
            else:
                stream.close()
                time.sleep(0.05)
        return opened

    for stream in fill():
        stream.close()
    streams = fill()
    assert service.call("GET", "/events").status_code == 503
    service.call("PUT", "/__faults", json={"match": "/favorites", "status": 503})
    for stream in streams:
        with pytest.raises(requests.RequestException):
            list(stream.messages)
    for stream in fill():
        stream.close()


def test_log_when_a_call_is_served_then_its_id_is_in_it(start_service: StartService) -> None:
    """Write one line per request, which a path cannot forge, without a token or a user in it."""
    service = start_service(USER_SERVICE_TOKEN="correct-horse")
    headers = {
        "Authorization": "Bearer correct-horse",
        "X-User-Id": "ada-lovelace",
        "X-Request-ID": "id-1",
    }
    service.call("GET", "/favorites/1%0Astatus=200", headers=headers)
    service.kill(signal.SIGTERM)

    text = service.log.read_text()
    line = r'^"GET /favorites/1%0Astatus=200 HTTP/1\.1" status=422 duration_ms=\d+ request_id=id-1$'
    assert re.search(line, text, re.MULTILINE)
    assert "correct-horse" not in text
    assert headers["X-User-Id"] not in text
