"""The log of changes: one row per rise of a revision, numbered in the order of the commits."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from sqlalchemy import Row, bindparam, delete, func, select, text
from sqlalchemy.orm import Session

from user_stub.models import Library, LibraryChange, utc_now

# The most changes that are read at once.
BATCH_SIZE = 5_000
RETENTION = dt.timedelta(hours=1)
MIN_ROWS = 1_000
PRUNE_EVERY = 100
# Any fixed number: PostgreSQL's advisory lock for numbering changes.
NUMBERING_LOCK = 5_501_551_368_027_206

# Built once and without entities, because every stream runs it several times a second.
_FROM = (
    select(LibraryChange.seq, LibraryChange.user_id, LibraryChange.revision)
    .where(LibraryChange.seq >= bindparam("seq"))
    .order_by(LibraryChange.seq)
    .limit(bindparam("limit"))
)


def append(session: Session, library: Library) -> None:
    """Append the library's new revision. Call it last in a transaction.

    Readers only go forward, so a change must not become visible after one with a higher `seq`.
    SQLite has one writer at a time. PostgreSQL takes the number at the insert, so a transaction
    with number 7 could commit after one with number 8; the lock, which is held until the commit,
    prevents that. Numbers may be missing: a rollback uses one up.
    """
    session.flush()
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": NUMBERING_LOCK})
    change = LibraryChange(user_id=library.user_id, revision=library.revision)
    session.add(change)
    session.flush()
    if change.seq % PRUNE_EVERY == 0:
        _prune(session, change.seq)


def last(session: Session) -> int:
    """Return the number of the last change, 0 if there is none."""
    return session.scalar(select(func.max(LibraryChange.seq))) or 0


def after(session: Session, seq: int) -> Sequence[Row[int, str, int]] | None:
    """Return the oldest `BATCH_SIZE` changes after `seq`, None if some of them are missing.

    A change has `seq`, `user_id` and `revision`.

    The log is pruned at its old end only, so nothing is missing as long as `seq` itself is there.
    It is not there if it was pruned, or if the database was restored or replaced.
    """
    found = session.execute(_FROM, {"seq": seq, "limit": BATCH_SIZE + 1}).all()
    if seq == 0:
        return None if found and found[0].seq > 1 else found[:BATCH_SIZE]
    return found[1:] if found and found[0].seq == seq else None


def _prune(session: Session, last_seq: int) -> None:
    """Drop changes older than an hour, but keep the last 1,000.

    Drop at the old end only: the clocks of several machines may differ, and a gap would be a lost
    change.
    """
    recent = LibraryChange.at >= utc_now() - RETENTION
    first_recent = session.scalar(select(func.min(LibraryChange.seq)).where(recent)) or last_seq
    keep_from = min(first_recent, last_seq - MIN_ROWS + 1)
    session.execute(delete(LibraryChange).where(LibraryChange.seq < keep_from))
