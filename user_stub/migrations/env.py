"""Run by Alembic: connects, and runs the versions in one transaction."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

from config import UserServiceConfig
from user_stub.database import Database
from user_stub.models import Base

# A step of its own may wait longer than a request.
BUSY_TIMEOUT_S = 60.0


def run(connection: Connection) -> None:
    """Run the versions that are missing."""
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        # SQLite changes a column by copying its table.
        render_as_batch=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def run_on_its_own() -> None:
    """Connect as the service does, and hold what it holds while the schema changes."""
    database = Database(UserServiceConfig.from_env().database_url, BUSY_TIMEOUT_S)
    try:
        with database.writing() as session:
            database.lock_schema(session)
            run(session.connection())
    finally:
        database.close()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    run_on_its_own()
