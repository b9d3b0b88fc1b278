"""Transactions over one user's lists, whose changes are numbered and published."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from user_stub import changes, migrations
from user_stub.database import Database
from user_stub.events import EventStreams
from user_stub.idempotency import KeysInFlight
from user_stub.lists import Lists
from user_stub.models import Library
from user_stub.schemas import DEMO_USER


class Store:
    """Reads and writes of users' lists. Thread-safe; one per process, made after the fork.

    Methods raise SQLAlchemy's errors where the database cannot be reached or stays locked;
    nothing is changed then.
    """

    def __init__(self, url: str, *, busy_timeout_s: float) -> None:
        self.database = Database(url, busy_timeout_s)
        self.streams = EventStreams(self.database)
        self.keys = KeysInFlight()
        self._is_prepared = False

    def prepare(self) -> None:
        """Bring the schema up to date and add the sample; may be called more than once."""
        if self._is_prepared:
            return
        with self.database.writing() as session:
            migrations.upgrade(session.connection())
            # No user has ever had a row: the database is new. A cleared one still has rows.
            if session.scalars(select(Library).limit(1)).first() is None:
                lists = _locked(session, DEMO_USER)
                lists.reset()
                _number(session, lists)
        self._is_prepared = True

    def close(self) -> None:
        """End the event streams and close idle connections."""
        self.streams.close()
        self.database.close()

    @contextmanager
    def reading(self, user_id: str) -> Iterator[Lists]:
        """Yield the user's lists and revision, from one snapshot."""
        self.prepare()
        with self.database.reading() as session:
            library = session.get(Library, user_id) or Library(user_id=user_id, revision=0)
            yield Lists(session, library)

    @contextmanager
    def writing(self, user_id: str) -> Iterator[Lists]:
        """Yield the user's lists, to be changed: all is committed at the end, or nothing."""
        self.prepare()
        with self.database.writing() as session:
            lists = _locked(session, user_id)
            yield lists
            _number(session, lists)
        if lists.changed:
            self.streams.wake()


def _locked(session: Session, user_id: str) -> Lists:
    """Return the user's lists, holding the row that the writes of one user queue at."""
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    session.execute(insert(Library).values(user_id=user_id, revision=0).on_conflict_do_nothing())
    return Lists(session, session.get_one(Library, user_id, with_for_update=True))


def _number(session: Session, lists: Lists) -> None:
    """Give the change its revision, and its place in the log, if there was one."""
    if lists.changed:
        lists.library.revision += 1
        changes.append(session, lists.library)
