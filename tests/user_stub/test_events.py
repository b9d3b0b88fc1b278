"""Event streams: what is sent, in which order, and when a stream ends."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import delete
from sqlalchemy.exc import OperationalError

from tests.user_stub.conftest import in_parallel
from tests.user_stub.stream import Message, changes_until, messages
from user_stub import changes, events
from user_stub.events import BEAT_INTERVAL_S, STREAM_LIFETIME_S, EventStreams
from user_stub.models import LibraryChange
from user_stub.store import Store


@pytest.fixture
def clock() -> list[float]:
    """Seconds that only pass when the test says so."""
    return [1000.0]


@pytest.fixture
def store(store: Store, clock: list[float]) -> Store:
    """A store whose streams go by the clock; its log holds one change, of the sample."""
    store.streams = EventStreams(store.database, clock=lambda: clock[0])
    return store


def change(store: Store, user: str = "ada") -> None:
    """Change a library."""
    with store.writing(user) as lists:
        lists.reset()


def forget(store: Store, condition: Any) -> None:
    """Drop changes from the log."""
    with store.database.writing() as session:
        session.execute(delete(LibraryChange).where(condition))


def follow(store: Store, last: int | None = None) -> Iterator[Message]:
    """Return the messages of a new stream."""
    return messages(store.streams.subscribe(last))


def test_stream_when_libraries_change_then_user_and_revision_come(store: Store) -> None:
    """Begin with a beat that says up to where the stream is complete; send a message per change."""
    found = follow(store)
    first = next(found)
    for user in ("ada", 'o"brien\\', "ada"):
        change(store, user)

    assert first == Message("beat", 1, {"seq": 1})
    assert changes_until(found, 4) == [
        Message("change", 2, {"user": "ada", "revision": 1}),
        Message("change", 3, {"user": 'o"brien\\', "revision": 1}),
        Message("change", 4, {"user": "ada", "revision": 2}),
    ]


@pytest.mark.parametrize(("last", "found"), [(0, [1, 2, 3]), (1, [2, 3]), (3, [])])
def test_resume_when_changes_were_missed_then_sent(
    store: Store, last: int, found: list[int]
) -> None:
    """Send what came after the last id, each once, then say that nothing is missing."""
    for _ in range(2):
        change(store)

    stream = follow(store, last)

    assert [(each.event, each.id) for each in islice(stream, len(found) + 1)] == [
        *(("change", seq) for seq in found),
        ("beat", 3),
    ]


def test_stream_when_changes_are_gone_then_a_reset_comes(store: Store) -> None:
    """Say so to whoever may have missed a change, when it resumes and while it follows."""
    for _ in range(4):
        change(store)
    forget(store, LibraryChange.seq < 4)
    resumed, following = follow(store, 2), follow(store)
    received = [*islice(resumed, 2), next(following)]
    forget(store, LibraryChange.seq >= 5)  # as a restored database has
    received.append(next(following))
    change(store)

    assert [(each.event, each.id) for each in received] == [
        ("reset", 5),
        ("beat", 5),
        ("beat", 5),
        ("reset", 4),
    ]
    assert next(following).data == {"user": "ada", "revision": 5}


def test_resume_when_much_was_missed_then_batches(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read a bounded number of changes at once, and say that nothing is missing at the end."""
    for _ in range(6):
        change(store)
    monkeypatch.setattr(changes, "BATCH_SIZE", 3)

    found = list(islice(follow(store, 0), 8))

    assert [each.id for each in found] == [*range(1, 8), 7]
    assert found[-1].event == "beat"


def test_stream_when_250_ms_have_passed_then_a_beat(store: Store, clock: list[float]) -> None:
    """Beat every 250 ms, not more often, whatever else is sent."""
    found = follow(store)
    sent = [next(found)]
    for passes in (0.2, 0.04):
        clock[0] += passes
        change(store)
        sent.append(next(found))
    for passes in (0.01, BEAT_INTERVAL_S):
        clock[0] += passes
        sent.append(next(found))

    assert [each.event for each in sent] == ["beat", "change", "change", "beat", "beat"]


def test_stream_when_its_time_is_over_then_it_ends(store: Store, clock: list[float]) -> None:
    """End after the lifetime, give or take a tenth, and when the server shuts down."""
    old = follow(store)
    next(old)
    clock[0] += STREAM_LIFETIME_S * 0.89
    assert next(old).event == "beat"
    clock[0] += STREAM_LIFETIME_S * 0.22
    young = follow(store)
    next(young)

    assert list(old) == []
    assert store.streams.count == 1
    store.streams.stopping = lambda: True
    assert list(young) == []
    assert store.streams.count == 0


def test_stream_when_we_commit_then_woken(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Send a change at once instead of waiting for the next poll, which is an hour away."""
    monkeypatch.setattr(events, "POLL_INTERVAL_S", 3600)
    monkeypatch.setattr(events, "BEAT_INTERVAL_S", 3600)
    found = follow(store)
    next(found)
    received = threading.Semaphore(0)

    def receive() -> None:
        for _ in range(20):
            next(found)
            received.release()

    threading.Thread(target=receive, daemon=True).start()
    for _ in range(20):
        change(store)
        assert received.acquire(timeout=30)


def test_stream_when_the_database_goes_away_then_it_ends(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """End whole, so that the subscriber asks again, and say so in the log."""

    def away(*_: Any) -> None:
        raise OperationalError("SELECT", {}, Exception("gone"))

    found = follow(store)
    next(found)
    monkeypatch.setattr(changes, "after", away)

    assert list(found) == []
    assert "events.database_unavailable error=OperationalError" in caplog.text


def test_streams_when_many_write_then_all_comes_in_order(any_database_url: str) -> None:
    """Number the changes in the order of their commits, over two processes' stores."""
    stores = [Store(any_database_url, busy_timeout_s=30) for _ in range(2)]
    for each in stores:
        each.prepare()
    streams = [follow(each, last) for each in stores for last in (1, None)]

    def write(number: int) -> None:
        for _ in range(10):
            change(stores[number % 2], f"user-{number % 4}")

    in_parallel(8, write)
    seen = [changes_until(stream, 81) for stream in streams]
    for each in stores:
        each.close()

    assert all(each == seen[0] for each in seen)
    assert [each.id for each in seen[0]] == list(range(2, 82))
    for number in range(4):
        found = [each for each in seen[0] if each.data["user"] == f"user-{number}"]
        assert [each.data["revision"] for each in found] == list(range(1, 21))


def test_stream_when_a_fault_is_set_then_its_connection_is_cut(client: FlaskClient) -> None:
    """Make whoever answers from memory ask again, and meet the fault."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        stream = client.get("/events", buffered=False, environ_overrides={"gunicorn.socket": ours})
        timeout_s = ours.gettimeout()
        client.put("/__faults", json={"match": "/favorites", "status": 503})
        client.delete("/__faults")
        theirs.setblocking(False)

        assert theirs.recv(1) == b""
        assert timeout_s == events.SEND_TIMEOUT_S
        stream.close()
