"""The tier that workers share: TMDB's answers as bytes, in an SQLite file or in Redis.

It holds public TMDB answers only, never user data and never a credential.
Losing it costs upstream calls, nothing else: each fault of it is logged once,
and the store is bypassed for a while. Redis is in `over_redis`.
"""

from __future__ import annotations

import fcntl
import hashlib
import itertools
import logging
import os
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import orjson

from bff.observability.logs import event
from bff.readiness import Checks, check
from bff.upstream.bypass import Bypass
from bff.upstream.leases import Leases, LeasesLocked
from bff.upstream.spare import without

with without("redis"):  # loaded for a backend that is not used here, it takes 8 MB of a worker
    from requests_cache.backends.sqlite import SQLiteDict

log = logging.getLogger(__name__)
T = TypeVar("T")

LOCK_WAIT_S = 0.05


@dataclass(frozen=True, slots=True)
class Stored:
    """One answer. `body` None: TMDB said that there is no such thing. Times by the wall clock."""

    body: bytes | None
    stored_at: float
    ttl_s: float

    def pack(self) -> bytes:
        """Return the answer as bytes: a line of JSON, then the body."""
        at, ttl_s = float(self.stored_at), float(self.ttl_s)
        head = {"stored_at": at, "ttl_s": ttl_s, "missing": self.body is None}
        return orjson.dumps(head) + b"\n" + (self.body or b"")

    @classmethod
    def unpack(cls, packed: bytes) -> Stored:
        """Read what `pack` wrote; raise ValueError where it is something else."""
        head, _, body = packed.partition(b"\n")
        match orjson.loads(head):
            case {"stored_at": float(at), "ttl_s": float(ttl_s), "missing": bool(missing)}:
                return cls(None if missing else body, at, ttl_s)
        raise ValueError("not an answer")


def unpacked(packed: object) -> Stored | None:
    """Read an answer; what is none is as good as absent."""
    try:
        return Stored.unpack(packed) if isinstance(packed, bytes) else None
    except ValueError:
        return None


class Store(Protocol):
    """Where workers share answers. Never raises."""

    def get(self, key: str) -> Stored | None:
        """Return the answer of the key, however old."""

    def put(self, key: str, stored: Stored, keep_s: float) -> None:
        """Keep an answer for `keep_s`."""

    def lease(self, key: str, for_s: float) -> bool:
        """Whether the caller is the one over all workers who asks the upstream for the key."""

    def release(self, key: str) -> None:
        """Give the lease back; by the thread that took it. One that has run out stays others'."""

    def hold(self, key: str, for_s: float) -> None:
        """Take the lease whoever has it, so that all workers see it; never shortens it."""

    def held_s(self, key: str) -> float:
        """Return for how many seconds the lease is still held; 0: by nobody."""

    def health(self) -> Checks:
        """Return what readiness tells: whether the store is of use."""

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

    def health(self) -> Checks:
        """Say that there is none."""
        return {"cache:store": [check("none", kind="datastore")]}

    def close(self) -> None:
        """Do nothing."""


def _is_locked(error: Exception) -> bool:
    if isinstance(error, sqlite3.OperationalError):
        return "locked" in str(error)
    return isinstance(error, LeasesLocked)


class _Table(SQLiteDict):
    """requests-cache's table, made safe for a request.

    Its own lock loop waits for ever for a locked file, and its rollback hides
    that nothing was written; here both are errors after `LOCK_WAIT_S`. It lets
    a thread write into another's transaction, and two threads run one prepared
    statement; here a thread has the connection to itself.
    """

    @contextmanager
    def connection(self, commit: bool = False) -> Iterator[sqlite3.Connection]:
        """Have the connection to oneself; with `commit`, in a transaction."""
        if not self._lock.acquire(timeout=2 * LOCK_WAIT_S):
            raise sqlite3.OperationalError("locked by another thread")
        try:
            if self._connection is not None and not commit:
                yield self._connection
            else:
                with super().connection(commit) as connection:
                    yield connection
        finally:
            self._lock.release()

    @contextmanager
    def _acquire_sqlite_lock(self) -> Iterator[None]:
        self._begin()
        self._active_transaction = True
        try:
            yield
            self._connection.commit()  # type: ignore[union-attr]
        except BaseException:
            self._connection.rollback()  # type: ignore[union-attr]
            raise
        finally:
            self._active_transaction = False

    def _begin(self) -> None:
        # SQLite itself looks five times in `LOCK_WAIT_S`, ever more seldom: under load of
        # four workers that was too few, and a worker took the file for lost.
        until = time.monotonic() + LOCK_WAIT_S
        while True:
            try:
                self._connection.execute("BEGIN IMMEDIATE")  # type: ignore[union-attr]
            except sqlite3.OperationalError:
                if time.monotonic() > until:
                    raise
                time.sleep(random.uniform(0.0005, 0.002))
            else:
                return

    def put(self, key: str, value: bytes, expires: int) -> None:
        """Write bytes with the moment when they may be forgotten."""
        with self.connection(commit=True) as connection:
            connection.execute(
                f"INSERT OR REPLACE INTO {self.table_name} (key, value, expires)"  # noqa: S608
                " VALUES (?, ?, ?)",  # the name of the table is a constant of this module
                (key, value, expires),
            )


class FileStore:
    """Answers in one SQLite file that the workers of a machine share, and leases beside it.

    Thread-safe. A file that is no database, or a broken one, is moved aside. It keeps
    about `most` entries and `most_bytes` at the most; those that expire first go first.
    """

    PRUNE_EVERY = 200

    def __init__(self, path: Path, most: int, most_bytes: int = 256 * 1024 * 1024) -> None:
        self._path, self._most, self._most_bytes = path, most, most_bytes
        self._bypass = Bypass("file", (sqlite3.Error, OSError), _is_locked)
        self._bypass_leases = Bypass("leases", (OSError,), _is_locked)
        self._open_lock = threading.Lock()
        self._table: _Table | None = None
        self._suspect = False
        self._puts = itertools.count()
        self._leases: Leases | None = None
        # The end of a lease says whose it is: moments of two takers do not meet.
        self._taken = threading.local()

    def _try(self, operation: Callable[[], T], otherwise: T) -> T:
        return self._bypass(lambda: self._noticing(operation), otherwise)

    def _noticing(self, operation: Callable[[], T]) -> T:
        try:
            return operation()
        except sqlite3.DatabaseError as error:
            if type(error) is sqlite3.DatabaseError:  # the file is broken, not locked or full
                self._suspect = True
            raise

    def get(self, key: str) -> Stored | None:
        """Return the answer of the key, however old."""
        return unpacked(self._try(lambda: self._get(_name(key)), None))

    def _get(self, name: str) -> object:
        with self._opened().connection() as connection:
            row = connection.execute("SELECT value FROM answers WHERE key = ?", (name,)).fetchone()
            return row[0] if row else None

    def put(self, key: str, stored: Stored, keep_s: float) -> None:
        """Keep an answer for `keep_s`."""
        expires = int(time.time() + keep_s) + 1
        self._try(lambda: self._put(_name(key), stored.pack(), expires), None)

    def _put(self, name: str, packed: bytes, expires: int) -> None:
        table = self._opened()
        table.put(name, packed, expires)
        if next(self._puts) % self.PRUNE_EVERY == 0:
            self._prune(table)

    def _prune(self, table: _Table) -> None:
        with table.connection(commit=True) as connection:
            connection.execute("DELETE FROM answers WHERE expires <= ?", (int(time.time()),))
            # Looking for the last to keep goes through all of them: 24 ms with 9,000 of 12 kB. So
            # a tenth more goes, here and below, that it is a while until the next look.
            if _number(connection, "SELECT COUNT(*) FROM answers") > self._most:
                connection.execute(
                    "DELETE FROM answers WHERE key IN"
                    " (SELECT key FROM answers ORDER BY expires DESC LIMIT -1 OFFSET ?)",
                    (self._most * 9 // 10,),
                )
            held = _bytes_of(connection)
            if held > self._most_bytes:
                # The limit is one of the file, which is larger than its answers by more or less:
                # they give up the same share.
                share_to_keep = 0.9 * self._most_bytes / held
                connection.execute(
                    "DELETE FROM answers WHERE key IN (SELECT key FROM (SELECT key,"
                    " SUM(LENGTH(value)) OVER (ORDER BY expires DESC, key) AS bytes FROM answers)"
                    " WHERE bytes > (SELECT SUM(LENGTH(value)) FROM answers) * ?)",
                    (share_to_keep,),
                )

    def lease(self, key: str, for_s: float) -> bool:
        """Take the lease, or say that somebody else has it."""
        if self._bypass.lost:
            return True  # where no answer can be shared, there is none to wait for
        unshared: float | None = time.time() + for_s
        end = self._leased(lambda leases: leases.take(key, for_s), unshared)
        if end is not None:
            self._taken.__dict__[key] = end
        return end is not None

    def release(self, key: str) -> None:
        """Give the lease back, if it is still the one that this thread took."""
        end = self._taken.__dict__.pop(key, None)
        if end is not None:
            self._leased(lambda leases: leases.give_back(key, end), None)

    def hold(self, key: str, for_s: float) -> None:
        """Take the lease whoever has it, for longer than it is held already."""
        self._leased(lambda leases: leases.hold(key, for_s), None)

    def held_s(self, key: str) -> float:
        """Return for how many seconds the lease is still held; 0: by nobody."""
        leases = self._leases
        if leases is not None:  # looking takes no lock, and says nothing of whether others can
            return leases.held_s(key)
        return self._leased(lambda leases: leases.held_s(key), 0.0)

    def _leased(self, operation: Callable[[Leases], T], otherwise: T) -> T:
        return self._bypass_leases(
            lambda: operation(self._leases or self._open_leases()), otherwise
        )

    def _open_leases(self) -> Leases:
        with self._open_lock:
            if self._leases is None:
                self._leases = Leases(self._path.with_name(f"{self._path.name}.leases"))
            return self._leases

    def health(self) -> Checks:
        """Return whether the file is of use, and the leases beside it."""
        both = (self._bypass.health(), self._bypass_leases.health())
        return {"cache:store": [one for checks in both for one in checks["cache:store"]]}

    def close(self) -> None:
        """Close the file; what comes later finds nothing."""
        self._bypass.close()
        self._bypass_leases.close()
        with self._open_lock:
            self._drop()
            if self._leases is not None:
                self._leases.close()
                self._leases = None

    def _drop(self) -> None:
        if self._table is not None:
            self._table.close()  # type: ignore[no-untyped-call]
            self._table = None

    def _opened(self) -> _Table:
        table = self._table
        if table is not None and not self._suspect:
            return table
        if not self._open_lock.acquire(timeout=2 * LOCK_WAIT_S):
            raise sqlite3.OperationalError("locked: being opened by another thread")
        try:
            if self._table is None or self._suspect:
                self._drop()
                self._table = self._open()
                self._suspect = False
            return self._table
        finally:
            self._open_lock.release()

    def _open(self) -> _Table:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.with_name(f"{self._path.name}.lock").open("w") as lock:
            # One worker at a time: two cannot switch a new file to WAL at once, and the
            # second would move aside what the first has put in the place of a broken file.
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                return self._create()
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError):
                    raise  # locked or not writable: not a reason to throw it away
            self._move_aside()
            return self._create()

    def _move_aside(self) -> None:
        aside = self._path.with_name(f"{self._path.name}.corrupt-{int(time.time())}")
        event(log, logging.WARNING, "cache.moved_aside", file=self._path.name, to=aside.name)
        os.replace(self._path, aside)
        for suffix in ("-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)

    def _create(self) -> _Table:
        table = _Table(
            self._path,
            table_name="answers",
            serializer=None,
            wal=True,
            fast_save=True,
            busy_timeout=1,
        )
        if self._suspect:
            with table.connection() as connection:
                found = connection.execute("PRAGMA quick_check(1)").fetchone()
                if found != ("ok",):
                    raise sqlite3.DatabaseError("broken")
        return table


def _number(connection: sqlite3.Connection, question: str) -> int:
    return int(connection.execute(question).fetchone()[0])


def _bytes_of(connection: sqlite3.Connection) -> int:
    """Return what the file holds, which is a little more than the answers in it."""
    pages = _number(connection, "PRAGMA page_count") - _number(connection, "PRAGMA freelist_count")
    return pages * _number(connection, "PRAGMA page_size")


def _name(key: str) -> str:
    # A key of one length, whatever a request asks for.
    return hashlib.sha256(key.encode()).hexdigest()
