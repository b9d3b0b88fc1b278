"""Whole lists as they are answered, read with their revision in one statement.

These are the calls of every page of a frontend. They do without the mapped classes of
`user_stub.models`, whose loading and change tracking would be most of their cost, and without a
transaction: one statement sees one snapshot.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import orjson
from sqlalchemy import (
    ColumnElement,
    Connection,
    DateTime,
    Float,
    Integer,
    Select,
    Text,
    bindparam,
    cast,
    literal,
    null,
    select,
    true,
    type_coerce,
    union_all,
)

from user_stub.models import Favorite, HistoryItem, Library, WatchlistItem

Item = dict[str, Any]
Kind = type[Favorite] | type[WatchlistItem] | type[HistoryItem]

Columns = Sequence[Any]
# `orjson` takes a time without a zone, as SQLite's are, for UTC: nothing has to be converted.
TIME = DateTime(timezone=True)
# Times as `utc_text` of `user_stub.models` writes them.
JSON_OPTIONS = orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z | orjson.OPT_OMIT_MICROSECONDS

KINDS: tuple[Kind, ...] = (Favorite, WatchlistItem, HistoryItem)


def read(
    connection: Connection, user_id: str, kinds: tuple[Kind, ...]
) -> tuple[dict[str, list[Item]], int]:
    """Return the lists by their names, newest first, and the user's revision.

    Values are dates, times and fragments of JSON, for `orjson` with `JSON_OPTIONS`.
    """
    lists: dict[str, list[Item]] = {kind.__tablename__: [] for kind in kinds}
    revision = 0
    for row in connection.execute(_statement(kinds), {"user_id": user_id}).all():
        revision = row[0]
        name = row[1]
        if name is not None:  # a user with a revision and no film has one row without an item
            lists[name].append(_SHAPES[name](row))
    return lists, revision


@cache
def _statement(kinds: tuple[Kind, ...]) -> Select[Any]:
    branches = [_branch(kind) for kind in kinds]
    # A subquery of one branch stays one: the database sees through it.
    items = (union_all(*branches) if len(branches) > 1 else branches[0]).subquery("items")
    return (
        select(Library.revision, *items.c)
        .select_from(Library)
        .outerjoin(items, true())
        .where(Library.user_id == bindparam("user_id"))
        .order_by(items.c.changed_date.desc(), items.c.id.desc())
    )


def _branch(kind: Kind) -> Select[Any]:
    """Select the items of a list with the columns of all, in the order that `_SHAPES` knows."""
    rating: ColumnElement[Any] = cast(null(), Integer)
    progress: ColumnElement[Any] = cast(null(), Float)
    watched: ColumnElement[Any] = cast(null(), TIME)
    if issubclass(kind, HistoryItem):
        progress = type_coerce(kind.progress, Float)
        watched = type_coerce(kind.watched_date, TIME)
        changed = type_coerce(kind.updated_date, TIME)
    else:
        changed = type_coerce(kind.added_date, TIME)
    if issubclass(kind, Favorite):
        rating = type_coerce(kind.rating, Integer)
    return select(
        literal(kind.__tablename__).label("list"),
        kind.id,
        kind.movie_id,
        kind.title,
        kind.poster_path,
        kind.release_date,
        # Passed on as it is kept, so that it need not be decoded and encoded again.
        cast(kind.genres, Text).label("genres"),
        rating.label("rating"),
        progress.label("progress"),
        watched.label("watched_date"),
        changed.label("changed_date"),
    ).where(kind.user_id == bindparam("user_id"))


def _film(row: Columns) -> Item:
    return {
        "movie_id": row[3],
        "title": row[4],
        "poster_path": row[5],
        "release_date": row[6],
        "genres": orjson.Fragment(row[7]),
    }


def _favorite(row: Columns) -> Item:
    item = _film(row)
    item["rating"] = row[8]
    item["added_date"] = row[11]
    return item


def _watchlist_item(row: Columns) -> Item:
    item = _film(row)
    item["added_date"] = row[11]
    return item


def _history_item(row: Columns) -> Item:
    item = _film(row)
    item["progress"] = row[9]
    item["watched_date"] = row[10]
    item["updated_date"] = row[11]
    return item


_SHAPES: dict[str, Callable[[Columns], Item]] = {
    Favorite.__tablename__: _favorite,
    WatchlistItem.__tablename__: _watchlist_item,
    HistoryItem.__tablename__: _history_item,
}
