"""Transactions over one user's lists: revision and idempotency live and commit with the data."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any, TypeVar

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from user_stub import changes, reads
from user_stub.database import Database, DatabaseBusy
from user_stub.events import LIFETIME_S, Hub, Stream
from user_stub.lists import Lists
from user_stub.models import IdempotencyRecord, Library
from user_stub.sample import DEMO_USER

logger = logging.getLogger(__name__)

KEEP_KEYS = dt.timedelta(hours=24)
PURGE_EVERY = dt.timedelta(minutes=10)
# More is dropped at once than comes together until the next time.
PRUNE_EVERY = dt.timedelta(minutes=1)
PRUNE_AFTER = 1_000

Read = TypeVar("Read")


class KeyReused(Exception):
    """The idempotency key came before, with another request."""


class KeyInFlight(Exception):
    """The first request with this idempotency key is still being worked on."""


@dataclass(frozen=True)
class Outcome:
    """The result of a change: `body` is the answer, or for a `status` from 400 on a problem's
    members. `revision` is the number of the user's last change, this one included if it `changed`
    anything.
    """

    status: int
    body: dict[str, Any]
    location: str | None = None
    revision: int = 0
    replayed: bool = False
    changed: bool = False


@dataclass(frozen=True)
class RequestKey:
    """An idempotency key and the hash of the request that carries it."""

    key: str
    request_hash: str


Change = Callable[[Lists], Outcome]


class Store:
    """Reads and changes of users' lists. Thread-safe; one per process.

    Methods raise SQLAlchemy's errors or `DatabaseBusy` where the database cannot be reached or
    stays locked; nothing is changed then.
    """

    def __init__(
        self, url: str, *, busy_timeout_s: float, stream_lifetime_s: float = LIFETIME_S
    ) -> None:
        self._database = Database(url, busy_timeout_s)
        self.hub = Hub(self._database, lifetime_s=stream_lifetime_s)
        self._prepared = False
        self._lock = threading.Lock()
        self._in_flight: set[tuple[str, str]] = set()
        self._purge_from = dt.datetime.min.replace(tzinfo=dt.UTC)
        self._unpruned = 0
        self._prune_from = _now() + PRUNE_EVERY

    def try_prepare(self) -> None:
        """Bring the schema up to date and make the sample, later where the database is away."""
        try:
            self._prepare()
        except (SQLAlchemyError, DatabaseBusy, OSError) as error:
            logger.warning("database.unavailable error=%s", type(error).__name__)

    def _prepare(self) -> None:
        if self._prepared:
            return
        with self._database.writing() as session:
            self._database.upgrade_schema(session)
            # No user has ever had a row: the database is new. A cleared one still has rows.
            if session.scalars(select(Library.user_id).limit(1)).first() is None:
                revision = self._locked_revision(session, DEMO_USER)
                Lists(session, DEMO_USER, _now()).reset()
                self._raise_revision(session, DEMO_USER, revision)
                self._append_change(session, DEMO_USER, revision + 1)
        self._prepared = True

    def ping(self) -> None:
        """Ask the database for an answer; raise SQLAlchemy's error without one."""
        self._database.ping()

    def close(self) -> None:
        """End the event streams and close idle connections."""
        self.hub.close()
        self._database.close()

    def subscribe(self, resume_after: int | None, sock: socket.socket | None) -> Stream:
        """Return a stream of changes; see `Hub.subscribe`."""
        self._prepare()
        return self.hub.subscribe(resume_after, sock)

    @property
    def in_flight(self) -> int:
        """The number of requests with a key that are being worked on in this process."""
        return len(self._in_flight)

    def count_keys(self) -> int:
        """Return the number of idempotency keys that are kept."""
        self._prepare()
        with self._database.reading() as session:
            return session.scalar(select(func.count()).select_from(IdempotencyRecord)) or 0

    def read(self, user_id: str, query: Callable[[Lists], Read]) -> tuple[Read, int]:
        """Return what `query` reads and the revision that it belongs to, from one snapshot."""
        self._prepare()
        with self._database.reading() as session:
            revision = session.scalar(select(Library.revision).where(Library.user_id == user_id))
            return query(Lists(session, user_id, _now())), revision or 0

    def lists(
        self, user_id: str, kinds: tuple[reads.Kind, ...]
    ) -> tuple[dict[str, list[reads.Item]], int]:
        """Return whole lists by their names and the revision that they belong to; see `reads`."""
        self._prepare()
        with self._database.looking() as connection:
            return reads.read(connection, user_id, kinds)

    def write(self, user_id: str, request: RequestKey | None, change: Change) -> Outcome:
        """Apply `change` once, all or nothing, and return its outcome.

        With a `request`, an earlier outcome of the same request is returned instead, marked as
        replayed. Raise `KeyReused` or `KeyInFlight` as they say.
        """
        self._prepare()
        with self._claimed(user_id, request), self._database.writing() as session:
            if request is None:
                revision = self._locked_revision(session, user_id)
                outcome = self._apply(session, user_id, revision, change)
            else:
                outcome = self._apply_once(session, user_id, request, change)
            if outcome.changed:
                self._append_change(session, user_id, outcome.revision)
        if outcome.changed:
            self.hub.wake()
            self._prune_changes()
        return outcome

    @contextmanager
    def _claimed(self, user_id: str, request: RequestKey | None) -> Iterator[None]:
        """Let a key be worked on by one thread of this process at a time."""
        if request is None:
            yield
            return
        claim = (user_id, request.key)
        with self._lock:
            if claim in self._in_flight:
                raise KeyInFlight
            self._in_flight.add(claim)
        try:
            yield
        finally:
            with self._lock:
                self._in_flight.discard(claim)

    def _apply(self, session: Session, user_id: str, revision: int, change: Change) -> Outcome:
        lists = Lists(session, user_id, _now())
        outcome = change(lists)
        if lists.changed:
            revision = self._raise_revision(session, user_id, revision)
        return replace(outcome, revision=revision, changed=lists.changed)

    def _apply_once(
        self, session: Session, user_id: str, request: RequestKey, change: Change
    ) -> Outcome:
        self._claim_across_processes(session, user_id, request)
        # The user's lock comes before the look-up, so that the look-up sees the record of
        # whoever held the lock before.
        revision = self._locked_revision(session, user_id)
        self._purge(session, user_id, request)
        record = session.get(IdempotencyRecord, (user_id, request.key))
        if record is not None:
            if record.request_hash != request.request_hash:
                raise KeyReused
            return Outcome(
                record.status, json.loads(record.body), record.location, revision, replayed=True
            )
        outcome = self._apply(session, user_id, revision, change)
        if outcome.status == HTTPStatus.PRECONDITION_FAILED:
            return outcome  # not worked on: the key is free for the request without the condition
        session.add(
            IdempotencyRecord(
                user_id=user_id,
                key=request.key,
                request_hash=request.request_hash,
                status=outcome.status,
                body=json.dumps(outcome.body),
                location=outcome.location,
                created_date=_now(),
            )
        )
        return outcome

    def _claim_across_processes(self, session: Session, user_id: str, request: RequestKey) -> None:
        # On SQLite another process that works on this key holds the only write lock: this one has
        # waited for it and will find the record.
        if self._database.is_sqlite:
            return
        digest = hashlib.sha256(f"{user_id} {request.key}".encode()).digest()
        number = int.from_bytes(digest[:8], "big", signed=True)
        if not session.scalar(text("SELECT pg_try_advisory_xact_lock(:n)"), {"n": number}):
            raise KeyInFlight

    def _purge(self, session: Session, user_id: str, request: RequestKey) -> None:
        """Drop this key if it has expired, and now and then every key that has."""
        now = _now()
        expired = IdempotencyRecord.created_date < now - KEEP_KEYS
        statement = delete(IdempotencyRecord).where(expired)
        with self._lock:
            purge_all = now >= self._purge_from
            if purge_all:
                self._purge_from = now + PURGE_EVERY
        if not purge_all:
            statement = statement.where(
                IdempotencyRecord.user_id == user_id, IdempotencyRecord.key == request.key
            )
        session.connection().execute(statement)

    def _locked_revision(self, session: Session, user_id: str) -> int:
        """Return the user's revision and hold the user's row, so that writes of one user queue."""
        insert = sqlite.insert if self._database.is_sqlite else postgresql.insert
        session.connection().execute(
            insert(Library).values(user_id=user_id, revision=0).on_conflict_do_nothing()
        )
        query = select(Library.revision).where(Library.user_id == user_id).with_for_update()
        return session.scalars(query).one()

    def _raise_revision(self, session: Session, user_id: str, revision: int) -> int:
        session.execute(
            update(Library).where(Library.user_id == user_id).values(revision=revision + 1)
        )
        return revision + 1

    def _append_change(self, session: Session, user_id: str, revision: int) -> None:
        session.flush()
        changes.append(session.connection(), user_id, revision, _now())

    def _prune_changes(self) -> None:
        """Now and then, drop old changes; what fails is left for the next time."""
        now = _now()
        with self._lock:
            self._unpruned += 1
            if self._unpruned < PRUNE_AFTER and now < self._prune_from:
                return
            self._unpruned = 0
            self._prune_from = now + PRUNE_EVERY
        try:
            with self._database.writing() as session:
                changes.prune(session.connection(), now)
        except (SQLAlchemyError, DatabaseBusy) as error:
            logger.warning("changes.not_pruned error=%s", type(error).__name__)


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
