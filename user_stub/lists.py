"""One user's lists: every change and the reading of one item, in a transaction of the store."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, TypeVar

from sqlalchemy import delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from user_stub.models import Favorite, HistoryItem, WatchlistItem
from user_stub.sample import FAVORITES, WATCHLIST

WATCHED_FROM = 0.95

Item = TypeVar("Item", Favorite, WatchlistItem, HistoryItem)
Fields = Mapping[str, Any]


class Lists:
    """The lists of one user within one transaction; `changed` tells whether anything changed.

    Belongs to the thread that runs the transaction.
    """

    def __init__(self, session: Session, user_id: str, now: dt.datetime) -> None:
        self._session = session
        self._user_id = user_id
        self._now = now
        self.changed = False

    def one(self, kind: type[Item], movie_id: int) -> Item | None:
        """Return one item, None if the film is not in the list."""
        query = select(kind).where(kind.user_id == self._user_id, kind.movie_id == movie_id)
        return self._session.scalars(query).one_or_none()

    def add(self, kind: type[Item], movie_id: int, fields: Fields) -> Item | None:
        """Add a film; return None if it is there already, which its unique constraint decides."""
        values = {"genres": [], **fields, **self._new(kind, fields)}
        values |= {"user_id": self._user_id, "movie_id": movie_id}
        insert = postgresql.insert if self._is_postgresql else sqlite.insert
        statement = (
            insert(kind)
            .values(**values)
            .on_conflict_do_nothing(index_elements=["user_id", "movie_id"])
            # Without it, PostgreSQL's count is lost with the RETURNING that fetches the id.
            .execution_options(preserve_rowcount=True)
        )
        if self._session.connection().execute(statement).rowcount == 0:
            return None
        self.changed = True
        return self.one(kind, movie_id)

    def put(self, kind: type[Item], movie_id: int, fields: Fields) -> tuple[Item, bool]:
        """Add or change a film; return the item and whether it is new.

        What `fields` leaves out keeps its value. A favourite or watchlist item that is the same
        already is no change; a history item always is, since it was watched just now.
        """
        added = self.add(kind, movie_id, fields)
        if added is not None:
            return added, True
        item = self.one(kind, movie_id)
        assert item is not None, "the insert met a row of this transaction's own user"  # noqa: S101
        for name, value in {**fields, **_renewed(item, fields, self._now)}.items():
            if getattr(item, name) != value:
                setattr(item, name, value)
                self.changed = True
        self._session.flush()
        return item, False

    def remove(self, kind: type[Item], movie_id: int) -> dict[str, Any] | None:
        """Remove a film; return what was removed, None if it is not in the list."""
        item = self.one(kind, movie_id)
        if item is None:
            return None
        removed = item.as_json()
        self._session.delete(item)
        self._session.flush()
        self.changed = True
        return removed

    def clear(self) -> None:
        """Remove everything of the user."""
        for kind in (Favorite, WatchlistItem, HistoryItem):
            statement = delete(kind).where(kind.user_id == self._user_id)
            if self._session.connection().execute(statement).rowcount:
                self.changed = True

    def reset(self) -> None:
        """Replace everything of the user with the sample."""
        self.clear()
        # The last row is the newest.
        for film in reversed(FAVORITES):
            self.add(Favorite, film["movie_id"], film)
        for film in reversed(WATCHLIST):
            self.add(WatchlistItem, film["movie_id"], film)

    @property
    def _is_postgresql(self) -> bool:
        return self._session.get_bind().dialect.name == "postgresql"

    def _new(self, kind: type[Item], fields: Fields) -> Fields:
        if kind is HistoryItem:
            watched = fields["progress"] >= WATCHED_FROM
            return {"updated_date": self._now, "watched_date": self._now if watched else None}
        return {"added_date": self._now}


def _renewed(
    item: Favorite | WatchlistItem | HistoryItem, fields: Fields, now: dt.datetime
) -> Fields:
    if not isinstance(item, HistoryItem):
        return {}
    watched = fields["progress"] >= WATCHED_FROM and item.watched_date is None
    return {"updated_date": now, **({"watched_date": now} if watched else {})}
