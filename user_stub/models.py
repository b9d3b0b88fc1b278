"""The tables."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Date,
    DateTime,
    Dialect,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

USER_ID_LENGTH = 128
KEY_LENGTH = 255
TITLE_LENGTH = 500
POSTER_PATH_LENGTH = 200

# SQLite numbers rows by itself only for a column of exactly this type.
RowId = BigInteger().with_variant(Integer, "sqlite")


class UtcDateTime(TypeDecorator[dt.datetime]):
    """A point in time, always aware and in UTC; SQLite itself keeps no time zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: dt.datetime | None, dialect: Dialect) -> dt.datetime | None:
        """Turn an aware time into UTC."""
        return None if value is None else value.astimezone(dt.UTC)

    def process_result_value(
        self, value: dt.datetime | None, dialect: Dialect
    ) -> dt.datetime | None:
        """Return UTC: SQLite leaves it out, PostgreSQL answers in the session's time zone."""
        if value is None:
            return None
        return value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value.astimezone(dt.UTC)


def utc_text(time: dt.datetime | None) -> str | None:
    """Return a time as in `2026-11-24T17:30:00Z`."""
    return None if time is None else time.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Base(DeclarativeBase):
    """Common base; the names of constraints are fixed so that migrations can refer to them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class FilmColumns:
    """The columns of a film in any of the lists."""

    id: Mapped[int] = mapped_column(RowId, primary_key=True, autoincrement=True)
    user_id: Mapped[str] = mapped_column(String(USER_ID_LENGTH))
    movie_id: Mapped[int] = mapped_column(Integer)
    title: Mapped[str | None] = mapped_column(String(TITLE_LENGTH))
    poster_path: Mapped[str | None] = mapped_column(String(POSTER_PATH_LENGTH))
    release_date: Mapped[dt.date | None] = mapped_column(Date)
    genres: Mapped[list[dict[str, Any]]] = mapped_column(JSON, default=list)

    def film(self) -> dict[str, Any]:
        """Return the film's part of the JSON item."""
        return {
            "movie_id": self.movie_id,
            "title": self.title,
            "poster_path": self.poster_path,
            "release_date": self.release_date.isoformat() if self.release_date else None,
            "genres": self.genres,
        }


class Favorite(FilmColumns, Base):
    """A film that a user likes, perhaps with a rating from 1 to 5."""

    __tablename__ = "favorites"
    __table_args__ = (UniqueConstraint("user_id", "movie_id"),)

    rating: Mapped[int | None] = mapped_column(Integer)
    added_date: Mapped[dt.datetime] = mapped_column(UtcDateTime)

    def as_json(self) -> dict[str, Any]:
        """Return the JSON item."""
        return {**self.film(), "rating": self.rating, "added_date": utc_text(self.added_date)}


class WatchlistItem(FilmColumns, Base):
    """A film that a user wants to see."""

    __tablename__ = "watchlist"
    __table_args__ = (UniqueConstraint("user_id", "movie_id"),)

    added_date: Mapped[dt.datetime] = mapped_column(UtcDateTime)

    def as_json(self) -> dict[str, Any]:
        """Return the JSON item."""
        return {**self.film(), "added_date": utc_text(self.added_date)}


class HistoryItem(FilmColumns, Base):
    """How far a user has watched a film, from 0 to 1."""

    __tablename__ = "history"
    __table_args__ = (UniqueConstraint("user_id", "movie_id"),)

    progress: Mapped[float]
    watched_date: Mapped[dt.datetime | None] = mapped_column(UtcDateTime)
    updated_date: Mapped[dt.datetime] = mapped_column(UtcDateTime)

    def as_json(self) -> dict[str, Any]:
        """Return the JSON item."""
        return {
            **self.film(),
            "progress": self.progress,
            "watched_date": utc_text(self.watched_date),
            "updated_date": utc_text(self.updated_date),
        }


class Library(Base):
    """One row per user: the number of the user's last change. The row outlives the user's data.

    It is also the lock that the writes of one user queue at.
    """

    __tablename__ = "libraries"

    user_id: Mapped[str] = mapped_column(String(USER_ID_LENGTH), primary_key=True)
    revision: Mapped[int] = mapped_column(BigInteger)


class LibraryChange(Base):
    """The log of changes: one row per rise of a revision, see `user_stub.changes`."""

    __tablename__ = "changes"
    # A number that was used is never used again, not even after a row was dropped.
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012

    seq: Mapped[int] = mapped_column(RowId, primary_key=True, autoincrement=True)
    user_id: Mapped[str] = mapped_column(String(USER_ID_LENGTH))
    revision: Mapped[int] = mapped_column(BigInteger)
    at: Mapped[dt.datetime] = mapped_column(UtcDateTime)


class IdempotencyRecord(Base):
    """The result of a request that carried an idempotency key."""

    __tablename__ = "idempotency_records"
    __table_args__ = (Index(None, "created_date"),)

    user_id: Mapped[str] = mapped_column(String(USER_ID_LENGTH), primary_key=True)
    key: Mapped[str] = mapped_column(String(KEY_LENGTH), primary_key=True)
    request_hash: Mapped[str] = mapped_column(String(64))
    status: Mapped[int] = mapped_column(Integer)
    body: Mapped[str] = mapped_column(Text)
    location: Mapped[str | None] = mapped_column(String(200))
    created_date: Mapped[dt.datetime] = mapped_column(UtcDateTime)
