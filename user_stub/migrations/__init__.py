"""The schema's versions, and how a database is brought to the last one."""

from __future__ import annotations

import logging
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

logger = logging.getLogger(__name__)

FOLDER = Path(__file__).resolve().parent
# Any fixed number: the advisory lock that changing the schema takes on PostgreSQL.
SCHEMA_LOCK = 5_501_551_368_027_205


def lock(connection: Connection) -> None:
    """Let nobody else change the schema until the transaction ends; on SQLite, a writer is alone.

    Alembic's environment is one for the whole process, so the threads have to queue too.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": SCHEMA_LOCK})


def upgrade(connection: Connection) -> None:
    """Bring the schema up to date within the caller's transaction; safe in parallel.

    A database that a later release has upgraded is left as it is, so that a release can be rolled
    back.
    """
    lock(connection)
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    known = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    current = MigrationContext.configure(connection).get_current_revision()
    if current is not None and current not in known:
        logger.warning("migrations.database_is_newer version=%s", current)
    else:
        command.upgrade(config, "head")
