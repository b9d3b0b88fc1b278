"""Reading and changing one user's lists within a transaction."""

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
    """One user's lists. Not thread-safe; lives as long as the transaction.

    `library` is the user's row, locked in a transaction that writes. `changed` says whether
    anything has changed. `session` is for rows that must commit together with the lists.
    """

    def __init__(self, session: Session, library: Library) -> None:
        self.session = session
        self.library = library
        self.changed = False

    def all(self, kind: type[Item]) -> Sequence[Item]:
        """Return all films of a list, the latest first."""
        latest = kind.updated_date if issubclass(kind, HistoryItem) else kind.added_date
        query = select(kind).where(kind.user_id == self.library.user_id)
        return self.session.scalars(query.order_by(latest.desc(), kind.id.desc())).all()

    def get(self, kind: type[Item], movie_id: int) -> Item:
        """Return a film; raise `NotFound` if it is not in the list."""
        item = self._find(kind, movie_id)
        if item is None:
            raise NotFound(f"film {movie_id} is not in the list")
        return item

    def add(self, kind: type[Item], movie_id: int, fields: Fields) -> Item:
        """Add a film; raise `Conflict` if it is in the list already.

        Checking first is safe, because the user's row is locked.
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

        A film that is changed keeps what `fields` leaves out. Raise `PreconditionFailed` if
        `if_match` is given and the film is new, or `if_none_match` and it is not.
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
        """Remove a film and return it; raise `NotFound` if it is not in the list."""
        item = self.get(kind, movie_id)
        self.session.delete(item)
        self.changed = True
        return item

    def clear(self) -> None:
        """Remove all films."""
        everything = (*self.all(Favorite), *self.all(WatchlistItem), *self.all(HistoryItem))
        for item in everything:
            self.session.delete(item)
            self.changed = True
        self.session.flush()

    def reset(self) -> None:
        """Replace all films with the sample."""
        self.clear()
        # The film that is added last is listed first.
        for film in reversed(FAVORITES):
            self.add(Favorite, film["movie_id"], film)
        for film in reversed(WATCHLIST):
            self.add(WatchlistItem, film["movie_id"], film)

    def _find(self, kind: type[Item], movie_id: int) -> Item | None:
        query = select(kind).where(kind.user_id == self.library.user_id, kind.movie_id == movie_id)
        return self.session.scalars(query).one_or_none()
