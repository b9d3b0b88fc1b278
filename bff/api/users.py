"""A user's favourites, watchlist and history, through the user service."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import uuid4

import orjson
from flask import Response

from bff.api import encode, identity
from bff.api.blueprint import Blueprint, refuse_query
from bff.api.services import services
from bff.errors import AlreadyThere, NotFound
from bff.model import Intent
from bff.pages.library import entry, find, given
from bff.schemas import bodies, library

Json = dict[str, Any]
Headers = Mapping[str, str]
COOKIE_S = 10  # by then every worker has heard of a write from the stream of changes
ITEMS = {"favorites": "favorite", "watchlist": "watchlist_item", "history": "history_item"}
SENT = {
    "X-Library-Revision": {
        "schema": {"type": "integer", "minimum": 0},
        "description": "Revision of the user's library after the write; pass it to reads.",
    }
}
LOCATION = {"Location": {"schema": {"type": "string"}, "description": "The new entry."}}

blp = Blueprint("Users", __name__, url_prefix="/api/users")
identity.guard(blp)
blp.before_request(refuse_query)
repeatable = partial(blp.arguments, bodies.IdempotencySchema, location="headers")
added = partial(blp.alt_response, 201, description="The film was added.", success=True)


@blp.get("/favorites")
@blp.doc(operationId="listFavorites")
@blp.response(200, library.FavoritesSchema)
def list_favorites() -> Response:
    """List the user's favorites"""
    return _list("favorites")


@blp.post("/favorites")
@blp.doc(operationId="addFavorite")
@repeatable()
@blp.arguments(bodies.FavoriteEntrySchema)
@blp.response(201, library.FavoriteWrittenSchema, headers={**LOCATION, **SENT})
def add_favorite(headers: Headers, body: Json) -> Response:
    """Add a film to the user's favorites

    What the body omits (title, poster, release date, genres) comes from TMDB; a film that
    TMDB does not know is 404. One that is there already is 409; PUT changes it.
    """
    return _add("favorites", headers, body)


@blp.get("/favorites/<tmdb_id:movie_id>")
@blp.doc(operationId="getFavorite")
@blp.response(200, library.FavoriteSchema)
def get_favorite(movie_id: int) -> Response:
    """Get a film of the user's favorites"""
    return _get("favorites", movie_id)


@blp.put("/favorites/<tmdb_id:movie_id>")
@blp.doc(operationId="setFavorite")
@repeatable()
@blp.arguments(bodies.FavoriteChangeSchema)
@blp.response(200, library.FavoriteWrittenSchema, headers=SENT)
@added(schema=library.FavoriteWrittenSchema)
def set_favorite(headers: Headers, body: Json, movie_id: int) -> Response:
    """Set or change a film of the user's favorites

    Setting the same twice changes nothing. An entry that is there keeps what the body omits,
    and TMDB is not asked. A new one is completed from TMDB; a film that TMDB does not know
    is 404. 201: it is new; 200: it was there.
    """
    return _set("favorites", headers, body, movie_id)


@blp.delete("/favorites/<tmdb_id:movie_id>")
@blp.doc(operationId="removeFavorite")
@repeatable()
@blp.response(200, library.FavoriteRemovedSchema, headers=SENT)
def remove_favorite(headers: Headers, movie_id: int) -> Response:
    """Remove a film from the user's favorites"""
    return _remove("favorites", headers, movie_id)


@blp.get("/watchlist")
@blp.doc(operationId="listWatchlist")
@blp.response(200, library.WatchlistSchema)
def list_watchlist() -> Response:
    """List the user's watchlist"""
    return _list("watchlist")


@blp.post("/watchlist")
@blp.doc(operationId="addToWatchlist")
@repeatable()
@blp.arguments(bodies.WatchlistEntrySchema)
@blp.response(201, library.WatchlistItemWrittenSchema, headers={**LOCATION, **SENT})
def add_to_watchlist(headers: Headers, body: Json) -> Response:
    """Add a film to the user's watchlist

    As for the favorites: TMDB completes what the body omits; 409 where it is there already.
    """
    return _add("watchlist", headers, body)


@blp.get("/watchlist/<tmdb_id:movie_id>")
@blp.doc(operationId="getWatchlistItem")
@blp.response(200, library.WatchlistItemSchema)
def get_watchlist_item(movie_id: int) -> Response:
    """Get a film of the user's watchlist"""
    return _get("watchlist", movie_id)


@blp.put("/watchlist/<tmdb_id:movie_id>")
@blp.doc(operationId="setWatchlistItem")
@repeatable()
@blp.arguments(bodies.WatchlistChangeSchema)
@blp.response(200, library.WatchlistItemWrittenSchema, headers=SENT)
@added(schema=library.WatchlistItemWrittenSchema)
def set_watchlist_item(headers: Headers, body: Json, movie_id: int) -> Response:
    """Set or change a film of the user's watchlist

    As for the favorites. 201: it is new; 200: it was there.
    """
    return _set("watchlist", headers, body, movie_id)


@blp.delete("/watchlist/<tmdb_id:movie_id>")
@blp.doc(operationId="removeFromWatchlist")
@repeatable()
@blp.response(200, library.WatchlistItemRemovedSchema, headers=SENT)
def remove_from_watchlist(headers: Headers, movie_id: int) -> Response:
    """Remove a film from the user's watchlist"""
    return _remove("watchlist", headers, movie_id)


@blp.get("/history")
@blp.doc(operationId="listHistory")
@blp.response(200, library.HistorySchema)
def list_history() -> Response:
    """List the user's history"""
    return _list("history")


@blp.get("/history/<tmdb_id:movie_id>")
@blp.doc(operationId="getHistoryItem")
@blp.response(200, library.HistoryItemSchema)
def get_history_item(movie_id: int) -> Response:
    """Get a film of the user's history"""
    return _get("history", movie_id)


@blp.put("/history/<tmdb_id:movie_id>")
@blp.doc(operationId="setProgress")
@repeatable()
@blp.arguments(bodies.ProgressSchema)
@blp.response(200, library.HistoryItemWrittenSchema, headers=SENT)
@added(schema=library.HistoryItemWrittenSchema)
def set_progress(headers: Headers, body: Json, movie_id: int) -> Response:
    """Set or change a film of the user's history

    `watched_date` is set when the progress reaches 0.95. The first progress of a film takes
    title and the like from TMDB; the next ones do without it. 201: it is new; 200: it was
    there.
    """
    return _set("history", headers, body, movie_id)


@blp.delete("/history/<tmdb_id:movie_id>")
@blp.doc(operationId="removeFromHistory")
@repeatable()
@blp.response(200, library.HistoryItemRemovedSchema, headers=SENT)
def remove_from_history(headers: Headers, movie_id: int) -> Response:
    """Remove a film from the user's history"""
    return _remove("history", headers, movie_id)


def _list(name: str) -> Response:
    parts = services()
    answer = parts.fan_out.one(parts.users.collection(name, parts.identity.user()))
    return parts.encoder.page(name, {name: answer}, lambda: answer.value)


def _get(name: str, movie_id: int) -> Response:
    parts = services()
    answer = parts.fan_out.one(parts.users.collection(name, parts.identity.user()))
    found = find(answer.value[name], movie_id)
    if found is None:
        raise NotFound("users", ITEMS[name].replace("_", " "))
    return parts.encoder.page(f"{name} {movie_id}", {name: answer}, lambda: found)


def _add(name: str, headers: Headers, body: Json) -> Response:
    parts = services()
    film = parts.fan_out.one(parts.tmdb.movie(body["movie_id"])).value
    call = parts.users.add(name, parts.identity.user(), entry(body, film), _intent(headers, body))
    written = parts.fan_out.one(call).value
    response = _answer(written, {"message": f"added to {name}", ITEMS[name]: written.item}, 201)
    response.headers["Location"] = f"/api/users/{name}/{body['movie_id']}"
    return response


def _set(name: str, headers: Headers, body: Json, movie_id: int) -> Response:
    written = _written(name, movie_id, body, _intent(headers, body))
    done, status = ("added to", 201) if written.created else ("changed in", 200)
    return _answer(written, {"message": f"{done} {name}", ITEMS[name]: written.item}, status)


def _written(name: str, movie_id: int, body: Json, intent: Intent) -> Any:
    """Change the entry; only where there is none, TMDB is asked, and the film added."""
    parts = services()
    user, one, users = parts.identity.user(), parts.fan_out.one, parts.users
    try:
        return one(users.change(name, user, movie_id, given(body), intent)).value
    except NotFound:
        film = one(parts.tmdb.movie(movie_id)).value
    try:
        return one(users.put_new(name, user, movie_id, entry(body, film), intent)).value
    except AlreadyThere:  # it came meanwhile: a change after all, whatever memory says
        again = replace(intent, repeatable=True)
        return one(users.change(name, user, movie_id, given(body), again)).value


def _remove(name: str, headers: Headers, movie_id: int) -> Response:
    parts = services()
    call = parts.users.remove(name, parts.identity.user(), movie_id, _intent(headers, {}))
    written = parts.fan_out.one(call).value
    return _answer(written, {"message": f"removed from {name}", "removed": written.item}, 200)


def _answer(written: Any, body: Json, status: int) -> Response:
    """Answer a write, and give its revision to the caller for the reads that follow."""
    response = encode.written(body, status)
    if written.revision is not None:
        revision = str(written.revision)
        response.headers["X-Library-Revision"] = revision
        response.set_cookie(
            "library_revision", revision, COOKIE_S, path="/api", httponly=True, samesite="Lax"
        )
    return response


def _intent(headers: Headers, body: Json) -> Intent:
    """Return the write as the caller means it, with a key made up where there is none."""
    key = headers["key"]
    sent = orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
    return Intent(key or str(uuid4()), hashlib.sha256(sent).hexdigest(), repeatable=bool(key))
