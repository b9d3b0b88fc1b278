"""The schema's versions, and the upgrade to the latest one."""

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
# Any fixed number: PostgreSQL's advisory lock for schema changes.
SCHEMA_LOCK = 5_501_551_368_027_205


def lock(connection: Connection) -> None:
    """Lock the schema until the transaction ends; on SQLite, a writer has the whole file locked.

    Threads have to queue too, because Alembic's environment is global to the process.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": SCHEMA_LOCK})


def upgrade(connection: Connection) -> None:
    """Upgrade the schema in the caller's transaction; several processes may do so at once.

    Leave a database of a later release as it is, so that a release can be rolled back.
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
