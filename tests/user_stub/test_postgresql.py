"""The same service over PostgreSQL, which the test starts by itself."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Iterator
from contextlib import closing

import psycopg
import pytest
from flask import Flask

from tests.user_stub.postgresql import Server
from tests.user_stub.stream import Message, changes_until, messages
from user_stub import changes
from user_stub.database import Database
from user_stub.store import Store

pytestmark = pytest.mark.e2e
MakeApp = Callable[..., Flask]


@pytest.fixture
def database_url(postgresql_url: str) -> str:
    """The address of a new database."""
    return postgresql_url


def in_parallel(count: int, call: Callable[[int], object]) -> list[object]:
    """Run `call` side by side, started together; return the results."""
    together = threading.Barrier(count)
    results: list[object] = []

    def run(number: int) -> None:
        together.wait()
        results.append(call(number))

    threads = [threading.Thread(target=run, args=[number]) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return results


def test_lists_on_postgresql_answer_as_on_sqlite(make_app: MakeApp) -> None:
    """Add, change, read, remove, reset and clear with the same answers."""
    client = make_app().test_client()
    film = {"movie_id": 1, "title": "Amélie 🎬", "release_date": "2001-04-25", "genres": []}

    sample = client.get("/favorites").json
    added = client.post("/favorites", json=film)
    changed = client.put("/favorites/1", json={"rating": 4})
    watched = client.put("/history/1", json={"progress": 0.96})
    removed = client.delete("/favorites/1")
    missing = client.delete("/favorites/1")
    reset = client.post("/reset")
    cleared = client.delete("/clear")

    assert sample is not None
    assert [item["movie_id"] for item in sample["favorites"]] == [550, 155, 13]
    assert added.json is not None
    assert changed.json is not None
    assert changed.json["favorite"] == {**added.json["favorite"], "rating": 4}
    assert removed.json == {"message": "removed", "removed": changed.json["favorite"]}
    assert watched.json is not None
    assert watched.json["history_item"]["watched_date"].endswith("Z")
    answers = [added, changed, watched, removed, missing, reset, cleared]
    assert [answer.status_code for answer in answers] == [201, 200, 201, 200, 404, 200, 200]
    revisions = [int(answer.headers["X-Library-Revision"]) for answer in answers]
    assert revisions == [2, 3, 4, 5, 5, 6, 7]


def test_fifty_parallel_posts_over_two_apps_make_one_row(make_app: MakeApp) -> None:
    """Add a film once: 1 times 201, 49 times 409."""
    apps = [make_app(), make_app()]

    statuses = in_parallel(
        50,
        lambda number: (
            apps[number % 2].test_client().post("/favorites", json={"movie_id": 7}).status_code
        ),
    )

    assert sorted(map(str, statuses)) == ["201"] + ["409"] * 49
    answer = apps[0].test_client().get("/favorites")
    assert answer.json is not None
    assert answer.json["total"] == 4
    assert answer.headers["X-Library-Revision"] == "2"


def test_parallel_requests_with_one_key_over_two_apps_act_once(make_app: MakeApp) -> None:
    """Act once; the others get the answer replayed or hear that the first is in flight."""
    apps = [make_app(), make_app()]

    def put(number: int) -> tuple[int, str]:
        answer = (
            apps[number % 2]
            .test_client()
            .put("/history/1", json={"progress": 0.5}, headers={"Idempotency-Key": "k"})
        )
        return answer.status_code, answer.headers.get("Idempotency-Replayed", "")

    answers = in_parallel(20, put)

    assert answers.count((201, "")) == 1
    assert set(answers) <= {(201, ""), (201, "true"), (409, "")}
    assert apps[0].test_client().get("/history").headers["X-Library-Revision"] == "2"


def test_read_during_writes_is_one_snapshot(make_app: MakeApp) -> None:
    """Read lists and revision of one moment."""
    app = make_app()
    user = {"X-User-Id": "ada"}
    done = threading.Event()
    seen: list[tuple[int, int]] = []

    def read() -> None:
        client = app.test_client()
        while not done.is_set():
            document = client.get("/library", headers=user).json
            assert document is not None
            seen.append((len(document["favorites"]), document["revision"]))

    reader = threading.Thread(target=read)
    reader.start()
    client = app.test_client()
    for movie_id in range(1, 41):
        client.post("/favorites", json={"movie_id": movie_id}, headers=user)
    done.set()
    reader.join(10)

    assert all(films == revision for films, revision in seen)


def test_workers_that_start_together_make_one_schema_and_sample(database_url: str) -> None:
    """Create tables and sample once where several workers meet on a new database."""
    stores = [Store(database_url, busy_timeout_s=5) for _ in range(6)]
    in_parallel(6, lambda number: stores[number].try_prepare())
    revisions = [store.read("demo-user-123", lambda lists: None)[1] for store in stores]
    for store in stores:
        store.close()

    assert revisions == [1] * 6


def test_write_behind_a_long_transaction_is_503(make_app: MakeApp, database_url: str) -> None:
    """Give up after the lock timeout, change nothing, and serve afterwards."""
    client = make_app(busy_timeout_s=0.2).test_client()
    address = database_url.replace("+psycopg", "")
    with closing(psycopg.connect(address)) as other:
        other.execute("SELECT * FROM libraries FOR UPDATE")
        answer = client.delete("/clear")
        read = client.get("/favorites").json

    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "1"
    assert read is not None
    assert read["total"] == 3
    assert client.delete("/clear").status_code == 200


def test_database_that_goes_and_comes_back_is_503_then_200(
    make_app: MakeApp, postgresql: Server
) -> None:
    """Answer 503 while the server is away and recover without a restart, with all data."""
    client = make_app().test_client()
    client.post("/favorites", json={"movie_id": 1})

    postgresql.stop()
    away = [client.get(path) for path in ("/favorites", "/health")]
    postgresql.start()
    back = client.get("/favorites")

    assert [answer.status_code for answer in away] == [503, 503]
    assert "127.0.0.1" not in away[0].text
    assert back.json is not None
    assert back.json["total"] == 4


def open_stream(app: Flask, last: int) -> Iterator[Message]:
    """Return the messages after a change; the stream ends with the app."""
    headers = {"Last-Event-ID": str(last)}
    answer = app.test_client().get("/events", headers=headers, buffered=False)
    assert answer.status_code == 200
    return messages(answer.iter_encoded())


def test_stream_when_two_apps_write_then_every_revision_comes_once_in_order(
    make_app: MakeApp,
) -> None:
    """Number the changes in the order of their commits, over all processes."""
    apps = [make_app(), make_app()]
    streams = [open_stream(app, 1) for app in apps]

    def write(number: int) -> None:
        client = apps[number % 2].test_client()
        user = {"X-User-Id": f"user-{number % 4}"}
        for movie_id in range(1, 16):
            answer = client.put(f"/favorites/{number * 100 + movie_id}", json={}, headers=user)
            assert answer.status_code == 201

    in_parallel(8, write)
    seen = [changes_until(stream, 121) for stream in streams]

    assert seen[0] == seen[1]
    assert [each.id for each in seen[0]] == list(range(2, 122))
    for number in range(4):
        found = [each for each in seen[0] if each.data["user"] == f"user-{number}"]
        assert [each.data["revision"] for each in found] == list(range(1, 31))


def test_change_when_another_is_not_committed_yet_then_it_waits_for_its_number(
    make_app: MakeApp, database_url: str
) -> None:
    """Give no number while an earlier one is not visible, or a reader would pass it by."""
    app = make_app()
    stream = open_stream(app, 1)
    database = Database(database_url, 5)
    with database.writing() as session:
        now = dt.datetime.now(dt.UTC)
        changes.append(session.connection(), "slow", 1, now)
        writer = threading.Thread(
            target=app.test_client().put,
            args=["/favorites/1"],
            kwargs={"json": {}, "headers": {"X-User-Id": "fast"}},
        )
        writer.start()
        writer.join(0.3)
        assert writer.is_alive()
    writer.join(5)
    database.close()

    assert [each.data["user"] for each in changes_until(stream, 3)] == ["slow", "fast"]


def test_stream_when_the_server_goes_and_comes_back_then_it_ends_and_resumes(
    make_app: MakeApp, postgresql: Server
) -> None:
    """End the stream with the database, refuse new ones, and miss nothing afterwards."""
    app = make_app()
    client = app.test_client()
    stream = open_stream(app, 1)

    postgresql.stop()
    rest = [message.event for message in stream]
    refused = client.get("/events")
    postgresql.start()
    client.put("/favorites/1", json={})

    assert set(rest) == {"beat"}
    assert refused.status_code == 503
    assert changes_until(open_stream(app, 1), 2)[0].data["revision"] == 2


def test_lists_when_the_session_is_in_another_time_zone_then_times_are_utc(
    make_app: MakeApp, postgresql: Server, database_url: str
) -> None:
    """Answer times in UTC wherever the server believes to be."""
    name = database_url.rpartition("/")[2]
    with closing(psycopg.connect(postgresql.address(name), autocommit=True)) as connection:
        connection.execute(f"ALTER DATABASE {name} SET timezone TO 'Asia/Tokyo'")
    client = make_app().test_client()
    client.put("/history/1", json={"progress": 1})

    item = client.get("/history/1").json
    library = client.get("/library").json

    assert library is not None
    assert library["history"] == [item]
    assert item is not None
    assert item["updated_date"].endswith("Z")
