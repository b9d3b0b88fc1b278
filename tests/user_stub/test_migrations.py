"""The schema's versions, on SQLite and on PostgreSQL."""

from __future__ import annotations

import logging
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.config import main as alembic_command
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import Flask
from sqlalchemy import Connection

from tests.user_stub.conftest import ROOT
from user_stub import migrations
from user_stub.database import Database
from user_stub.models import Base, LibraryChange

MakeApp = Callable[..., Flask]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.e2e)])
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A new database of each kind."""
    name = "database_url" if request.param == "sqlite" else "postgresql_url"
    database = Database(request.getfixturevalue(name), 5)
    yield database
    database.close()


def differences(connection: Connection) -> list[Any]:
    """Return what autogenerate would put into a new version."""
    context = MigrationContext.configure(connection)
    found: list[Any] = compare_metadata(context, Base.metadata)
    return found


def schema(path: Path) -> list[Any]:
    """Return what SQLite knows of each column and index, but for the version's table."""
    with closing(sqlite3.connect(path)) as connection:
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master")]
        return [
            # Without its number: the order of the columns does not matter.
            (name, sorted(row[1:] for row in connection.execute(f"PRAGMA {pragma}({name})")))
            for name in sorted(tables)
            if "alembic" not in name
            for pragma in ("table_info", "index_list")
        ]


def test_head_then_it_is_the_last_script() -> None:
    """Let a start compare with a constant instead of loading Alembic."""
    config = Config()
    config.set_main_option("script_location", str(migrations.FOLDER))
    config.set_main_option("path_separator", "os")

    assert ScriptDirectory.from_config(config).get_current_head() == migrations.HEAD


def test_upgrade_of_a_new_database_then_it_equals_the_models(database: Database) -> None:
    """Leave autogenerate nothing to do."""
    with database.writing() as session:
        database.upgrade_schema(session)
    with database.writing() as session:
        assert differences(session.connection()) == []
        assert migrations.current(session.connection()) == migrations.HEAD


def test_upgrade_of_a_new_file_then_every_column_is_as_the_models_make_it(tmp_path: Path) -> None:
    """Compare types, keys and indexes one by one, which autogenerate does not for all."""
    for name in ("versions", "models"):
        database = Database(f"sqlite:///{tmp_path / name}", 5)
        with database.writing() as session:
            if name == "versions":
                database.upgrade_schema(session)
            else:
                Base.metadata.create_all(session.connection())
        database.close()

    assert schema(tmp_path / "versions") == schema(tmp_path / "models")


def test_upgrade_of_a_database_without_a_version_then_its_rows_stay(database: Database) -> None:
    """Take over what was made before there were versions, without the log of changes."""
    old = [table for table in Base.metadata.sorted_tables if table is not LibraryChange.__table__]
    with database.writing() as session:
        connection = session.connection()
        Base.metadata.create_all(connection, tables=old)
        connection.exec_driver_sql("INSERT INTO libraries VALUES ('ada', 41)")
        connection.exec_driver_sql(
            "INSERT INTO favorites (user_id, movie_id, genres, added_date)"
            " VALUES ('ada', 550, '[]', '2026-01-01')"
        )
    for _ in range(2):
        with database.writing() as session:
            database.upgrade_schema(session)
    with database.writing() as session:
        connection = session.connection()
        assert differences(connection) == []
        assert migrations.current(connection) == migrations.HEAD
        rows = connection.exec_driver_sql("SELECT user_id, revision FROM libraries")
        assert rows.all() == [("ada", 41)]
        assert connection.exec_driver_sql("SELECT movie_id FROM favorites").all() == [(550,)]


def test_start_on_a_database_without_a_version_then_it_serves_what_is_there(
    make_app: MakeApp, database_url: str
) -> None:
    """Go on with an older file: its lists, its revision, and changes from now on."""
    make_app().test_client().put("/history/1", json={"progress": 0.5})
    with closing(sqlite3.connect(database_url.removeprefix("sqlite:///"))) as connection:
        connection.executescript("DROP TABLE alembic_version; DROP TABLE changes")

    client = make_app().test_client()
    read = client.get("/library").json
    changed = client.delete("/history/1")

    assert read is not None
    assert read["revision"] == 2
    assert [item["movie_id"] for item in read["favorites"]] == [550, 155, 13]
    assert changed.headers["X-Library-Revision"] == "3"
    stream = client.get("/events", headers={"Last-Event-ID": "0"}, buffered=False)
    assert b'data: {"user":"demo-user-123","revision":3}' in next(stream.iter_encoded())
    stream.close()


def test_start_on_a_newer_database_then_it_warns_and_serves(
    make_app: MakeApp, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Let a release be taken back after its migration has run."""
    make_app()
    with closing(sqlite3.connect(database_url.removeprefix("sqlite:///"))) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()

    answer = make_app().test_client().get("/favorites")

    assert answer.status_code == 200
    assert "migrations.database_is_newer version=9999" in caplog.text


def test_start_on_a_current_database_then_alembic_is_not_loaded(
    make_app: MakeApp, database_url: str
) -> None:
    """Pay for Alembic where there is something to upgrade only."""
    make_app()
    code = (
        "import sys; from user_stub.store import Store;"
        f"store = Store({database_url!r}, busy_timeout_s=1); store.try_prepare();"
        "print('alembic' in sys.modules)"
    )

    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT) == b"False\n"


def test_upgrade_keeps_the_log_level_of_the_service(make_app: MakeApp) -> None:
    """Leave logging alone: the service has set it up before."""
    before = logging.getLogger().level, list(logging.getLogger().handlers)
    make_app()

    assert (logging.getLogger().level, list(logging.getLogger().handlers)) == before


@pytest.mark.parametrize(
    "kind", ["database_url", pytest.param("postgresql_url", marks=pytest.mark.e2e)]
)
def test_alembic_command_then_upgrade_check_and_downgrade_work(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Run the commands that an operator runs, with the settings of the service."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("DATABASE_URL", request.getfixturevalue(kind))
    monkeypatch.setenv("ENV_FILE", os.devnull)

    for command in (["upgrade", "head"], ["check"], ["downgrade", "base"], ["upgrade", "head"]):
        alembic_command(command)


def test_alembic_check_when_a_column_is_missing_then_it_fails(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Notice a database that differs from the models."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("ENV_FILE", os.devnull)
    alembic_command(["upgrade", "head"])
    with closing(sqlite3.connect(database_url.removeprefix("sqlite:///"))) as connection:
        connection.execute("ALTER TABLE favorites DROP COLUMN rating")

    with pytest.raises(SystemExit):
        alembic_command(["check"])
