"""The log of changes: one row per rise of a revision, numbered in the order of the commits."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from sqlalchemy import delete, func, select, text
from sqlalchemy.orm import Session

from user_stub.models import Library, LibraryChange, utc_now

# At most so many changes are read at once.
LONGEST_PIECE = 5_000
KEEP_FOR = dt.timedelta(hours=1)
KEEP_ROWS = 1_000
PRUNE_EVERY = 100
# Any fixed number: the advisory lock that numbering a change takes on PostgreSQL.
NUMBERING_LOCK = 5_501_551_368_027_206


def append(session: Session, library: Library) -> None:
    """Add a change, at the end of its transaction.

    Readers go forward by `seq`, so a change must never become visible after one with a higher
    `seq`: whoever has read the higher one would not look below it again. SQLite has one writer at
    a time, so its order is that of the commits. PostgreSQL takes the number at the insert, and a
    transaction that has taken 7 may commit after one that has taken 8. The lock lasts until the
    commit is visible, so the next number is only taken then. Numbers may be missing (a rollback
    uses one up), and nothing here relies on the opposite.
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
    """Return the number of the last change, 0 if there has been none."""
    return session.scalar(select(func.max(LibraryChange.seq))) or 0


def after(session: Session, seq: int) -> Sequence[LibraryChange] | None:
    """Return the changes after `seq`, the oldest `LONGEST_PIECE` of them.

    Return None where they are not all there: `seq` itself is read too, and as the log is cut at
    its old end only, nothing after `seq` is missing as long as `seq` is there. It is missing when
    it has been cut off, and when the database is an earlier state or another one.
    """
    query = select(LibraryChange).where(LibraryChange.seq >= seq).order_by(LibraryChange.seq)
    found = session.scalars(query.limit(LONGEST_PIECE + 1)).all()
    if seq == 0:
        return None if found and found[0].seq > 1 else found[:LONGEST_PIECE]
    return found[1:] if found and found[0].seq == seq else None


def _prune(session: Session, last_seq: int) -> None:
    """Drop the changes that are older than an hour, but for the last 1,000.

    Drop from the old end only: the clocks of several machines may differ, and a hole would be a
    lost change.
    """
    young = LibraryChange.at >= utc_now() - KEEP_FOR
    first_young = session.scalar(select(func.min(LibraryChange.seq)).where(young)) or last_seq
    keep_from = min(first_young, last_seq - KEEP_ROWS + 1)
    session.execute(delete(LibraryChange).where(LibraryChange.seq < keep_from))
