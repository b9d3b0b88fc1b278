"""The database: where it lies, when it is away, and how writers and readers meet."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.user_stub.conftest import MakeApp, assert_problem, in_parallel, revision
from tests.user_stub.postgresql import Server
from tests.user_stub.stream import messages
from user_stub.database import Database


def test_file_when_its_folder_is_missing_then_it_is_made(make_app: MakeApp, tmp_path: Path) -> None:
    """Make the folder of the database, and set the mode in which readers and a writer meet."""
    path = tmp_path / "new" / "folder" / "users.sqlite"
    make_app(database_url=f"sqlite:///{path}")

    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_address_when_it_is_of_memory_then_it_is_refused() -> None:
    """Refuse a database that the threads could not share."""
    with pytest.raises(ValueError, match="database file"):
        Database("sqlite:///:memory:", busy_timeout_s=1)


def test_database_when_away_then_503(make_app: MakeApp, tmp_path: Path) -> None:
    """Start without a database, answer 503, and serve as soon as it is there."""
    blocker = tmp_path / "later"
    blocker.mkdir()
    client = make_app(database_url=f"sqlite:///{blocker}", busy_timeout_s=0.05).test_client()

    for path in ("/favorites", "/events", "/health"):
        answer = client.get(path)
        assert_problem(answer, 503)
        assert answer.headers["Retry-After"] == "1"
        assert str(tmp_path) not in answer.text
    blocker.rmdir()
    assert [client.get(path).status_code for path in ("/favorites", "/health")] == [200, 200]


def test_file_when_no_database_then_503(make_app: MakeApp, tmp_path: Path) -> None:
    """Answer 503 where the file holds something else, and leave it alone."""
    path = tmp_path / "users.sqlite"
    path.write_bytes(b"not a database, but somebody's text" * 100)

    assert make_app(busy_timeout_s=0.05).test_client().get("/favorites").status_code == 503
    assert path.read_bytes().startswith(b"not a database")


def test_writes_when_parallel_then_one_acts(make_app: MakeApp, any_database_url: str) -> None:
    """Add a film once and remove it once, over two apps: one row, one revision each."""
    clients = [make_app(database_url=any_database_url).test_client() for _ in range(2)]
    before = revision(clients[0].get("/favorites"))
    film = {"movie_id": 7}

    posts = in_parallel(40, lambda number: clients[number % 2].post("/favorites", json=film))
    added: Any = clients[1].get("/favorites").json
    deletes = in_parallel(20, lambda number: clients[number % 2].delete("/favorites/7"))
    puts = in_parallel(20, lambda number: clients[number % 2].put("/favorites/7", json={}))

    assert sorted(answer.status_code for answer in posts) == [201] + [409] * 39
    assert added["total"] == 4
    assert sorted(answer.status_code for answer in deletes) == [200] + [404] * 19
    assert sorted(answer.status_code for answer in puts) == [200] * 19 + [201]
    assert revision(clients[1].get("/favorites")) == before + 3


def test_read_when_others_write_then_one_snapshot(make_app: MakeApp, any_database_url: str) -> None:
    """Read lists and revision of one moment: as many films as the revision says."""
    app = make_app(database_url=any_database_url)
    user = {"X-User-Id": "ada"}
    done = threading.Event()
    seen: list[tuple[int, int]] = []

    def read() -> None:
        client = app.test_client()
        while not done.is_set():
            library: Any = client.get("/library", headers=user).json
            films = len(library["favorites"]) + len(library["watchlist"])
            seen.append((films, library["revision"]))

    reader = threading.Thread(target=read)
    reader.start()
    client = app.test_client()
    for movie_id in range(1, 21):
        client.post("/favorites", json={"movie_id": movie_id}, headers=user)
        client.post("/watchlist", json={"movie_id": movie_id}, headers=user)
    done.set()
    reader.join()

    assert all(films == revision for films, revision in seen)
    assert seen == sorted(seen)


@pytest.mark.e2e
def test_postgresql_when_locked_then_503(make_app: MakeApp, postgresql_url: str) -> None:
    """Give up after the lock timeout, change nothing, and serve afterwards."""
    client = make_app(database_url=postgresql_url, busy_timeout_s=0.2).test_client()
    with closing(psycopg.connect(postgresql_url.replace("+psycopg", ""))) as other:
        other.execute("SELECT * FROM libraries FOR UPDATE")
        answer = client.delete("/clear")
        read: Any = client.get("/favorites").json

    assert_problem(answer, 503)
    assert read["total"] == 3
    assert client.delete("/clear").status_code == 200


@pytest.mark.e2e
def test_postgresql_when_it_goes_and_comes_back_then_503_and_nothing_is_missed(
    make_app: MakeApp, postgresql: Server, postgresql_url: str
) -> None:
    """End streams, answer 503 while the server is away, and recover without a restart."""
    client = make_app(database_url=postgresql_url).test_client()
    client.post("/favorites", json={"movie_id": 1})
    stream = client.get("/events", buffered=False)

    postgresql.stop()
    rest = list(messages(stream.iter_encoded()))
    away = [client.get(path) for path in ("/favorites", "/events", "/health")]
    postgresql.start()
    back: Any = client.get("/favorites").json
    resumed = client.get("/events", headers={"Last-Event-ID": "1"}, buffered=False)
    first = next(messages(resumed.iter_encoded()))
    resumed.close()

    assert {message.event for message in rest} <= {"beat"}
    for answer in away:
        assert_problem(answer, 503)
        assert "127.0.0.1" not in answer.text
    assert back["total"] == 4
    assert (first.event, first.id) == ("change", 2)


@pytest.mark.e2e
def test_postgresql_when_it_is_in_another_time_zone_then_times_are_utc(
    make_app: MakeApp, postgresql: Server, postgresql_url: str
) -> None:
    """Answer times in UTC wherever the server believes to be."""
    name = postgresql_url.rpartition("/")[2]
    with closing(psycopg.connect(postgresql.address(name), autocommit=True)) as connection:
        connection.execute(f"ALTER DATABASE {name} SET timezone TO 'Asia/Tokyo'")
    client = make_app(database_url=postgresql_url).test_client()
    saved: Any = client.put("/history/1", json={"progress": 1}).json

    assert saved["history_item"] == client.get("/history/1").json
