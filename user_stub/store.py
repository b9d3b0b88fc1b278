"""Transactions on a user's lists; each change gets a revision and a place in the log."""

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
    """Reads and writes users' lists. Thread-safe; one per process, created after the fork.

    Methods raise SQLAlchemy's errors if the database is unreachable or stays locked; nothing has
    changed then.
    """

    def __init__(self, url: str, *, busy_timeout_s: float) -> None:
        self.database = Database(url, busy_timeout_s)
        self.streams = EventStreams(self.database)
        self.keys = KeysInFlight()
        self._is_prepared = False

    def prepare(self) -> None:
        """Migrate the schema and add the sample to a new database. Idempotent."""
        if self._is_prepared:
            return
        with self.database.writing() as session:
            migrations.upgrade(session.connection())
            # Without a single row the database is new; clearing a library keeps its row.
            if session.scalars(select(Library).limit(1)).first() is None:
                lists = _locked(session, DEMO_USER)
                lists.reset()
                _publish(session, lists)
        self._is_prepared = True

    def close(self) -> None:
        """End the event streams and close the connections."""
        self.streams.close()
        self.database.close()

    @contextmanager
    def reading(self, user_id: str) -> Iterator[Lists]:
        """Yield the user's lists, all read from one snapshot."""
        self.prepare()
        with self.database.reading() as session:
            library = session.get(Library, user_id) or Library(user_id=user_id, revision=0)
            yield Lists(session, library)

    @contextmanager
    def writing(self, user_id: str) -> Iterator[Lists]:
        """Yield the user's lists for changes, which commit together when the block ends."""
        self.prepare()
        with self.database.writing() as session:
            lists = _locked(session, user_id)
            yield lists
            _publish(session, lists)
        if lists.changed:
            self.streams.wake()


def _locked(session: Session, user_id: str) -> Lists:
    """Return the user's lists with the user's row locked, so that a user's writes queue."""
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    session.execute(insert(Library).values(user_id=user_id, revision=0).on_conflict_do_nothing())
    return Lists(session, session.get_one(Library, user_id, with_for_update=True))


def _publish(session: Session, lists: Lists) -> None:
    """If the lists have changed, raise the revision and append it to the log."""
    if lists.changed:
        lists.library.revision += 1
        changes.append(session, lists.library)
