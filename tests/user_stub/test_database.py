"""The database: where it lies, when it is away, and how writers and readers meet."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from tests.user_stub.conftest import MakeApp, assert_problem, in_parallel, revision
from tests.user_stub.postgresql import Server
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


def test_database_when_it_is_away_then_503_until_it_is_back(
    make_app: MakeApp, tmp_path: Path
) -> None:
    """Start without a database, answer 503, and serve as soon as it is there."""
    blocker = tmp_path / "later"
    blocker.mkdir()
    client = make_app(database_url=f"sqlite:///{blocker}", busy_timeout_s=0.05).test_client()

    away = [client.get(path) for path in ("/favorites", "/events", "/health")]
    blocker.rmdir()
    back = [client.get(path) for path in ("/favorites", "/health")]

    for answer in away:
        assert_problem(answer, 503)
        assert answer.headers["Retry-After"] == "1"
        assert str(tmp_path) not in answer.text
    assert [answer.status_code for answer in back] == [200, 200]


def test_file_when_it_is_no_database_then_503_and_it_stays(
    make_app: MakeApp, tmp_path: Path
) -> None:
    """Answer 503 where the file holds something else, and leave it alone."""
    path = tmp_path / "users.sqlite"
    path.write_bytes(b"not a database, but somebody's text" * 100)
    client = make_app(busy_timeout_s=0.05).test_client()

    assert client.get("/favorites").status_code == 503
    assert path.read_bytes().startswith(b"not a database")


class TestParallel:
    """Many threads and two apps, on a database of each kind."""

    @pytest.fixture
    def database_url(self, any_database_url: str) -> str:
        """The address of a new database."""
        return any_database_url

    def test_posts_when_they_are_parallel_then_one_adds(self, make_app: MakeApp) -> None:
        """Add a film once: 1 times 201, 49 times 409, one row, one revision."""
        clients = [make_app().test_client(), make_app().test_client()]
        before = revision(clients[0].get("/favorites"))

        statuses = in_parallel(
            50, lambda number: clients[number % 2].post("/favorites", json={"movie_id": 7})
        )

        assert sorted(answer.status_code for answer in statuses) == [201] + [409] * 49
        after = clients[1].get("/favorites")
        assert after.json is not None
        assert after.json["total"] == 4
        assert revision(after) == before + 1

    def test_puts_and_deletes_when_they_are_parallel_then_one_adds_and_one_removes(
        self, make_app: MakeApp
    ) -> None:
        """Add a film once by PUT (1 times 201, else 200), and remove it once (else 404)."""
        app = make_app()

        def put(number: int) -> int:
            rating = {"rating": number % 5 + 1}
            return app.test_client().put("/favorites/7", json=rating).status_code

        puts = in_parallel(30, put)
        deletes = in_parallel(20, lambda _: app.test_client().delete("/favorites/7").status_code)

        assert sorted(puts) == [200] * 29 + [201]
        assert sorted(deletes) == [200] + [404] * 19

    def test_read_when_others_write_then_it_sees_one_snapshot(self, make_app: MakeApp) -> None:
        """Read lists and revision of one moment: as many films as the revision says."""
        app = make_app()
        user = {"X-User-Id": "ada"}
        done = threading.Event()
        seen: list[tuple[int, int]] = []

        def read() -> None:
            client = app.test_client()
            while not done.is_set():
                library = client.get("/library", headers=user).json
                assert library is not None
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
class TestPostgresql:
    """What only PostgreSQL does."""

    @pytest.fixture
    def database_url(self, postgresql_url: str) -> str:
        """The address of a new database."""
        return postgresql_url

    def test_write_when_a_transaction_holds_the_user_then_503(
        self, make_app: MakeApp, database_url: str
    ) -> None:
        """Give up after the lock timeout, change nothing, and serve afterwards."""
        client = make_app(busy_timeout_s=0.2).test_client()
        with closing(psycopg.connect(database_url.replace("+psycopg", ""))) as other:
            other.execute("SELECT * FROM libraries FOR UPDATE")
            answer = client.delete("/clear")
            read = client.get("/favorites").json

        assert_problem(answer, 503)
        assert read is not None
        assert read["total"] == 3
        assert client.delete("/clear").status_code == 200

    def test_server_when_it_goes_and_comes_back_then_503_and_200(
        self, make_app: MakeApp, postgresql: Server
    ) -> None:
        """Answer 503 while the server is away and recover without a restart, with all data."""
        client = make_app().test_client()
        client.post("/favorites", json={"movie_id": 1})

        postgresql.stop()
        away = [client.get(path) for path in ("/favorites", "/events", "/health")]
        postgresql.start()
        back = client.get("/favorites")

        for answer in away:
            assert_problem(answer, 503)
            assert "127.0.0.1" not in answer.text
        assert back.json is not None
        assert back.json["total"] == 4

    def test_times_when_the_server_is_elsewhere_then_they_are_utc(
        self, make_app: MakeApp, postgresql: Server, database_url: str
    ) -> None:
        """Answer times in UTC wherever the server believes to be."""
        name = database_url.rpartition("/")[2]
        with closing(psycopg.connect(postgresql.address(name), autocommit=True)) as connection:
            connection.execute(f"ALTER DATABASE {name} SET timezone TO 'Asia/Tokyo'")
        client = make_app().test_client()
        saved = client.put("/history/1", json={"progress": 1}).json

        read = client.get("/history/1").json

        assert saved is not None
        assert saved["history_item"] == read
