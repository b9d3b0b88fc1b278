"""The tables."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, ClassVar

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

USER_ID_LENGTH = 128
KEY_LENGTH = 255
TITLE_LENGTH = 500
POSTER_PATH_LENGTH = 200
WATCHED_THRESHOLD = 0.95

# SQLite autoincrements only columns of type INTEGER.
RowId = sa.BigInteger().with_variant(sa.Integer, "sqlite")


class UtcDateTime(sa.TypeDecorator[dt.datetime]):
    """An aware time in UTC; SQLite itself stores no time zone."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: dt.datetime | None, _dialect: Any) -> dt.datetime | None:
        """Convert an aware time to UTC."""
        return value and value.astimezone(dt.UTC)

    def process_result_value(self, value: dt.datetime | None, _dialect: Any) -> dt.datetime | None:
        """Add the zone, which SQLite does not store; PostgreSQL's sessions use UTC."""
        return value and value.replace(tzinfo=dt.UTC)


def utc_now() -> dt.datetime:
    """Return the current time, aware."""
    return dt.datetime.now(dt.UTC)


class Base(DeclarativeBase):
    """The declarative base; constraint names are fixed, so that migrations can use them."""

    type_annotation_map: ClassVar[dict[Any, Any]] = {
        dt.datetime: UtcDateTime,
        list[dict[str, Any]]: sa.JSON,
    }
    metadata = sa.MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class ListedFilm:
    """The columns that a film has in every list."""

    id: Mapped[int] = mapped_column(RowId, primary_key=True, autoincrement=True)
    user_id: Mapped[str] = mapped_column(sa.String(USER_ID_LENGTH))
    movie_id: Mapped[int]
    title: Mapped[str | None] = mapped_column(sa.String(TITLE_LENGTH))
    poster_path: Mapped[str | None] = mapped_column(sa.String(POSTER_PATH_LENGTH))
    release_date: Mapped[dt.date | None]
    genres: Mapped[list[dict[str, Any]]] = mapped_column(default=list)

    def change(self, fields: Mapping[str, Any]) -> None:
        """Set the given fields."""
        for name, value in fields.items():
            setattr(self, name, value)


class Favorite(ListedFilm, Base):
    """A film that a user likes, with an optional rating from 1 to 5."""

    __tablename__ = "favorites"
    __table_args__ = (sa.UniqueConstraint("user_id", "movie_id"),)

    rating: Mapped[int | None]
    added_date: Mapped[dt.datetime] = mapped_column(default=utc_now)


class WatchlistItem(ListedFilm, Base):
    """A film that a user wants to see."""

    __tablename__ = "watchlist"
    __table_args__ = (sa.UniqueConstraint("user_id", "movie_id"),)

    added_date: Mapped[dt.datetime] = mapped_column(default=utc_now)


class HistoryItem(ListedFilm, Base):
    """How far a user has watched a film, from 0 to 1."""

    __tablename__ = "history"
    __table_args__ = (sa.UniqueConstraint("user_id", "movie_id"),)

    progress: Mapped[float]
    watched_date: Mapped[dt.datetime | None]
    updated_date: Mapped[dt.datetime]

    def change(self, fields: Mapping[str, Any]) -> None:
        """Set the given fields and the dates: the film is being watched now."""
        super().change(fields)
        self.updated_date = utc_now()
        if self.progress >= WATCHED_THRESHOLD and self.watched_date is None:
            self.watched_date = self.updated_date


class Library(Base):
    """One row per user with the number of the last change; it stays when the lists are cleared.

    Writes lock it, so that a user's writes queue.
    """

    __tablename__ = "libraries"

    user_id: Mapped[str] = mapped_column(sa.String(USER_ID_LENGTH), primary_key=True)
    revision: Mapped[int] = mapped_column(sa.BigInteger)


class LibraryChange(Base):
    """The log of changes, one row for each revision; see `user_stub.changes`."""

    __tablename__ = "changes"
    # Numbers are never reused, even after rows were dropped.
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012

    seq: Mapped[int] = mapped_column(RowId, primary_key=True, autoincrement=True)
    user_id: Mapped[str] = mapped_column(sa.String(USER_ID_LENGTH))
    revision: Mapped[int] = mapped_column(sa.BigInteger)
    at: Mapped[dt.datetime] = mapped_column(default=utc_now)


class IdempotencyRecord(Base):
    """The response to a request with an idempotency key; for errors, the body is the detail."""

    __tablename__ = "idempotency_records"
    __table_args__ = (sa.Index(None, "created_date"),)

    user_id: Mapped[str] = mapped_column(sa.String(USER_ID_LENGTH), primary_key=True)
    key: Mapped[str] = mapped_column(sa.String(KEY_LENGTH), primary_key=True)
    request_hash: Mapped[str] = mapped_column(sa.String(64))
    status: Mapped[int]
    body: Mapped[str] = mapped_column(sa.Text)
    location: Mapped[str | None] = mapped_column(sa.String(200))
    created_date: Mapped[dt.datetime] = mapped_column(default=utc_now)
