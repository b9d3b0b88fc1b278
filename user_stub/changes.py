"""The log of changes: one row per rise of a revision, numbered in the order of the commits."""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, delete, func, insert, select, text

from user_stub.models import LibraryChange

# At most so many rows at once; a subscriber that is further behind starts anew.
LONGEST_PIECE = 10_000
KEEP_FOR = dt.timedelta(hours=1)
KEEP_ROWS = 1_000
PRUNE_ROWS = 5_000
# Any fixed number: the advisory lock that numbering a change takes on PostgreSQL.
NUMBERING_LOCK = 5_501_551_368_027_206


class Change(NamedTuple):
    """A committed change: its place in the order of all, whose library, and the new revision."""

    seq: int
    user_id: str
    revision: int


_INSERT = insert(LibraryChange).inline()
_LAST = select(func.max(LibraryChange.seq))
_FROM = (
    select(LibraryChange.seq, LibraryChange.user_id, LibraryChange.revision)
    .where(LibraryChange.seq >= bindparam("first"))
    .order_by(LibraryChange.seq)
    .limit(LONGEST_PIECE)
)
_OLDEST = (
    select(LibraryChange.seq, LibraryChange.at)
    .where(LibraryChange.seq <= bindparam("last"))
    .order_by(LibraryChange.seq)
    .limit(PRUNE_ROWS)
)


def append(connection: Connection, user_id: str, revision: int, at: dt.datetime) -> None:
    """Add a change; the last statement of its transaction.

    Readers go forward by `seq`, so a change must never become visible after one with a higher
    `seq`: whoever has read the higher one would not look below it again. SQLite has one writer at
    a time, so its order is that of the commits. PostgreSQL takes the number at the insert, and a
    transaction that has taken 7 may commit after one that has taken 8. The lock lasts until the
    commit is visible, so the next number is only taken then. Numbers may be missing (a rollback
    uses one up), and nothing here relies on the opposite.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": NUMBERING_LOCK})
    connection.execute(_INSERT, {"user_id": user_id, "revision": revision, "at": at})


def last(connection: Connection) -> int:
    """Return the number of the last change, 0 if there has been none."""
    return connection.scalar(_LAST) or 0


def after(connection: Connection, seq: int) -> list[Change] | None:
    """Return the changes after `seq`, the oldest `LONGEST_PIECE` of them.

    Return None where they are not all there: `seq` itself is read too, and as the log is cut at
    its old end only, nothing after `seq` is missing as long as `seq` is there. It is missing when
    it has been cut off, and when the database is an earlier state or another one.
    """
    found = [Change(*row) for row in connection.execute(_FROM, {"first": seq})]
    if seq == 0:
        return None if found and found[0].seq > 1 else found
    if not found or found[0].seq != seq:
        return None
    return found[1:]


def prune(connection: Connection, now: dt.datetime) -> None:
    """Drop the oldest changes: those older than an hour, but for the last 1,000.

    Drops a bounded number at once, and always from the old end: the clocks of several machines
    may differ, and a hole would be a lost change.
    """
    oldest = connection.execute(_OLDEST, {"last": last(connection) - KEEP_ROWS})
    cut = 0
    for seq, at in oldest.all():
        if at >= now - KEEP_FOR:
            break
        cut = seq
    if cut:
        connection.execute(delete(LibraryChange).where(LibraryChange.seq <= cut))
