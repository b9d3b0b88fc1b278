"""Engines and sessions for SQLite and PostgreSQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry

POOL_TIMEOUT_S = 5


class Database:
    """Sessions to read and to write. Thread-safe; one per process, created after the fork."""

    def __init__(self, url: str, busy_timeout_s: float) -> None:
        engines = _sqlite if make_url(url).get_backend_name() == "sqlite" else _postgresql
        self._reads, self._writes = engines(url, busy_timeout_s)

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Yield a session that reads one snapshot; its objects stay usable afterwards."""
        with Session(self._reads, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """Yield a session that commits when the block ends."""
        with Session(self._writes, expire_on_commit=False) as session, session.begin():
            yield session

    def close(self) -> None:
        """Close the idle connections."""
        self._reads.dispose()
        self._writes.dispose()


def _postgresql(url: str, busy_timeout_s: float) -> tuple[Engine, Engine]:
    timeout_ms = max(1, int(busy_timeout_s * 1000))
    options = f"-c lock_timeout={timeout_ms} -c statement_timeout={timeout_ms} -c timezone=UTC"
    engine = create_engine(
        url,
        pool_size=8,
        max_overflow=16,
        pool_timeout=POOL_TIMEOUT_S,
        pool_pre_ping=True,
        hide_parameters=True,  # they contain user ids, which must not be logged
        connect_args={"connect_timeout": 3, "options": options},
    )
    return engine.execution_options(isolation_level="REPEATABLE READ"), engine


def _sqlite(url: str, busy_timeout_s: float) -> tuple[Engine, Engine]:
    path = make_url(url).database
    if not path or path == ":memory:":
        raise ValueError("the user service needs a database file: its threads share it")
    Path(path).parent.mkdir(parents=True, exist_ok=True)

    def engine(begin: str, **pool: Any) -> Engine:
        timeout = {"timeout": busy_timeout_s}
        made = create_engine(url, connect_args=timeout, hide_parameters=True, **pool)
        event.listen(made, "connect", _on_sqlite_connect)
        event.listen(made, "begin", lambda connection: connection.exec_driver_sql(begin))
        return made

    # SQLite has one writer at a time. The process's writers queue for one connection, in order,
    # instead of polling the file's lock.
    return (
        engine("BEGIN", pool_size=8, max_overflow=56, pool_timeout=POOL_TIMEOUT_S),
        engine("BEGIN IMMEDIATE", pool_size=1, max_overflow=0, pool_timeout=busy_timeout_s),
    )


def _on_sqlite_connect(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
    # By default the driver begins transactions itself, too late and never immediate:
    # https://docs.sqlalchemy.org/en/21/dialects/sqlite.html (transactions with pysqlite)
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode=WAL")
    # A commit survives kill -9 at any level. FULL also survives a power cut, for one fsync each.
    connection.execute("PRAGMA synchronous=FULL")
