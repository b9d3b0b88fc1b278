"""The schema's versions, and how a database is brought to the last one."""

from __future__ import annotations

import logging
from pathlib import Path

from sqlalchemy import Connection, inspect, text

logger = logging.getLogger(__name__)

# The last version; a test holds it against the scripts.
HEAD = "0001"
FOLDER = Path(__file__).resolve().parent


def upgrade(connection: Connection) -> None:
    """Bring the schema to `HEAD` within the caller's transaction, which holds the schema's lock.

    A database from before there were versions is taken over: the first version makes what is
    missing and leaves the rest. One that a later release has upgraded is left as it is, so that a
    release can be taken back.
    """
    version = current(connection)
    if version == HEAD:
        return
    # Only imported where there is something to do: it costs a start 0.2 s.
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    if version is not None:
        known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
        if version not in known:
            logger.warning("migrations.database_is_newer version=%s", version)
            return
    command.upgrade(config, "head")


def current(connection: Connection) -> str | None:
    """Return the version of the schema, None where it has none."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    version: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return version
