"""The schema's versions, on SQLite and on PostgreSQL."""

from __future__ import annotations

import logging
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import main as alembic
from alembic.migration import MigrationContext

from tests.user_stub.conftest import ROOT, MakeApp, execute
from user_stub import migrations
from user_stub.database import Database
from user_stub.models import Base


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


def test_upgrade_when_the_database_is_new_then_it_equals_the_models(any_database_url: str) -> None:
    """Leave autogenerate nothing to do; a second upgrade changes nothing."""
    database = Database(any_database_url, 30)
    for _ in range(2):
        with database.writing() as session:
            migrations.upgrade(session.connection())
    with database.writing() as session:
        context = MigrationContext.configure(session.connection())
        differences = compare_metadata(context, Base.metadata)
    database.close()

    assert differences == []


def test_upgrade_when_the_file_is_new_then_every_column_is_as_the_models_make_it(
    tmp_path: Path,
) -> None:
    """Compare types, keys and indexes one by one, which autogenerate does not for all."""
    for name in ("versions", "models"):
        database = Database(f"sqlite:///{tmp_path / name}", 30)
        with database.writing() as session:
            if name == "versions":
                migrations.upgrade(session.connection())
            else:
                Base.metadata.create_all(session.connection())
        database.close()

    assert schema(tmp_path / "versions") == schema(tmp_path / "models")


def test_start_when_the_database_is_newer_then_it_warns_and_serves(
    make_app: MakeApp, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Let a release be rolled back after its migration has run."""
    make_app()
    execute(database_url, "UPDATE alembic_version SET version_num = '9999'")

    answer = make_app().test_client().get("/favorites")

    assert answer.status_code == 200
    assert "migrations.database_is_newer version=9999" in caplog.text


def test_upgrade_when_it_runs_then_logging_stays_as_it_was(make_app: MakeApp) -> None:
    """Leave logging alone: the service has set it up before."""
    before = logging.getLogger().level, list(logging.getLogger().handlers)
    make_app()

    assert (logging.getLogger().level, list(logging.getLogger().handlers)) == before


def test_alembic_when_called_then_upgrade_check_and_downgrade_work(
    any_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run the commands that an operator runs, with the settings of the service."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("DATABASE_URL", any_database_url)
    monkeypatch.setenv("ENV_FILE", os.devnull)

    for command in (["upgrade", "head"], ["check"], ["downgrade", "base"], ["upgrade", "head"]):
        alembic(command)


def test_alembic_check_when_a_column_is_missing_then_it_fails(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Notice a database that differs from the models."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("ENV_FILE", os.devnull)
    alembic(["upgrade", "head"])
    execute(database_url, "ALTER TABLE favorites DROP COLUMN rating")

    with pytest.raises(SystemExit):
        alembic(["check"])
