"""One user's lists within a transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.exceptions import Conflict, NotFound, PreconditionFailed

from user_stub.models import Favorite, HistoryItem, Library, WatchlistItem
from user_stub.sample import FAVORITES, WATCHLIST

Item = TypeVar("Item", Favorite, WatchlistItem, HistoryItem)
Fields = Mapping[str, Any]


class Lists:
    """The lists of one user; belongs to the thread that runs the transaction.

    `library` is the user's row, locked where the transaction writes; `changed` says whether
    anything has changed; `session` is for what has to commit with it.
    """

    def __init__(self, session: Session, library: Library) -> None:
        self.session = session
        self.library = library
        self.changed = False

    def all(self, kind: type[Item]) -> Sequence[Item]:
        """Return a list, what was added or watched last first."""
        latest = kind.updated_date if issubclass(kind, HistoryItem) else kind.added_date
        query = select(kind).where(kind.user_id == self.library.user_id)
        return self.session.scalars(query.order_by(latest.desc(), kind.id.desc())).all()

    def get(self, kind: type[Item], movie_id: int) -> Item:
        """Return one film; raise `NotFound`."""
        item = self._find(kind, movie_id)
        if item is None:
            raise NotFound(f"film {movie_id} is not in the list")
        return item

    def add(self, kind: type[Item], movie_id: int, fields: Fields) -> Item:
        """Add a film; raise `Conflict`.

        The lock on the user's row makes looking before adding safe.
        """
        if self._find(kind, movie_id) is not None:
            raise Conflict(f"film {movie_id} is in the list already")
        item = kind(user_id=self.library.user_id, movie_id=movie_id)
        item.change(fields)
        self.session.add(item)
        self.session.flush()
        self.changed = True
        return item

    def put(
        self,
        kind: type[Item],
        movie_id: int,
        fields: Fields,
        if_match: str = "",
        if_none_match: str = "",
    ) -> tuple[Item, bool]:
        """Add or change a film; return it and whether it is new.

        What `fields` leaves out keeps its value. `if_match` allows a change only,
        `if_none_match` an addition only; raise `PreconditionFailed` otherwise.
        """
        item = self._find(kind, movie_id)
        if item is None:
            if if_match:
                raise PreconditionFailed(f"film {movie_id} is not in the list")
            return self.add(kind, movie_id, fields), True
        if if_none_match:
            raise PreconditionFailed(f"film {movie_id} is in the list already")
        item.change(fields)
        self.changed |= self.session.is_modified(item)
        return item, False

    def remove(self, kind: type[Item], movie_id: int) -> Item:
        """Remove a film and return it; raise `NotFound`."""
        item = self.get(kind, movie_id)
        self.session.delete(item)
        self.changed = True
        return item

    def clear(self) -> None:
        """Remove everything of the user."""
        everything = (*self.all(Favorite), *self.all(WatchlistItem), *self.all(HistoryItem))
        for item in everything:
            self.session.delete(item)
            self.changed = True
        self.session.flush()

    def reset(self) -> None:
        """Replace everything of the user with the sample."""
        self.clear()
        # What is added last is shown first.
        for film in reversed(FAVORITES):
            self.add(Favorite, film["movie_id"], film)
        for film in reversed(WATCHLIST):
            self.add(WatchlistItem, film["movie_id"], film)

    def _find(self, kind: type[Item], movie_id: int) -> Item | None:
        query = select(kind).where(kind.user_id == self.library.user_id, kind.movie_id == movie_id)
        return self.session.scalars(query).one_or_none()
