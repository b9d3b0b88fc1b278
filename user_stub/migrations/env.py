"""Alembic's environment: runs the missing versions in one transaction."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

from config import UserServiceConfig
from user_stub.database import Database
from user_stub.migrations import lock
from user_stub.models import Base

# The command may wait longer than a request.
BUSY_TIMEOUT_S = 60.0


def run(connection: Connection) -> None:
    """Run the missing versions on a connection that has the schema locked."""
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        # SQLite changes a column by copying its table.
        render_as_batch=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def run_command() -> None:
    """Connect with the service's settings, for the `alembic` command."""
    database = Database(UserServiceConfig.from_env().database_url, BUSY_TIMEOUT_S)
    try:
        with database.writing() as session:
            lock(session.connection())
            run(session.connection())
    finally:
        database.close()


connection = context.config.attributes.get("connection")
if connection is not None:  # the service's own, at its start
    run(connection)
else:
    run_command()
