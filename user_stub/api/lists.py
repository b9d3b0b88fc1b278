"""A user's library: favourites, watchlist and watch history."""

from __future__ import annotations

import re
from typing import Any

from flask import request

from user_stub import schemas
from user_stub.api.blueprint import JsonBlueprint
from user_stub.api.transactions import reads, writes
from user_stub.errors import Invalid
from user_stub.lists import Lists
from user_stub.models import Favorite, HistoryItem, WatchlistItem

blp = JsonBlueprint("lists", __name__, description="Favourites, watchlist and history")

Body = dict[str, Any]
Saved = tuple[Body, int, dict[str, str]]

MOVIE_ID = {
    "in": "path",
    "name": "movie_id",
    "description": "TMDB's id of the film.",
    "schema": {"type": "integer", "minimum": 1, "maximum": schemas.MAX_MOVIE_ID},
}
READ = {
    "X-Library-Revision": {
        "description": "The number of the user's last change.",
        "schema": {"type": "integer", "minimum": 0},
    }
}
CHANGED = READ | {
    "Idempotency-Replayed": {
        "description": "`true` if this is the response to an earlier request.",
        "schema": {"type": "string", "enum": ["true"]},
    }
}
CREATED = CHANGED | {
    "Location": {"description": "The item's address.", "schema": {"type": "string"}}
}


@blp.before_request
def read_movie_id() -> None:
    """Convert the id in the path to a number; raise 422 if it is invalid."""
    path = request.view_args or {}
    text = path.get("movie_id")
    if text is None:
        return
    if not re.fullmatch(r"[1-9][0-9]{0,9}", text) or int(text) > schemas.MAX_MOVIE_ID:
        raise Invalid({"movie_id": [f"Must be an integer from 1 to {schemas.MAX_MOVIE_ID}."]})
    path["movie_id"] = int(text)


@blp.route("/library")
@blp.arguments(schemas.ReadHeadersSchema, location="headers")
@blp.response(200, schemas.LibrarySchema, headers=READ)
@blp.problems(401)
@reads
def read_library(lists: Lists) -> Body:
    """Return all lists of the user and the revision, from one snapshot."""
    return {
        "favorites": lists.all(Favorite),
        "watchlist": lists.all(WatchlistItem),
        "history": lists.all(HistoryItem),
        "revision": lists.library.revision,
    }


@blp.route("/favorites")
@blp.arguments(schemas.ReadHeadersSchema, location="headers")
@blp.response(200, schemas.FavoritesSchema, headers=READ)
@blp.problems(401)
@reads
def read_favorites(lists: Lists) -> Body:
    """Return the favourites, newest first."""
    favorites = lists.all(Favorite)
    return {"favorites": favorites, "total": len(favorites)}


@blp.route("/favorites", methods=["POST"])
@blp.arguments(schemas.WriteHeadersSchema, location="headers")
@blp.arguments(schemas.NewFavoriteSchema)
@writes
@blp.response(201, schemas.SavedFavoriteSchema, headers=CREATED)
@blp.problems(400, 401, 409, 413, 415)
def add_favorite(lists: Lists, film: Body) -> Saved:
    """Add a favourite."""
    return _saved(lists.add(Favorite, film["movie_id"], film), is_new=True)


@blp.route("/favorites/<movie_id>", parameters=[MOVIE_ID])
@blp.arguments(schemas.ReadHeadersSchema, location="headers")
@blp.response(200, schemas.FavoriteSchema, headers=READ)
@blp.problems(401, 404)
@reads
def read_favorite(lists: Lists, movie_id: int) -> Favorite:
    """Return one favourite."""
    return lists.get(Favorite, movie_id)


@blp.route("/favorites/<movie_id>", methods=["PUT"], parameters=[MOVIE_ID])
@blp.arguments(schemas.WriteHeadersSchema, location="headers")
@blp.arguments(schemas.ConditionHeadersSchema, location="headers")
@blp.arguments(schemas.FavoriteChangeSchema)
@writes
@blp.response(200, schemas.SavedFavoriteSchema, headers=CHANGED)
@blp.alt_response(201, schema=schemas.SavedFavoriteSchema, headers=CREATED, success=True)
@blp.problems(400, 401, 409, 412, 413, 415)
def put_favorite(lists: Lists, condition: Body, film: Body, movie_id: int) -> Saved:
    """Add or change a favourite; fields that the body leaves out keep their value."""
    return _saved(*lists.put(Favorite, movie_id, film, **condition))


@blp.route("/favorites/<movie_id>", methods=["DELETE"], parameters=[MOVIE_ID])
@blp.arguments(schemas.WriteHeadersSchema, location="headers")
@writes
@blp.response(200, schemas.RemovedFavoriteSchema, headers=CHANGED)
@blp.problems(401, 404, 409, 413)
def remove_favorite(lists: Lists, movie_id: int) -> Body:
    """Remove a favourite."""
    return {"message": "removed", "removed": lists.remove(Favorite, movie_id)}


@blp.route("/watchlist")
@blp.arguments(schemas.ReadHeadersSchema, location="headers")
@blp.response(200, schemas.WatchlistSchema, headers=READ)
@blp.problems(401)
@reads
def read_watchlist(lists: Lists) -> Body:
    """Return the watchlist, newest first."""
    watchlist = lists.all(WatchlistItem)
    return {"watchlist": watchlist, "total": len(watchlist)}


@blp.route("/watchlist", methods=["POST"])
@blp.arguments(schemas.WriteHeadersSchema, location="headers")
@blp.arguments(schemas.NewWatchlistItemSchema)
@writes
@blp.response(201, schemas.SavedWatchlistItemSchema, headers=CREATED)
@blp.problems(400, 401, 409, 413, 415)
def add_watchlist_item(lists: Lists, film: Body) -> Saved:
    """Add a film to the watchlist."""
    return _saved(lists.add(WatchlistItem, film["movie_id"], film), is_new=True)


@blp.route("/watchlist/<movie_id>", parameters=[MOVIE_ID])
@blp.arguments(schemas.ReadHeadersSchema, location="headers")
@blp.response(200, schemas.WatchlistItemSchema, headers=READ)
@blp.problems(401, 404)
@reads
def read_watchlist_item(lists: Lists, movie_id: int) -> WatchlistItem:
    """Return one item of the watchlist."""
    return lists.get(WatchlistItem, movie_id)


@blp.route("/watchlist/<movie_id>", methods=["PUT"], parameters=[MOVIE_ID])
@blp.arguments(schemas.WriteHeadersSchema, location="headers")
@blp.arguments(schemas.ConditionHeadersSchema, location="headers")
@blp.arguments(schemas.FilmChangeSchema)
@writes
@blp.response(200, schemas.SavedWatchlistItemSchema, headers=CHANGED)
@blp.alt_response(201, schema=schemas.SavedWatchlistItemSchema, headers=CREATED, success=True)
@blp.problems(400, 401, 409, 412, 413, 415)
def put_watchlist_item(lists: Lists, condition: Body, film: Body, movie_id: int) -> Saved:
    """Add or change a watchlist item; fields that the body leaves out keep their value."""
    return _saved(*lists.put(WatchlistItem, movie_id, film, **condition))


@blp.route("/watchlist/<movie_id>", methods=["DELETE"], parameters=[MOVIE_ID])
@blp.arguments(schemas.WriteHeadersSchema, location="headers")
@writes
@blp.response(200, schemas.RemovedWatchlistItemSchema, headers=CHANGED)
@blp.problems(401, 404, 409, 413)
def remove_watchlist_item(lists: Lists, movie_id: int) -> Body:
    """Remove a film from the watchlist."""
    return {"message": "removed", "removed": lists.remove(WatchlistItem, movie_id)}


@blp.route("/history")
@blp.arguments(schemas.ReadHeadersSchema, location="headers")
@blp.response(200, schemas.HistorySchema, headers=READ)
@blp.problems(401)
@reads
def read_history(lists: Lists) -> Body:
    """Return the watch history, latest first."""
    history = lists.all(HistoryItem)
    return {"history": history, "total": len(history)}


@blp.route("/history/<movie_id>", parameters=[MOVIE_ID])
@blp.arguments(schemas.ReadHeadersSchema, location="headers")
@blp.response(200, schemas.HistoryItemSchema, headers=READ)
@blp.problems(401, 404)
@reads
def read_history_item(lists: Lists, movie_id: int) -> HistoryItem:
    """Return one item of the watch history."""
    return lists.get(HistoryItem, movie_id)


@blp.route("/history/<movie_id>", methods=["PUT"], parameters=[MOVIE_ID])
@blp.arguments(schemas.WriteHeadersSchema, location="headers")
@blp.arguments(schemas.ConditionHeadersSchema, location="headers")
@blp.arguments(schemas.HistoryChangeSchema)
@writes
@blp.response(200, schemas.SavedHistoryItemSchema, headers=CHANGED)
@blp.alt_response(201, schema=schemas.SavedHistoryItemSchema, headers=CREATED, success=True)
@blp.problems(400, 401, 409, 412, 413, 415)
def put_history_item(lists: Lists, condition: Body, film: Body, movie_id: int) -> Saved:
    """Set the progress of a film, which counts as watched from 0.95 on."""
    return _saved(*lists.put(HistoryItem, movie_id, film, **condition))


@blp.route("/history/<movie_id>", methods=["DELETE"], parameters=[MOVIE_ID])
@blp.arguments(schemas.WriteHeadersSchema, location="headers")
@writes
@blp.response(200, schemas.RemovedHistoryItemSchema, headers=CHANGED)
@blp.problems(401, 404, 409, 413)
def remove_history_item(lists: Lists, movie_id: int) -> Body:
    """Remove a film from the watch history."""
    return {"message": "removed", "removed": lists.remove(HistoryItem, movie_id)}


@blp.route("/reset", methods=["POST"])
@blp.arguments(schemas.WriteHeadersSchema, location="headers")
@writes
@blp.response(200, schemas.MessageSchema, headers=CHANGED)
@blp.problems(401, 409, 413)
def reset(lists: Lists) -> Body:
    """Replace all data of the user with the sample."""
    lists.reset()
    return {"message": "the sample data is back"}


@blp.route("/clear", methods=["DELETE"])
@blp.arguments(schemas.WriteHeadersSchema, location="headers")
@writes
@blp.response(200, schemas.MessageSchema, headers=CHANGED)
@blp.problems(401, 409, 413)
def clear(lists: Lists) -> Body:
    """Remove all data of the user."""
    lists.clear()
    return {"message": "all data removed"}


def _saved(item: Favorite | WatchlistItem | HistoryItem, is_new: bool) -> Saved:
    name = {Favorite: "favorite", WatchlistItem: "watchlist_item", HistoryItem: "history_item"}
    body = {name[type(item)]: item}
    if not is_new:
        return body | {"message": "changed"}, 200, {}
    address = f"/{item.__tablename__}/{item.movie_id}"
    return body | {"message": "added"}, 201, {"Location": address}
