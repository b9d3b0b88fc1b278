"""The schema's versions, on SQLite and on PostgreSQL."""

from __future__ import annotations

import os

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import main as alembic
from alembic.migration import MigrationContext

from tests.user_stub.conftest import ROOT, MakeApp, execute
from user_stub import migrations
from user_stub.database import Database
from user_stub.models import Base


@pytest.fixture
def _settings(any_database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("DATABASE_URL", any_database_url)
    monkeypatch.setenv("ENV_FILE", os.devnull)


def test_upgrade_when_the_database_is_new_then_it_equals_the_models(any_database_url: str) -> None:
    """Leave autogenerate nothing to do; a second upgrade changes nothing."""
    database = Database(any_database_url, 30)
    for _ in range(2):
        with database.writing() as session:
            migrations.upgrade(session.connection())
    with database.writing() as session:
        context = MigrationContext.configure(
            session.connection(), opts={"compare_type": True, "compare_server_default": True}
        )
        differences = compare_metadata(context, Base.metadata)
    database.close()

    assert differences == []


def test_start_when_the_database_is_newer_then_it_warns_and_serves(
    make_app: MakeApp, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Let a release be rolled back after its migration has run."""
    make_app()
    execute(database_url, "UPDATE alembic_version SET version_num = '9999'")

    answer = make_app().test_client().get("/favorites")

    assert answer.status_code == 200
    assert "migrations.database_is_newer version=9999" in caplog.text


@pytest.mark.usefixtures("_settings")
def test_alembic_when_called_then_upgrade_check_and_downgrade_work(any_database_url: str) -> None:
    """Run an operator's commands with the service's settings; notice a database that differs."""
    for command in (["upgrade", "head"], ["check"], ["downgrade", "base"], ["upgrade", "head"]):
        alembic(command)
    database = Database(any_database_url, 30)
    with database.writing() as session:
        session.connection().exec_driver_sql("ALTER TABLE favorites DROP COLUMN rating")
    database.close()

    with pytest.raises(SystemExit):
        alembic(["check"])
