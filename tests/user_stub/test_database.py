"""The database under parallel writers, locked, missing and new."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from flask import Flask

from tests.user_stub.locked import locked
from user_stub.store import Store

MakeApp = Callable[..., Flask]


def in_parallel(count: int, call: Callable[[int], int]) -> list[int]:
    """Run `call` side by side, started together; return the sorted results."""
    together = threading.Barrier(count)
    results: list[int] = []

    def run(number: int) -> None:
        together.wait()
        results.append(call(number))

    threads = [threading.Thread(target=run, args=[number]) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return sorted(results)


def test_fifty_parallel_posts_make_one_row(app: Flask) -> None:
    """Add a film once: 1 times 201, 49 times 409, one row, one revision."""
    before = int(app.test_client().get("/favorites").headers["X-Library-Revision"])

    statuses = in_parallel(
        50,
        lambda _: app.test_client().post("/favorites", json={"movie_id": 7}).status_code,
    )

    assert statuses == [201] + [409] * 49
    after = app.test_client().get("/favorites")
    assert after.json is not None
    assert after.json["total"] == 4
    assert int(after.headers["X-Library-Revision"]) == before + 1


def test_fifty_parallel_puts_make_one_row(app: Flask) -> None:
    """Add a film once by PUT: 1 times 201, 49 times 200."""
    statuses = in_parallel(
        50,
        lambda number: (
            app.test_client().put("/favorites/7", json={"rating": number % 5 + 1}).status_code
        ),
    )

    assert statuses == [200] * 49 + [201]


def test_parallel_deletes_remove_once(app: Flask) -> None:
    """Remove a film once: 1 times 200, else 404."""
    statuses = in_parallel(20, lambda _: app.test_client().delete("/favorites/550").status_code)

    assert statuses == [200] + [404] * 19


def test_two_apps_on_one_file_keep_the_constraint(make_app: MakeApp) -> None:
    """Hold the same with two processes' worth of connections."""
    apps = [make_app(), make_app()]

    statuses = in_parallel(
        30,
        lambda number: (
            apps[number % 2].test_client().post("/watchlist", json={"movie_id": 7}).status_code
        ),
    )

    assert statuses == [201] + [409] * 29


def test_read_during_writes_is_one_snapshot(app: Flask) -> None:
    """Read lists and revision of one moment: as many films as the revision says."""
    user = {"X-User-Id": "ada"}
    done = threading.Event()
    seen: list[tuple[int, int]] = []

    def read() -> None:
        client = app.test_client()
        while not done.is_set():
            document = client.get("/library", headers=user).json
            assert document is not None
            seen.append(
                (len(document["favorites"]) + len(document["watchlist"]), document["revision"])
            )

    reader = threading.Thread(target=read)
    reader.start()
    client = app.test_client()
    for movie_id in range(1, 31):
        client.post("/favorites", json={"movie_id": movie_id}, headers=user)
        client.post("/watchlist", json={"movie_id": movie_id}, headers=user)
    done.set()
    reader.join(10)

    assert all(films == revision for films, revision in seen)
    assert seen == sorted(seen)


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "/favorites/550"), ("DELETE", "/clear"), ("POST", "/reset")]
)
def test_write_to_a_locked_database_is_503_with_retry_after(
    make_app: MakeApp, database_url: str, method: str, path: str
) -> None:
    """Give up on a locked database with 503; reads and health go on, and writes afterwards."""
    client = make_app(busy_timeout_s=0.05).test_client()

    with locked(database_url):
        answer = client.open(path, method=method, json={} if method == "PUT" else None)
        read = client.get("/favorites").status_code
        health = client.get("/health").status_code

    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "1"
    assert answer.content_type == "application/problem+json"
    assert "sqlite" not in answer.text.lower()
    assert (read, health) == (200, 200)
    assert client.put("/favorites/550", json={}).status_code == 200


def test_database_that_is_away_is_503_and_recovers(make_app: MakeApp, tmp_path: Path) -> None:
    """Start without a database, answer 503, and serve as soon as it is there."""
    folder = tmp_path / "later"
    folder.mkdir()
    blocker = folder / "users.sqlite"
    blocker.mkdir()
    client = make_app(database_url=f"sqlite:///{blocker}", busy_timeout_s=0.05).test_client()

    away = [client.get(path) for path in ("/favorites", "/health")]
    blocker.rmdir()
    back = [client.get(path) for path in ("/favorites", "/health")]

    assert [answer.status_code for answer in away] == [503, 503]
    assert [answer.status_code for answer in back] == [200, 200]
    for answer in away:
        assert answer.headers["Retry-After"] == "1"
        assert str(folder) not in answer.text


def test_file_that_is_no_database_is_503(make_app: MakeApp, tmp_path: Path) -> None:
    """Answer 503 where the file holds something else, and leave it alone."""
    path = tmp_path / "users.sqlite"
    path.write_bytes(b"not a database, but somebody's text" * 100)
    client = make_app(busy_timeout_s=0.05).test_client()

    assert client.get("/favorites").status_code == 503
    assert path.read_bytes().startswith(b"not a database")


def test_second_start_keeps_the_data(make_app: MakeApp) -> None:
    """Add no sample to a database that has been used, not even to a cleared one."""
    make_app().test_client().delete("/clear")

    answer = make_app().test_client().get("/favorites")

    assert answer.json == {"favorites": [], "total": 0}


def test_workers_that_start_together_make_one_schema_and_sample(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Create tables and sample once where several workers meet on a new file."""
    stores = [Store(database_url, busy_timeout_s=5) for _ in range(6)]

    def prepare(number: int) -> int:
        stores[number].try_prepare()
        return 0

    in_parallel(6, prepare)
    _, revision = stores[0].read("demo-user-123", lambda lists: None)
    for store in stores:
        store.close()

    assert revision == 1
    assert caplog.records == []


def test_file_is_in_wal_mode_in_a_folder_that_is_made(make_app: MakeApp, tmp_path: Path) -> None:
    """Make the folder of the database and set the mode in which readers and a writer meet."""
    path = tmp_path / "new" / "folder" / "users.sqlite"
    make_app(database_url=f"sqlite:///{path}")

    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_memory_database_is_refused() -> None:
    """Refuse a database that the threads could not share."""
    with pytest.raises(ValueError, match="database file"):
        Store("sqlite:///:memory:", busy_timeout_s=1)


def test_statement_that_is_wrong_is_500_without_the_user_in_the_log(
    make_app: MakeApp, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Tell a constraint that our own statement broke (500) from a database that is away (503)."""
    client = make_app().test_client()
    path = database_url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "CREATE TRIGGER broken BEFORE INSERT ON watchlist"
            " BEGIN SELECT RAISE(ABORT, 'broken'); END"
        )

    answer = client.post("/watchlist", json={"movie_id": 1}, headers={"X-User-Id": "ada-lovelace"})

    assert answer.status_code == 500
    assert "broken" not in answer.text
    assert "IntegrityError" in caplog.text
    assert "ada-lovelace" not in caplog.text
    assert client.get("/library", headers={"X-User-Id": "ada-lovelace"}).json == {
        "favorites": [],
        "watchlist": [],
        "history": [],
        "revision": 0,
    }
