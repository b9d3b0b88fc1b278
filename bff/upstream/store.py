"""The tier that workers share: TMDB's answers as bytes, in an SQLite file or in Redis.

It holds public TMDB answers only, never user data and never a credential.
Losing it costs upstream calls, nothing else: each fault of it is logged once,
and the store is bypassed for a while.
"""

from __future__ import annotations

import hashlib
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import orjson
import redis
from requests_cache.backends.sqlite import SQLiteDict

log = logging.getLogger(__name__)
T = TypeVar("T")

BYPASS_S = 5.0
LOCK_WAIT_S = 0.05


@dataclass(frozen=True, slots=True)
class Stored:
    """One answer. `body` None: TMDB said that there is no such thing. Times by the wall clock."""

    body: bytes | None
    stored_at: float
    ttl_s: float

    def pack(self) -> bytes:
        """Return the answer as bytes: a line of JSON, then the body."""
        head = {"stored_at": self.stored_at, "ttl_s": self.ttl_s, "missing": self.body is None}
        return orjson.dumps(head) + b"\n" + (self.body or b"")

    @classmethod
    def unpack(cls, packed: bytes) -> Stored:
        """Read what `pack` wrote; raise ValueError or KeyError where it is something else."""
        head, _, body = packed.partition(b"\n")
        fields = orjson.loads(head)
        return cls(None if fields["missing"] else body, fields["stored_at"], fields["ttl_s"])


class Store(Protocol):
    """Where workers share answers. Never raises."""

    def get(self, key: str) -> Stored | None:
        """Return the answer of the key, however old."""

    def put(self, key: str, stored: Stored, keep_s: float) -> None:
        """Keep an answer for `keep_s`."""

    def lease(self, key: str, for_s: float) -> bool:
        """Whether the caller is the one over all workers who asks the upstream for the key."""

    def release(self, key: str) -> None:
        """Give the lease back."""

    def hold(self, key: str, for_s: float) -> None:
        """Take the lease whoever has it, so that all workers see it."""

    def held_s(self, key: str) -> float:
        """Return for how many seconds the lease is still held; 0: by nobody."""

    def close(self) -> None:
        """Close connections."""


class NoStore:
    """A worker on its own."""

    def get(self, key: str) -> Stored | None:
        """Return nothing."""
        return None

    def put(self, key: str, stored: Stored, keep_s: float) -> None:
        """Keep nothing."""

    def lease(self, key: str, for_s: float) -> bool:
        """Let everybody ask."""
        return True

    def release(self, key: str) -> None:
        """Do nothing."""

    def hold(self, key: str, for_s: float) -> None:
        """Tell nobody."""

    def held_s(self, key: str) -> float:
        """Say that nobody holds it."""
        return 0.0

    def close(self) -> None:
        """Do nothing."""


class Bypass:
    """Runs store operations; after a fault it skips them for `BYPASS_S`, with one warning."""

    def __init__(self, name: str, faults: tuple[type[Exception], ...]) -> None:
        self._name, self._faults = name, faults
        self._until = 0.0

    def __call__(self, operation: Callable[[], T], otherwise: T) -> T:
        """Return what the operation returns, or `otherwise` where the store is of no use."""
        if time.monotonic() < self._until:
            return otherwise
        try:
            return operation()
        except self._faults as error:
            self._until = time.monotonic() + BYPASS_S
            log.warning("cache.bypassed store=%s fault=%s", self._name, type(error).__name__)
            return otherwise


class RedisStore:
    """Answers and leases in Redis. Thread-safe."""

    def __init__(self, client: redis.Redis, prefix: str = "bff:tmdb:") -> None:
        self._client, self._prefix = client, prefix
        self._try = Bypass("redis", (redis.RedisError, ValueError, KeyError, OSError))

    def get(self, key: str) -> Stored | None:
        """Return the answer of the key, however old."""
        return self._try(lambda: self._get(key), None)

    def _get(self, key: str) -> Stored | None:
        packed: Any = self._client.get(self._prefix + key)
        return Stored.unpack(packed) if packed else None

    def put(self, key: str, stored: Stored, keep_s: float) -> None:
        """Keep an answer for `keep_s`."""
        milliseconds = max(1, int(keep_s * 1000))
        self._try(
            lambda: self._client.set(self._prefix + key, stored.pack(), px=milliseconds), None
        )

    def lease(self, key: str, for_s: float) -> bool:
        """Take the lease, or say that somebody else has it."""
        name = f"{self._prefix}lease:{key}"
        milliseconds = max(1, int(for_s * 1000))
        return self._try(lambda: bool(self._client.set(name, b"1", nx=True, px=milliseconds)), True)

    def release(self, key: str) -> None:
        """Give the lease back."""
        self._try(lambda: self._client.delete(f"{self._prefix}lease:{key}"), None)

    def hold(self, key: str, for_s: float) -> None:
        """Take the lease whoever has it."""
        name = f"{self._prefix}lease:{key}"
        self._try(lambda: self._client.set(name, b"1", px=max(1, int(for_s * 1000))), None)

    def held_s(self, key: str) -> float:
        """Return for how many seconds the lease is still held; 0: by nobody."""
        return self._try(lambda: self._held_s(key), 0.0)

    def _held_s(self, key: str) -> float:
        left_ms: Any = self._client.pttl(f"{self._prefix}lease:{key}")
        return max(0.0, float(left_ms) / 1000)  # negative: there is none

    def close(self) -> None:
        """Close nothing: the client is shared."""


class _Table(SQLiteDict):
    """requests-cache's table, made safe for a request.

    Its own lock loop waits for ever for a locked file, and its rollback hides
    that nothing was written; here both are errors after `LOCK_WAIT_S`.
    """

    @contextmanager
    def _acquire_sqlite_lock(self) -> Iterator[None]:
        if not self._lock.acquire(timeout=LOCK_WAIT_S):
            raise sqlite3.OperationalError("locked by another thread")
        try:
            self._connection.execute("BEGIN IMMEDIATE")  # type: ignore[union-attr]
            self._active_transaction = True
            try:
                yield
                self._connection.commit()  # type: ignore[union-attr]
            except BaseException:
                self._connection.rollback()  # type: ignore[union-attr]
                raise
            finally:
                self._active_transaction = False
        finally:
            self._lock.release()

    def put(self, key: str, value: bytes, expires: int) -> None:
        """Write bytes with the moment when they may be forgotten."""
        with self.connection(commit=True) as connection:
            connection.execute(
                f"INSERT OR REPLACE INTO {self.table_name} (key, value, expires)"  # noqa: S608
                " VALUES (?, ?, ?)",  # the name of the table is a constant of this module
                (key, value, expires),
            )


class FileStore:
    """Answers and leases in one SQLite file that the workers of a machine share. Thread-safe.

    A file that is no database is moved aside when it is opened. `most`
    entries are kept; those that expire first go first.
    """

    PRUNE_EVERY = 200

    def __init__(self, path: Path, most: int) -> None:
        self._path, self._most = path, most
        self._try = Bypass("file", (sqlite3.Error, OSError, ValueError, KeyError))
        self._open_lock = threading.Lock()
        self._table: _Table | None = None
        self._puts = 0

    def get(self, key: str) -> Stored | None:
        """Return the answer of the key, however old."""
        return self._try(lambda: self._get(_name(key)), None)

    def _get(self, name: str) -> Stored | None:
        try:
            return Stored.unpack(bytes(self._opened()[name]))
        except KeyError:
            return None

    def put(self, key: str, stored: Stored, keep_s: float) -> None:
        """Keep an answer for `keep_s`."""
        expires = int(time.time() + keep_s) + 1
        self._try(lambda: self._put(_name(key), stored.pack(), expires), None)

    def _put(self, name: str, packed: bytes, expires: int) -> None:
        table = self._opened()
        table.put(name, packed, expires)
        self._puts += 1
        if self._puts % self.PRUNE_EVERY == 1:
            self._prune(table)

    def _prune(self, table: _Table) -> None:
        with table.connection(commit=True) as connection:
            now = int(time.time())
            connection.execute("DELETE FROM answers WHERE expires <= ?", (now,))
            connection.execute("DELETE FROM leases WHERE until <= ?", (now,))
            connection.execute(
                "DELETE FROM answers WHERE key IN"
                " (SELECT key FROM answers ORDER BY expires DESC LIMIT -1 OFFSET ?)",
                (self._most,),
            )

    def lease(self, key: str, for_s: float) -> bool:
        """Take the lease, or say that somebody else has it."""
        return self._try(lambda: self._lease(_name(key), for_s), True)

    def _lease(self, name: str, for_s: float) -> bool:
        now = time.time()
        with self._opened().connection(commit=True) as connection:
            taken = connection.execute(
                "INSERT INTO leases (key, until) VALUES (?, ?) ON CONFLICT (key)"
                " DO UPDATE SET until = excluded.until WHERE until <= ?",
                (name, now + for_s, now),
            )
            return taken.rowcount == 1

    def release(self, key: str) -> None:
        """Give the lease back."""
        self._try(lambda: self._release(_name(key)), None)

    def _release(self, name: str) -> None:
        with self._opened().connection(commit=True) as connection:
            connection.execute("DELETE FROM leases WHERE key = ?", (name,))

    def hold(self, key: str, for_s: float) -> None:
        """Take the lease whoever has it."""
        self._try(lambda: self._hold(_name(key), for_s), None)

    def _hold(self, name: str, for_s: float) -> None:
        with self._opened().connection(commit=True) as connection:
            connection.execute(
                "INSERT OR REPLACE INTO leases (key, until) VALUES (?, ?)",
                (name, time.time() + for_s),
            )

    def held_s(self, key: str) -> float:
        """Return for how many seconds the lease is still held; 0: by nobody."""
        return self._try(lambda: self._held_s(_name(key)), 0.0)

    def _held_s(self, name: str) -> float:
        with self._opened().connection() as connection:
            row = connection.execute("SELECT until FROM leases WHERE key = ?", (name,)).fetchone()
            return max(0.0, float(row[0]) - time.time()) if row else 0.0

    def close(self) -> None:
        """Close the file."""
        if self._table is not None:
            self._table.close()  # type: ignore[no-untyped-call]

    def _opened(self) -> _Table:
        if self._table is None:
            with self._open_lock:
                if self._table is None:
                    self._table = self._open()
        return self._table

    def _open(self) -> _Table:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return self._create()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise  # locked or not writable: not a reason to throw it away
            aside = self._path.with_name(f"{self._path.name}.corrupt-{int(time.time())}")
            log.warning("cache.moved_aside file=%s to=%s", self._path.name, aside.name)
            os.replace(self._path, aside)
            for suffix in ("-wal", "-shm"):
                self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
            return self._create()

    def _create(self) -> _Table:
        table = _Table(
            self._path,
            table_name="answers",
            serializer=None,
            wal=True,
            fast_save=True,
            busy_timeout=int(LOCK_WAIT_S * 1000),
        )
        with table.connection(commit=True) as connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS leases (key TEXT PRIMARY KEY, until REAL)"
            )
        return table


def _name(key: str) -> str:
    # SQLiteDict writes the key into its SQL, so that nothing of a request may stand in it.
    return hashlib.sha256(key.encode()).hexdigest()
