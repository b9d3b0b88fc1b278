"""The event stream: what is sent, in which order, and when a stream ends."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.exc import OperationalError

from tests.user_stub.conftest import MakeApp, assert_problem, execute, in_parallel
from tests.user_stub.postgresql import Server
from tests.user_stub.stream import Message, changes_until, messages
from user_stub import changes, events
from user_stub.events import BEAT_INTERVAL_S, STREAM_LIFETIME_S, EventStreams
from user_stub.store import Store


class Opened:
    """An open stream of an app."""

    def __init__(self, client: FlaskClient, last: int | None = None, **environ: Any) -> None:
        headers = {} if last is None else {"Last-Event-ID": str(last)}
        self.answer = client.get(
            "/events", headers=headers, buffered=False, environ_overrides=environ
        )
        self.messages = messages(self.answer.iter_encoded())

    def next(self, event: str) -> Message:
        """Return the next message of a kind."""
        return next(message for message in self.messages if message.event == event)

    def close(self) -> None:
        """Leave, as a caller does that closes its connection."""
        self.answer.close()


@pytest.fixture
def open_stream(client: FlaskClient) -> Iterator[Callable[..., Opened]]:
    """Open streams of the shared app; they are closed with the test."""
    opened: list[Opened] = []

    def open_one(last: int | None = None, **environ: Any) -> Opened:
        opened.append(Opened(client, last, **environ))
        return opened[-1]

    yield open_one
    for stream in opened:
        stream.close()


def put(client: FlaskClient, user: str, movie_id: int) -> None:
    """Change a user's library."""
    answer = client.put(f"/favorites/{movie_id}", json={}, headers={"X-User-Id": user})
    assert answer.status_code == 201


def test_stream_when_it_opens_then_a_beat_comes_first(open_stream: Callable[..., Opened]) -> None:
    """Answer an unbuffered event stream whose first message says up to where it is complete."""
    stream = open_stream()

    assert next(stream.messages) == Message("beat", 1, {"seq": 1})
    headers = stream.answer.headers
    assert stream.answer.status_code == 200
    assert headers["Content-Type"] == "text/event-stream"
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Accel-Buffering"] == "no"
    assert "Content-Length" not in headers


def test_stream_when_a_library_changes_then_user_and_revision_come(
    client: FlaskClient, open_stream: Callable[..., Opened]
) -> None:
    """Send one message per change, whoever's library it is; later beats carry its number."""
    stream = open_stream()

    put(client, "ada", 1)
    put(client, 'o"brien\\', 1)
    client.delete("/clear")

    found = changes_until(stream.messages, 4)
    assert [(each.id, each.data) for each in found] == [
        (2, {"user": "ada", "revision": 1}),
        (3, {"user": 'o"brien\\', "revision": 1}),
        (4, {"user": "demo-user-123", "revision": 2}),
    ]
    assert stream.next("beat").data == {"seq": 4}


def test_stream_when_a_call_changes_nothing_then_nothing_is_sent(
    client: FlaskClient, open_stream: Callable[..., Opened]
) -> None:
    """Send nothing for a refused, a repeated and a replayed change."""
    stream = open_stream()

    client.post("/favorites", json={"movie_id": 550})
    client.put("/favorites/550", json={"rating": 5})
    for _ in range(2):
        client.post("/favorites", json={"movie_id": 7}, headers={"Idempotency-Key": "once"})
    put(client, "ada", 1)

    found = changes_until(stream.messages, 3)
    assert [each.data["user"] for each in found] == ["demo-user-123", "ada"]


@pytest.mark.parametrize(("last", "found"), [(0, [1, 2, 3]), (1, [2, 3]), (2, [3]), (3, [])])
def test_resume_when_changes_were_missed_then_they_come_before_the_beat(
    client: FlaskClient, open_stream: Callable[..., Opened], last: int, found: list[int]
) -> None:
    """Send what came after `Last-Event-ID`, each once, then say that nothing is missing."""
    put(client, "ada", 1)
    put(client, "bob", 1)

    stream = open_stream(last)

    received = [next(stream.messages) for _ in range(len(found) + 1)]
    assert [(each.event, each.id) for each in received] == [
        *(("change", seq) for seq in found),
        ("beat", 3),
    ]


@pytest.mark.parametrize("last", [0, 2, 77])
def test_resume_when_changes_are_not_kept_then_a_reset_comes(
    client: FlaskClient,
    shared_app: tuple[Flask, Any],
    open_stream: Callable[..., Opened],
    last: int,
) -> None:
    """Say so where changes were dropped, and where the id is from another state of the data."""
    for number in range(1, 5):
        put(client, "ada", number)
    execute(str(shared_app[1]), "DELETE FROM changes WHERE seq < 4")

    stream = open_stream(last)

    assert next(stream.messages) == Message("reset", 5, {"seq": 5})
    assert next(stream.messages) == Message("beat", 5, {"seq": 5})


def test_stream_when_its_place_in_the_log_is_lost_then_a_reset_comes(
    client: FlaskClient, shared_app: tuple[Flask, Any], open_stream: Callable[..., Opened]
) -> None:
    """Never go on silently after changes that may be missing, as after a restored database."""
    stream = open_stream()
    put(client, "ada", 1)
    assert stream.next("change").id == 2
    execute(str(shared_app[1]), "DELETE FROM changes WHERE seq >= 2")

    assert stream.next("reset") == Message("reset", 1, {"seq": 1})
    put(client, "ada", 2)
    assert stream.next("change").data == {"user": "ada", "revision": 2}


def test_stream_when_much_was_missed_then_it_comes_in_pieces_before_the_beat(
    client: FlaskClient, open_stream: Callable[..., Opened], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read a bounded number of changes at once, and say that nothing is missing at the end."""
    for number in range(1, 8):
        put(client, "ada", number)
    monkeypatch.setattr(changes, "BATCH_SIZE", 3)

    stream = open_stream(0)

    found = [next(stream.messages) for _ in range(9)]
    assert [each.id for each in found] == [*range(1, 9), 8]
    assert found[-1].event == "beat"


def test_stream_when_head_is_asked_then_none_is_opened(app: Flask, client: FlaskClient) -> None:
    """Answer HEAD with the headers alone."""
    answer = client.head("/events")

    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/event-stream"
    assert app.extensions["store"].streams.count == 0


def test_streams_when_there_are_too_many_then_503_until_one_leaves(
    app: Flask, client: FlaskClient, open_stream: Callable[..., Opened]
) -> None:
    """Keep threads for other calls: refuse the 33rd stream, take it once a place is free."""
    opened = [open_stream() for _ in range(32)]

    refused = client.get("/events")
    opened[0].close()
    taken = open_stream()

    assert_problem(refused, 503)
    assert refused.headers["Retry-After"] == "10"
    assert taken.answer.status_code == 200
    assert client.get("/favorites").status_code == 200
    for stream in (*opened, taken):
        stream.close()
    assert app.extensions["store"].streams.count == 0


def test_stream_when_the_database_goes_away_then_it_ends(
    client: FlaskClient,
    open_stream: Callable[..., Opened],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """End whole, so that the subscriber asks again, and say so in the log."""

    def away(*_: Any) -> None:
        raise OperationalError("SELECT", {}, Exception("gone"))

    stream = open_stream()
    next(stream.messages)
    with monkeypatch.context() as patch:
        patch.setattr(changes, "after", away)
        rest = list(stream.messages)
    put(client, "ada", 1)

    assert rest == []
    assert "events.database_unavailable error=OperationalError" in caplog.text
    assert open_stream(1).next("change").data == {"user": "ada", "revision": 1}


def test_stream_when_it_is_served_then_sending_has_a_limit(
    open_stream: Callable[..., Opened],
) -> None:
    """Free the thread of a subscriber that reads nothing."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        open_stream(**{"gunicorn.socket": ours})

        assert ours.gettimeout() == events.SEND_TIMEOUT_S


def test_stream_when_a_fault_is_set_then_its_connection_is_cut(
    client: FlaskClient, open_stream: Callable[..., Opened]
) -> None:
    """Make whoever answers from memory ask again, and meet the fault."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        open_stream(**{"gunicorn.socket": ours})
        client.put("/__faults", json={"match": "/favorites", "status": 503})
        client.delete("/__faults")
        theirs.setblocking(False)

        assert theirs.recv(1) == b""
        assert open_stream().next("beat").data == {"seq": 1}


class Clock:
    """Seconds that only pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class TestTime:
    """Streams by a clock of the test."""

    @pytest.fixture
    def clock(self) -> Clock:
        """A clock that stands still."""
        return Clock()

    @pytest.fixture
    def store(self, database_url: str, clock: Clock) -> Iterator[Store]:
        """A store whose streams go by the clock."""
        store = Store(database_url, busy_timeout_s=30)
        store.streams = EventStreams(store.database, clock=clock)
        store.prepare()
        yield store
        store.close()

    @staticmethod
    def change(store: Store) -> None:
        """Change a library."""
        with store.writing("ada") as lists:
            lists.reset()

    def test_stream_when_a_quarter_of_a_second_has_passed_then_a_beat_comes(
        self, store: Store, clock: Clock
    ) -> None:
        """Beat every 250 ms, not more often, whatever else is sent."""
        found = messages(store.streams.subscribe(None))
        sent = [next(found)]
        for passes in (0.2, 0.04):
            clock.now += passes
            self.change(store)
            sent.append(next(found))
        clock.now += 0.01
        sent.append(next(found))
        clock.now += BEAT_INTERVAL_S
        sent.append(next(found))

        assert [each.event for each in sent] == ["beat", "change", "change", "beat", "beat"]

    def test_stream_when_its_time_is_over_then_it_ends(self, store: Store, clock: Clock) -> None:
        """End after the lifetime, give or take a tenth."""
        stream = store.streams.subscribe(None)
        found = messages(stream)
        next(found)
        clock.now += STREAM_LIFETIME_S * 0.89
        assert next(found).event == "beat"
        clock.now += STREAM_LIFETIME_S * 0.22

        assert list(found) == []
        assert store.streams.count == 0

    def test_stream_when_the_service_stops_then_it_ends(self, store: Store) -> None:
        """End every stream when the server shuts down."""
        found = messages(store.streams.subscribe(None))
        next(found)
        store.streams.stopping = lambda: True

        assert list(found) == []

    def test_stream_when_this_process_commits_then_it_is_woken(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Send a change at once instead of waiting for the next poll, which is an hour away."""
        monkeypatch.setattr(events, "POLL_INTERVAL_S", 3600)
        monkeypatch.setattr(events, "BEAT_INTERVAL_S", 3600)
        found = messages(store.streams.subscribe(None))
        next(found)
        received = threading.Semaphore(0)

        def follow() -> None:
            for _ in range(20):
                next(found)
                received.release()

        follower = threading.Thread(target=follow, daemon=True)
        follower.start()
        for _ in range(20):
            self.change(store)
            assert received.acquire(timeout=30)
        follower.join()

    def test_stream_when_another_process_commits_then_it_is_found(
        self, store: Store, database_url: str
    ) -> None:
        """Look for the commits of others on the same database, which wake nobody here."""
        other = Store(database_url, busy_timeout_s=30)
        found = messages(store.streams.subscribe(None))
        next(found)

        self.change(other)
        other.close()

        assert next(found).data == {"user": "ada", "revision": 1}


class TestParallel:
    """Many writers over two apps, on a database of each kind."""

    @pytest.fixture
    def database_url(self, any_database_url: str) -> str:
        """The address of a new database."""
        return any_database_url

    def test_streams_when_eight_threads_write_then_every_revision_comes_once_in_order(
        self, make_app: MakeApp
    ) -> None:
        """Number the changes in the order of their commits, and send all to every subscriber."""
        apps = [make_app(), make_app()]
        streams = [Opened(app.test_client(), last) for app in apps for last in (1, None)]

        def write(number: int) -> None:
            for movie_id in range(1, 11):
                client = apps[number % 2].test_client()
                put(client, f"user-{number % 4}", number * 100 + movie_id)

        in_parallel(8, write)
        seen = [changes_until(stream.messages, 81) for stream in streams]
        for stream in streams:
            stream.close()

        assert all(each == seen[0] for each in seen)
        assert [each.id for each in seen[0]] == list(range(2, 82))
        for number in range(4):
            found = [each for each in seen[0] if each.data["user"] == f"user-{number}"]
            assert [each.data["revision"] for each in found] == list(range(1, 21))


@pytest.mark.e2e
def test_stream_when_postgresql_goes_and_comes_back_then_it_ends_and_resumes(
    make_app: MakeApp, postgresql: Server, postgresql_url: str
) -> None:
    """End the stream with the database, refuse new ones, and miss nothing afterwards."""
    client = make_app(database_url=postgresql_url).test_client()
    stream = Opened(client, 1)

    postgresql.stop()
    rest = [message.event for message in stream.messages]
    refused = client.get("/events")
    postgresql.start()
    put(client, "ada", 1)
    resumed = Opened(client, 1)

    assert set(rest) <= {"beat"}
    assert_problem(refused, 503)
    assert resumed.next("change").data == {"user": "ada", "revision": 1}
    resumed.close()
