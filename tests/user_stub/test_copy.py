"""The copy from the SQLite file to PostgreSQL."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from tests.user_stub.conftest import ROOT
from user_stub import copy

MakeApp = Callable[..., Flask]
USERS = ["ada", "Zoe", "_x~", "demo-user-123"]


def fill(app: Flask) -> None:
    """Write a bit of everything, more than one piece of rows in one table."""
    client = app.test_client()
    film = {"title": "Amélie 🎬", "release_date": "2001-04-25", "genres": [{"id": 1, "name": "Ü"}]}
    for user in USERS:
        headers = {"X-User-Id": user}
        for movie_id in range(1, 6):
            client.put(f"/favorites/{movie_id}", json={**film, "rating": 3}, headers=headers)
            client.put(f"/watchlist/{movie_id}", json={}, headers=headers)
        client.put("/history/7", json={"progress": 0.1}, headers=headers)
        client.put("/history/8", json={"progress": 0.97}, headers=headers)
        client.post(
            "/favorites", json={"movie_id": 99}, headers={**headers, "Idempotency-Key": "k 1"}
        )
    client.delete("/favorites/99")


def libraries(app: Flask) -> list[Any]:
    """Return the libraries of all users."""
    client = app.test_client()
    return [client.get("/library", headers={"X-User-Id": user}).json for user in USERS]


@pytest.mark.e2e
def test_copy_then_the_service_goes_on_where_it_was(
    make_app: MakeApp, database_url: str, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Copy lists, revisions, keys and changes; new rows come after the old ones."""
    monkeypatch.setattr(copy, "ROWS_AT_ONCE", 7)
    old = make_app()
    fill(old)
    before = libraries(old)

    counts = copy.run(database_url, postgresql_url.replace("+psycopg", ""))
    new = make_app(database_url=postgresql_url)

    assert counts["libraries"] == 4
    assert counts["idempotency_records"] == 4
    assert counts["favorites"] == 26  # 5 and the key's for each, the sample, one removed
    assert libraries(new) == before
    client = new.test_client()
    again = client.post(
        "/favorites", json={"movie_id": 99}, headers={"X-User-Id": "ada", "Idempotency-Key": "k 1"}
    )
    assert again.headers["Idempotency-Replayed"] == "true"
    for path in ("/favorites/1000", "/watchlist/1000"):
        assert client.put(path, json={}).status_code == 201
    assert client.put("/history/1000", json={"progress": 0}).status_code == 201
    stream = client.get(
        "/events", headers={"Last-Event-ID": str(counts["changes"])}, buffered=False
    )
    first = next(stream.iter_encoded())
    stream.close()
    assert re.findall(rb"id: (\d+)\nevent: change", first) == [
        str(counts["changes"] + number).encode() for number in (1, 2, 3)
    ]


@pytest.mark.e2e
def test_copy_to_a_target_that_is_not_empty_is_refused(
    make_app: MakeApp, database_url: str, postgresql_url: str
) -> None:
    """Touch nothing where somebody's rows are, be it a second time."""
    fill(make_app())
    copy.run(database_url, postgresql_url)

    with pytest.raises(copy.CopyError, match="the target is not empty"):
        copy.run(database_url, postgresql_url)


@pytest.mark.e2e
def test_copy_of_an_older_file_makes_the_tables_that_it_lacks(
    make_app: MakeApp, database_url: str, postgresql_url: str
) -> None:
    """Copy a file from before there were versions and changes, and leave it as it is."""
    make_app()
    path = database_url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("DROP TABLE alembic_version; DROP TABLE changes")

    counts = copy.run(database_url, postgresql_url)

    assert counts["changes"] == 0
    assert counts["favorites"] == 3
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT name FROM sqlite_master WHERE name = 'changes'")
        assert found.fetchall() == []


@pytest.mark.e2e
def test_copy_that_differs_leaves_the_target_as_it_was(
    make_app: MakeApp, database_url: str, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Take everything back where the comparison fails."""
    make_app()
    rows = copy._rows

    def altered(connection: Any, table: Any) -> Any:
        for row in rows(connection, table):
            is_target = connection.dialect.name == "postgresql"
            yield {**row, "rating": 1} if is_target and table.name == "favorites" else row

    with monkeypatch.context() as patch:
        patch.setattr(copy, "_rows", altered)
        with pytest.raises(copy.CopyError, match="favorites: the rows of the target are not those"):
            copy.run(database_url, postgresql_url)

    assert copy.run(database_url, postgresql_url)["favorites"] == 3


@pytest.mark.e2e
def test_copy_command_says_what_it_did(
    make_app: MakeApp, database_url: str, postgresql_url: str
) -> None:
    """Run as documented: one line per table and exit code 0, then 1 with the reason."""
    make_app()
    command = [sys.executable, "-m", "user_stub.copy", "--from", database_url]
    command += ["--to", postgresql_url.replace("postgresql+psycopg", "postgres")]

    runs = [subprocess.run(command, cwd=ROOT, capture_output=True, text=True) for _ in range(2)]

    assert runs[0].returncode == 0, runs[0].stderr
    assert "favorites: 3 rows, compared\n" in runs[0].stdout
    assert runs[1].returncode == 1
    assert runs[1].stderr == "nothing was copied: the target is not empty: changes holds rows\n"


@pytest.mark.parametrize(
    ("source", "target", "reason"),
    [
        ("sqlite:///{file}", "mysql://h/d", "--to must be the address of a PostgreSQL database"),
        ("postgresql://h/d", "postgresql://h/d", "--from must be the address of an SQLite file"),
        ("sqlite:///{file}-none", "postgresql://h/d", "there is no file"),
        ("nonsense", "postgresql://h/d", "an address is not well-formed"),
        ("sqlite:///{file}", "postgresql://u:{word}@127.0.0.1:1/d", "OperationalError"),
    ],
)
def test_copy_command_with_wrong_addresses_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], source: str, target: str, reason: str
) -> None:
    """Refuse what cannot be copied with one line, without a password in it."""
    file = tmp_path / "users.sqlite"
    file.touch()

    code = copy.main(
        ["--from", source.format(file=file), "--to", target.format(word="hidden-word")]
    )

    told = capsys.readouterr().err
    assert code == 1
    assert told.startswith("nothing was copied: ")
    assert reason in told
    assert "hidden-word" not in told
