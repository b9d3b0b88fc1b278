"""The event stream: what is sent, in which order, and when a stream ends."""

from __future__ import annotations

import datetime as dt
import socket
import sqlite3
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.exc import OperationalError

from tests.user_stub.stream import Message, changes_until, messages
from user_stub import changes, events
from user_stub.events import Hub
from user_stub.store import Store

MakeApp = Callable[..., Flask]


class Opened:
    """An open stream of an app."""

    def __init__(self, client: FlaskClient, **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answer = client.get("/events", headers=named, buffered=False)
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

    def open_one(**headers: str) -> Opened:
        opened.append(Opened(client, **headers))
        return opened[-1]

    yield open_one
    for stream in opened:
        stream.close()


def hub_of(app: Flask) -> Hub:
    """Return the hub of an app."""
    hub: Hub = app.extensions["store"].hub
    return hub


def until(condition: Callable[[], bool], within_s: float = 5.0) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def put(client: FlaskClient, user: str, movie_id: int, rating: int = 1) -> int:
    """Change a user's library and return its revision."""
    answer = client.put(
        f"/favorites/{movie_id}", json={"rating": rating}, headers={"X-User-Id": user}
    )
    assert answer.status_code < 300
    return int(answer.headers["X-Library-Revision"])


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


def test_stream_when_nothing_changes_then_beats_come_four_times_a_second(
    open_stream: Callable[..., Opened],
) -> None:
    """Beat every 250 ms, so that a subscriber knows that nothing has changed."""
    stream = open_stream()
    next(stream.messages)
    begun = time.monotonic()

    beats = [next(stream.messages) for _ in range(3)]

    assert beats == [Message("beat", 1, {"seq": 1})] * 3
    assert 0.6 < time.monotonic() - begun < 2


def test_stream_when_a_library_changes_then_user_and_revision_come(
    client: FlaskClient, open_stream: Callable[..., Opened]
) -> None:
    """Send one message per change, whoever's library it is; later beats carry its number."""
    stream = open_stream()

    assert put(client, "ada", 1) == 1
    assert put(client, 'o"brien\\', 1) == 1
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
    key = {"Idempotency-Key": "once"}

    client.post("/favorites", json={"movie_id": 550})
    client.put("/favorites/550", json={"rating": 5})
    for _ in range(2):
        client.post("/favorites", json={"movie_id": 7}, headers=key)
    put(client, "ada", 1)

    found = changes_until(stream.messages, 3)
    assert [each.data["user"] for each in found] == ["demo-user-123", "ada"]


def test_stream_when_eight_threads_write_then_every_revision_comes_once_in_order(
    app: Flask, open_stream: Callable[..., Opened]
) -> None:
    """Send every revision of every user exactly once, in order, to every subscriber."""
    streams = [open_stream(), open_stream(Last_Event_ID="1")]
    users = [f"user-{number % 4}" for number in range(8)]

    def write(number: int) -> None:
        client = app.test_client()
        for movie_id in range(1, 26):
            put(client, users[number], number * 100 + movie_id)

    threads = [threading.Thread(target=write, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    seen = [changes_until(stream.messages, 201) for stream in streams]
    for thread in threads:
        thread.join(30)

    assert seen[0] == seen[1]
    assert [each.id for each in seen[0]] == list(range(2, 202))
    for user in set(users):
        revisions = [each.data["revision"] for each in seen[0] if each.data["user"] == user]
        assert revisions == list(range(1, 51))


def test_change_in_the_same_process_then_it_comes_within_20_ms(
    client: FlaskClient, open_stream: Callable[..., Opened]
) -> None:
    """Wake the stream at a commit instead of waiting for the next look."""
    stream = open_stream()
    took = []
    for number in range(1, 12):
        put(client, "ada", number)
        begun = time.monotonic()
        stream.next("change")
        took.append(time.monotonic() - begun)

    assert statistics.median(took) < 0.02


def test_change_by_another_process_then_it_comes_within_150_ms(make_app: MakeApp) -> None:
    """Find the commits of others on the same database, which wake nobody here."""
    ours, theirs = make_app(), make_app()
    stream = Opened(ours.test_client())
    client = theirs.test_client()
    took = []
    for number in range(1, 8):
        put(client, "ada", number)
        begun = time.monotonic()
        stream.next("change")
        took.append(time.monotonic() - begun)
    stream.close()

    assert statistics.median(took) < 0.15


def test_resume_when_changes_were_missed_then_they_come_before_the_beat(
    client: FlaskClient, open_stream: Callable[..., Opened]
) -> None:
    """Send what came after `Last-Event-ID`, then say that nothing is missing."""
    first = open_stream()
    put(client, "ada", 1)
    last = first.next("change").id
    first.close()
    put(client, "ada", 2)
    put(client, "bob", 1)

    resumed = open_stream(Last_Event_ID=str(last))

    found = [next(resumed.messages) for _ in range(3)]
    assert found == [
        Message("change", 3, {"user": "ada", "revision": 2}),
        Message("change", 4, {"user": "bob", "revision": 1}),
        Message("beat", 4, {"seq": 4}),
    ]


@pytest.mark.parametrize("last", ["0", "1"])
def test_resume_when_nothing_was_missed_then_no_change_comes_twice(
    client: FlaskClient, open_stream: Callable[..., Opened], last: str
) -> None:
    """Begin after the id that is given; 0 is before the first change of all."""
    stream = open_stream(Last_Event_ID=last)

    expected = [("change", 1)] if last == "0" else []
    found = [next(stream.messages) for _ in range(len(expected) + 1)]
    assert [(each.event, each.id) for each in found] == [*expected, ("beat", 1)]


@pytest.mark.parametrize("last", ["0", "2", "77"])
def test_resume_when_changes_are_not_kept_then_a_reset_comes(
    app: Flask, shared_app: tuple[Flask, Any], open_stream: Callable[..., Opened], last: str
) -> None:
    """Say so where changes were dropped, and where the id is from another state of the data."""
    client = app.test_client()
    for number in range(1, 5):
        put(client, "ada", number)
    with closing(sqlite3.connect(shared_app[1])) as connection, connection:
        connection.execute("DELETE FROM changes WHERE seq < 4")

    stream = open_stream(Last_Event_ID=last)

    assert next(stream.messages) == Message("reset", 5, {"seq": 5})
    assert next(stream.messages) == Message("beat", 5, {"seq": 5})


def test_resume_when_too_much_was_missed_then_a_reset_comes(
    client: FlaskClient, open_stream: Callable[..., Opened], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read a bounded number of changes for a subscriber, else let it begin anew."""
    for number in range(1, 8):
        put(client, "ada", number)
    monkeypatch.setattr(changes, "LONGEST_PIECE", 5)

    assert next(open_stream(Last_Event_ID="1").messages).event == "reset"
    assert [next(open_stream(Last_Event_ID="6").messages).id] == [7]


def test_open_stream_when_its_place_is_cut_off_then_it_ends_and_hears_of_it(
    app: Flask, shared_app: tuple[Flask, Any], open_stream: Callable[..., Opened]
) -> None:
    """Never go on after changes that may be missing, as after a restored database."""
    client = app.test_client()
    stream = open_stream()
    put(client, "ada", 1)
    assert stream.next("change").id == 2
    with closing(sqlite3.connect(shared_app[1])) as connection, connection:
        connection.execute("DELETE FROM changes WHERE seq >= 2")

    assert [each.event for each in stream.messages if each.event != "beat"] == []
    assert next(open_stream(Last_Event_ID="2").messages) == Message("reset", 1, {"seq": 1})


def test_log_when_it_is_cut_off_then_a_newcomer_is_still_served(
    app: Flask,
    client: FlaskClient,
    open_stream: Callable[..., Opened],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """End only streams that may have missed something, not one that has just been opened."""
    old = open_stream()
    next(old.messages)
    looks = changes.after
    newcomers: list[Opened] = []
    opening = threading.Thread(target=lambda: newcomers.append(open_stream()))

    def cut_off_once(connection: Any, seq: int) -> Any:
        monkeypatch.setattr(changes, "after", looks)
        opening.start()
        until(lambda: hub_of(app).count == 2)

    monkeypatch.setattr(changes, "after", cut_off_once)

    assert [each.event for each in old.messages if each.event != "beat"] == []
    opening.join(10)
    assert newcomers[0].answer.status_code == 200
    assert next(newcomers[0].messages).event == "beat"


@pytest.mark.parametrize("last", ["", "x", "-1", "1.5", "9" * 19])
def test_resume_with_a_malformed_id_then_422(client: FlaskClient, last: str) -> None:
    """Refuse what is no id of ours."""
    answer = client.get("/events", headers={"Last-Event-ID": last})

    assert answer.status_code == 422
    assert answer.json is not None
    assert list(answer.json["errors"]) == ["Last-Event-ID"]


def test_head_then_no_stream_is_opened(app: Flask, client: FlaskClient) -> None:
    """Answer HEAD with the headers alone."""
    answer = client.head("/events")

    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/event-stream"
    assert hub_of(app).count == 0


def test_streams_when_there_are_too_many_then_503_until_one_leaves(
    app: Flask, client: FlaskClient, open_stream: Callable[..., Opened]
) -> None:
    """Keep threads for other calls: refuse the 33rd stream, take it once a place is free."""
    opened = [open_stream() for _ in range(32)]

    refused = client.get("/events")
    opened[0].close()
    taken = open_stream()

    assert refused.status_code == 503
    assert refused.headers["Retry-After"] == "10"
    assert refused.content_type == "application/problem+json"
    assert taken.answer.status_code == 200
    assert client.get("/favorites").status_code == 200


def test_thread_when_the_last_subscriber_leaves_then_it_ends(
    app: Flask, open_stream: Callable[..., Opened]
) -> None:
    """Cost nothing without subscribers, and begin again with the next."""

    def threads() -> int:
        return sum(thread.name == "events" for thread in threading.enumerate())

    for _ in range(2):
        streams = [open_stream() for _ in range(3)]
        assert threads() == 1
        for stream in streams:
            stream.close()
        until(lambda: threads() == 0)
        assert hub_of(app).count == 0


def test_stream_when_its_time_is_over_then_it_ends(database_url: str) -> None:
    """End a stream after its lifetime, give or take a tenth."""
    store = Store(database_url, busy_timeout_s=1, stream_lifetime_s=0.4)
    begun = time.monotonic()

    found = list(messages(store.subscribe(None, None)))

    assert 0.3 < time.monotonic() - begun < 3
    assert {each.event for each in found} == {"beat"}
    store.close()


def test_stream_when_the_service_stops_then_it_ends_after_its_messages(database_url: str) -> None:
    """End every stream when the server shuts down, and refuse new ones with 503."""
    store = Store(database_url, busy_timeout_s=1)
    stream = store.subscribe(None, None)
    ended = threading.Event()

    def read() -> None:
        list(stream)
        stream.close()
        ended.set()

    threading.Thread(target=read).start()
    store.hub.stopping = lambda: True

    assert ended.wait(2)
    with pytest.raises(events.DatabaseBusy):
        store.subscribe(None, None)
    store.close()


def test_stream_when_the_database_goes_away_then_it_ends_and_a_later_one_resumes(
    client: FlaskClient,
    open_stream: Callable[..., Opened],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """End the streams, answer 503 meanwhile, and miss nothing afterwards."""
    stream = open_stream()
    next(stream.messages)

    def away(*_: Any) -> None:
        raise OperationalError("SELECT", {}, Exception("gone"))

    with monkeypatch.context() as patch:
        patch.setattr(changes, "after", away)
        rest = [each for each in stream.messages if each.event != "beat"]
        refused = client.get("/events")
    put(client, "ada", 1)

    assert rest == []
    assert refused.status_code == 503
    assert refused.headers["Retry-After"] == "1"
    assert "events.database_unavailable error=OperationalError" in caplog.text
    assert open_stream(Last_Event_ID="1").next("change").data == {"user": "ada", "revision": 1}


def test_stream_when_a_bug_ends_the_thread_then_it_ends(
    open_stream: Callable[..., Opened],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Never leave a subscriber with a stream that nobody serves."""
    stream = open_stream()
    next(stream.messages)

    def broken(*_: Any) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(changes, "after", broken)
        assert [each for each in stream.messages if each.event != "beat"] == []

    assert "events.failed" in caplog.text


def test_subscriber_when_it_takes_nothing_then_it_is_cut_off(
    app: Flask,
    client: FlaskClient,
    open_stream: Callable[..., Opened],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Bound what waits for a slow subscriber in time; others are not held up by it."""
    monkeypatch.setattr(events, "LONGEST_BACKLOG_S", 0.1)
    slow, other = open_stream(), open_stream()
    reader = threading.Thread(target=lambda: changes_until(other.messages, 2))
    reader.start()

    until(lambda: hub_of(app).count == 1)
    put(client, "ada", 1)
    reader.join(5)

    assert not reader.is_alive()
    # The test client has taken the first one.
    assert [each.event for each in slow.messages] == ["beat"]
    assert "events.subscriber_too_slow" in caplog.text


def test_subscriber_when_too_much_waits_then_it_is_cut_off(
    app: Flask,
    client: FlaskClient,
    open_stream: Callable[..., Opened],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Bound what waits for a slow subscriber in size."""
    slow = open_stream()
    monkeypatch.setattr(events, "LARGEST_BACKLOG", 200)

    for number in range(1, 6):
        put(client, "ada", number)
    until(lambda: hub_of(app).count == 0, within_s=2)

    assert [each.event for each in slow.messages] == ["beat"]


def test_subscriber_when_its_thread_is_stuck_in_sending_then_the_cut_frees_it(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shut the connection of a subscriber that reads nothing: the server's thread comes back."""
    monkeypatch.setattr(events, "LONGEST_BACKLOG_S", 0.2)
    store = Store(database_url, busy_timeout_s=1)
    ours, theirs = socket.socketpair()
    came_back = threading.Event()

    def serve() -> None:
        stream = store.subscribe(None, ours)
        try:
            for piece in stream:
                ours.sendall(piece * 100_000)
        except OSError:
            came_back.set()
        stream.close()

    with ours, theirs:
        thread = threading.Thread(target=serve)
        thread.start()
        assert came_back.wait(5)
        thread.join(5)
    assert store.hub.count == 0
    store.close()


def test_write_that_fails_then_no_change_is_logged(make_app: MakeApp, database_url: str) -> None:
    """Commit the change of a library and its number together, or neither."""
    client = make_app().test_client()
    path = database_url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "CREATE TRIGGER broken BEFORE INSERT ON changes WHEN NEW.user_id = 'ada'"
            " BEGIN SELECT RAISE(ABORT, 'broken'); END"
        )
        failed = client.put("/favorites/1", json={}, headers={"X-User-Id": "ada"})
        count = connection.execute("SELECT count(*) FROM favorites WHERE user_id = 'ada'")

        assert failed.status_code == 500
        assert count.fetchone() == (0,)
    stream = Opened(client, Last_Event_ID="1")
    put(client, "bob", 1)
    assert stream.next("change").data == {"user": "bob", "revision": 1}
    stream.close()


class TestLog:
    """The log of changes by itself."""

    NOW = dt.datetime(2026, 11, 24, 12, tzinfo=dt.UTC)

    @pytest.fixture
    def store(self, database_url: str) -> Iterator[Store]:
        """A store whose log is empty."""
        store = Store(database_url, busy_timeout_s=1)
        store.try_prepare()
        self.run(store, lambda connection: connection.exec_driver_sql("DELETE FROM changes"))
        yield store
        store.close()

    def run(self, store: Store, step: Callable[[Any], Any]) -> Any:
        """Run a step in a transaction."""
        with store._database.writing() as session:
            return step(session.connection())

    def log(self, store: Store, ages: list[dt.timedelta]) -> None:
        """Fill the log with one change per age, in this order."""

        rows = [
            {"user_id": "ada", "revision": revision, "at": self.NOW - age}
            for revision, age in enumerate(ages, 1)
        ]
        self.run(store, lambda connection: connection.execute(changes._INSERT, rows))

    def pruned(self, store: Store) -> list[int]:
        """Prune and return the revisions that are left."""

        def step(connection: Any) -> list[int]:
            changes.prune(connection, self.NOW)
            rows = connection.exec_driver_sql("SELECT revision FROM changes ORDER BY seq")
            return [row[0] for row in rows]

        found: list[int] = self.run(store, step)
        return found

    def test_prune_when_changes_are_old_then_the_last_thousand_stay(self, store: Store) -> None:
        """Keep 1,000 however old they are."""
        self.log(store, [dt.timedelta(days=1)] * 1010)

        assert self.pruned(store) == list(range(11, 1011))

    def test_prune_when_changes_are_young_then_all_stay(self, store: Store) -> None:
        """Keep an hour's changes however many they are."""
        self.log(store, [dt.timedelta(hours=2)] * 3 + [dt.timedelta(minutes=59)] * 1100)

        assert self.pruned(store) == list(range(4, 1104))

    def test_prune_when_clocks_differ_then_no_hole_is_made(self, store: Store) -> None:
        """Drop from the old end only: what a slow clock has dated stays behind a younger one."""
        old, young = dt.timedelta(hours=2), dt.timedelta(minutes=1)
        self.log(store, [old, young, old, *[young] * 1000])

        assert self.pruned(store) == list(range(2, 1004))

    def test_prune_when_there_is_much_then_a_bounded_part_goes(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Take a bounded time; the rest goes the next time."""
        monkeypatch.setattr(changes, "KEEP_ROWS", 10)
        self.log(store, [dt.timedelta(days=1)] * (changes.PRUNE_ROWS + 20))

        assert len(self.pruned(store)) == 20
        assert len(self.pruned(store)) == 10

    def test_after_when_numbers_are_missing_then_the_rest_is_complete(self, store: Store) -> None:
        """Take a number that a rollback has used up for no loss."""
        self.log(store, [dt.timedelta()] * 5)
        first = self.run(store, changes.last) - 4

        def step(connection: Any) -> Any:
            connection.exec_driver_sql("DELETE FROM changes WHERE seq = ?", (first + 2,))
            return changes.after(connection, first + 1)

        assert [each.revision for each in self.run(store, step)] == [4, 5]

    def test_writes_then_the_log_is_pruned_now_and_then(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Keep the log bounded whether anybody listens or not."""
        monkeypatch.setattr("user_stub.store.PRUNE_AFTER", 5)
        monkeypatch.setattr(changes, "KEEP_ROWS", 2)
        monkeypatch.setattr(changes, "KEEP_FOR", dt.timedelta(0))

        for number in range(1, 11):
            store.write("ada", None, lambda lists, number=number: _put(lists, number))

        count = "SELECT count(*) FROM changes"
        assert self.run(store, lambda each: each.exec_driver_sql(count).scalar()) == 2


def _put(lists: Any, movie_id: int) -> Any:
    from user_stub.models import Favorite
    from user_stub.store import Outcome

    lists.put(Favorite, movie_id, {})
    return Outcome(200, {})


class TestFaults:
    """Injected faults on open streams."""

    @pytest.fixture(autouse=True)
    def _end_faults(self, client: FlaskClient) -> Iterator[None]:
        yield
        client.delete("/__faults")

    @pytest.mark.parametrize(
        "fault", [{"reset": True}, {"garbage": True}, {"truncate": True}, {"status": 503}]
    )
    def test_open_stream_when_it_fails_then_it_is_cut(
        self, app: Flask, client: FlaskClient, open_stream: Callable[..., Opened], fault: Any
    ) -> None:
        """Break an open stream off, once where the fault says so."""
        stream = open_stream()
        next(stream.messages)
        client.put("/__faults", json={"match": "/events", "times": 1, **fault})

        with pytest.raises(ConnectionResetError):
            list(stream.messages)
        stream.close()
        assert hub_of(app).count == 0
        assert next(open_stream().messages).event == "beat"

    def test_open_stream_when_its_fault_never_strikes_then_it_goes_on(
        self, client: FlaskClient, open_stream: Callable[..., Opened]
    ) -> None:
        """Leave streams alone where their fault has a rate of 0."""
        stream = open_stream()
        client.put("/__faults", json={"match": "/events", "error_rate": 0, "reset": True})
        assert next(stream.messages).event == "beat"
        assert next(stream.messages).event == "beat"

    @pytest.mark.parametrize("match", ["", "/", "/favorites"])
    def test_open_stream_when_others_fail_then_it_ends_and_can_be_opened_again(
        self, app: Flask, client: FlaskClient, open_stream: Callable[..., Opened], match: str
    ) -> None:
        """End the stream, so that who answers from memory has to ask and meets the fault."""
        stream = open_stream()
        next(stream.messages)
        client.put("/__faults", json={"match": match, "error_rate": 0, "reset": True})

        list(stream.messages)
        stream.close()
        assert hub_of(app).count == 0
        assert next(open_stream().messages).event == "beat"

    def test_open_stream_when_it_is_slow_then_its_messages_are_late_but_new(
        self, client: FlaskClient, open_stream: Callable[..., Opened]
    ) -> None:
        """Delay messages without sending what was true before the delay."""
        stream = open_stream()
        next(stream.messages)
        client.put("/__faults", json={"match": "/events", "latency_ms": 300, "times": 1})
        begun = time.monotonic()
        put(client, "ada", 1)

        assert changes_until(stream.messages, 2)[0].data == {"user": "ada", "revision": 1}
        assert time.monotonic() - begun > 0.25

    def test_open_stream_when_it_hangs_then_it_is_silent_and_cut(
        self,
        app: Flask,
        client: FlaskClient,
        open_stream: Callable[..., Opened],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Hold a stream without a message until what waits is too old."""
        stream = open_stream()
        next(stream.messages)
        monkeypatch.setattr(events, "LONGEST_BACKLOG_S", 0.3)
        client.put("/__faults", json={"match": "/events", "hang": True})

        assert list(stream.messages) == []
        assert hub_of(app).count == 0

    def test_open_stream_when_the_hang_ends_then_it_goes_on(
        self, client: FlaskClient, open_stream: Callable[..., Opened]
    ) -> None:
        """Go on where the fault ends in time."""
        stream = open_stream()
        next(stream.messages)
        client.put("/__faults", json={"match": "/events", "hang": True})
        threading.Timer(0.2, client.delete, ["/__faults"]).start()

        assert next(stream.messages).event == "beat"
