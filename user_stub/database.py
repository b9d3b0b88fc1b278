"""The engine: connections, transactions and the schema, on SQLite and on PostgreSQL."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry

from user_stub import migrations

POOL_TIMEOUT_S = 5
# Any fixed number: the advisory lock that changing the schema takes on PostgreSQL.
SCHEMA_LOCK = 5_501_551_368_027_205


class DatabaseBusy(Exception):
    """The database did not become free in time."""


class Database:
    """Sessions for reading and for writing. Thread-safe; one per process, made after the fork."""

    def __init__(self, url: str, busy_timeout_s: float) -> None:
        self._busy_timeout_s = busy_timeout_s
        self.is_sqlite = make_url(url).get_backend_name() == "sqlite"
        self._engine = self._sqlite(url) if self.is_sqlite else self._postgresql(url)
        # A read's lists and revision come from one snapshot: SQLite's transactions always read
        # one, PostgreSQL's do at this level.
        reads = {} if self.is_sqlite else {"isolation_level": "REPEATABLE READ"}
        writes = {"begin": "BEGIN IMMEDIATE"} if self.is_sqlite else {}
        self._reading = self._engine.execution_options(**reads)
        # Without a transaction around it, a statement costs less and sees one snapshot as well.
        single = {"begin": ""} if self.is_sqlite else {"isolation_level": "AUTOCOMMIT"}
        self._looking = self._engine.execution_options(**single)
        self._writing = self._engine.execution_options(**writes)
        # SQLite has one writer at a time. Within the process the writers queue here, in order,
        # instead of polling the file lock.
        self._writer = threading.Lock()

    def _sqlite(self, url: str) -> Engine:
        path = make_url(url).database
        if not path or path == ":memory:":
            raise ValueError("the user service needs a database file: its threads share it")
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(
            url,
            pool_size=8,
            max_overflow=56,
            pool_timeout=POOL_TIMEOUT_S,
            connect_args={"timeout": self._busy_timeout_s},
            hide_parameters=True,  # they hold user ids, which no log may show
            json_serializer=_json,
        )
        event.listen(engine, "connect", self._on_sqlite_connect)
        event.listen(engine, "begin", _begin_sqlite)
        return engine

    def _postgresql(self, url: str) -> Engine:
        timeout_ms = max(1, int(self._busy_timeout_s * 1000))
        return create_engine(
            url,
            pool_size=8,
            max_overflow=16,
            pool_timeout=POOL_TIMEOUT_S,
            pool_pre_ping=True,
            hide_parameters=True,
            json_serializer=_json,
            connect_args={
                "connect_timeout": 3,
                "options": f"-c lock_timeout={timeout_ms} -c statement_timeout={timeout_ms}"
                " -c timezone=UTC",
            },
        )

    def _on_sqlite_connect(
        self, connection: sqlite3.Connection, _entry: ConnectionPoolEntry
    ) -> None:
        # The driver would begin transactions by itself, too late and never immediate:
        # https://docs.sqlalchemy.org/en/21/dialects/sqlite.html (transactions with pysqlite)
        connection.isolation_level = None
        self._switch_to_wal(connection)
        # A committed write survives kill -9 at any level, because the pages are in the system's
        # cache by then. FULL also keeps it through a power cut, for one fsync per write.
        connection.execute("PRAGMA synchronous=FULL")

    def _switch_to_wal(self, connection: sqlite3.Connection) -> None:
        # The switch needs the file for itself and does not wait by busy_timeout; two workers that
        # start together on a new file meet here.
        until = time.monotonic() + self._busy_timeout_s
        while True:
            try:
                connection.execute("PRAGMA journal_mode=WAL")
            except sqlite3.OperationalError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.01)
            else:
                return

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Yield a session whose reads see one snapshot."""
        with Session(self._reading) as session, session.begin():
            yield session

    @contextmanager
    def looking(self) -> Iterator[Connection]:
        """Yield a connection each statement of which sees a snapshot of its own."""
        with self._looking.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """Yield a session that commits at the end; raise `DatabaseBusy` if no writer gets in."""
        if not self.is_sqlite:
            with Session(self._writing) as session, session.begin():
                yield session
            return
        if not self._writer.acquire(timeout=self._busy_timeout_s):
            raise DatabaseBusy
        try:
            with Session(self._writing) as session, session.begin():
                yield session
        finally:
            self._writer.release()

    def lock_schema(self, session: Session) -> None:
        """Let nobody else change the schema until the transaction ends.

        On SQLite, who writes is alone anyway.
        """
        if not self.is_sqlite:
            session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": SCHEMA_LOCK})

    def upgrade_schema(self, session: Session) -> None:
        """Bring the schema up to date; safe where several workers start together."""
        self.lock_schema(session)
        migrations.upgrade(session.connection())

    def ping(self) -> None:
        """Ask the database for an answer; raise what the driver raises without one."""
        with self._engine.connect() as connection:
            connection.execute(text("SELECT 1"))

    def close(self) -> None:
        """Close the connections that are idle."""
        self._engine.dispose()


def _json(value: Any) -> str:
    """Return JSON as it is answered, since lists are answered with what is kept."""
    return orjson.dumps(value).decode()


def _begin_sqlite(connection: Connection) -> None:
    options: dict[str, Any] = dict(connection.get_execution_options())
    begin = options.get("begin", "BEGIN")
    if begin:
        connection.exec_driver_sql(begin)
