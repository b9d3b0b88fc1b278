"""The operations of the user service."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import orjson
from flask import Response, current_app, request

from user_stub import schemas as s
from user_stub.context import user_id
from user_stub.lists import Item, Lists
from user_stub.models import Favorite, HistoryItem, WatchlistItem
from user_stub.operation import KEY_PATTERN, LAST_EVENT_ID, JsonBlueprint, operation
from user_stub.problems import Invalid, problem
from user_stub.reads import JSON_OPTIONS, KINDS, Kind
from user_stub.store import Change, Outcome, RequestKey, Store
from user_stub.version import VERSION

health = JsonBlueprint("health", __name__, description="State of the service")
events = JsonBlueprint("events", __name__, description="Changes as they happen")
lists = JsonBlueprint("lists", __name__, description="Favourites, watchlist and history")

IDEMPOTENCY_KEY = re.compile(KEY_PATTERN)
FINGERPRINT = re.compile(r"[!-~]{1,128}")
MOVIE_ID = re.compile(r"[1-9][0-9]{0,9}")
EVENT_ID = re.compile(r"[0-9]{1,18}")
EVENT_STREAM = "text/event-stream"


Body = dict[str, Any]


@operation(health, "GET", "/health", answers={200: s.HealthSchema}, personal=False)
def read_health() -> Response:
    """Tell whether the service and its database answer."""
    _store().ping()
    document = {"status": "healthy", "service": "user-service", "version": VERSION}
    response = _json(200, document)
    response.headers["Cache-Control"] = "no-store"
    return response


@operation(
    events,
    "GET",
    "/events",
    answers={200: {"type": "string", "description": "Server-sent events"}},
    content_type=EVENT_STREAM,
    parameters=(LAST_EVENT_ID,),
    problems=(401,),
    personal=False,
)
def read_events() -> Response:
    """Stream the committed changes of every user's library.

    Server-sent events that do not end by themselves:

    - `change`, `{"user": "...", "revision": 7}`: the library of `user` has reached `revision`.
      The id is the change's place in the order of all commits. There is one per rise of a
      revision, over all processes on one database.
    - `beat`, `{"seq": 41}`, four times a second: all that was committed before this message was
      made has been sent on this stream; the last change is number 41. The first beat says that
      nothing is missing from now on. Without a message for a second, assume that the stream is
      dead.
    - `reset`, `{"seq": 41}`: what came after `Last-Event-ID` is not kept any more; anything may
      have changed. Changes are kept for an hour, and the last 1,000 in any case.

    With `Last-Event-ID` the later changes come first, then a beat. A stream ends after about five
    minutes, when the service stops, when the database is away, and for a subscriber that does not
    keep up: connect again with `Last-Event-ID`. A process serves 32 streams and refuses more (503).
    """
    last = request.headers.get("Last-Event-ID")
    if last is not None and not EVENT_ID.fullmatch(last):
        raise Invalid({"Last-Event-ID": ["Must be the id of a message, a whole number."]})
    body: Any = b""
    if request.method != "HEAD":
        stream = _store().subscribe(
            None if last is None else int(last), request.environ.get("gunicorn.socket")
        )
        body = current_app.extensions["stream_faults"].concerning(stream, request.path)
    response = Response(body, content_type=EVENT_STREAM, direct_passthrough=True)
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"  # nginx would hold messages back
    return response


@operation(lists, "GET", "/library", answers={200: s.LibrarySchema})
def read_library() -> Response:
    """Return all lists of the user and their revision, from one snapshot."""
    library, revision = _store().lists(user_id(), KINDS)
    return _json(200, {**library, "revision": revision}, revision)


@operation(lists, "GET", "/favorites", answers={200: s.FavoritesSchema})
def read_favorites() -> Response:
    """Return the favourites, newest first."""
    return _read_list(Favorite)


@operation(
    lists,
    "POST",
    "/favorites",
    answers={201: s.SavedFavoriteSchema},
    body=s.NewFavoriteSchema,
)
def add_favorite(body: Body) -> Response:
    """Add a favourite."""
    return _add(Favorite, "/favorites", "favorite", body)


@operation(lists, "GET", "/favorites/<movie_id>", answers={200: s.FavoriteSchema}, problems=(404,))
def read_favorite(movie_id: str) -> Response:
    """Return one favourite."""
    return _read_one(Favorite, movie_id)


@operation(
    lists,
    "PUT",
    "/favorites/<movie_id>",
    answers={200: s.SavedFavoriteSchema, 201: s.SavedFavoriteSchema},
    body=s.FavoriteChangeSchema,
)
def put_favorite(body: Body, movie_id: str) -> Response:
    """Set or change a favourite; what the body leaves out keeps its value."""
    return _put(Favorite, "/favorites", "favorite", movie_id, body)


@operation(
    lists,
    "DELETE",
    "/favorites/<movie_id>",
    answers={200: s.RemovedFavoriteSchema},
    problems=(404,),
)
def remove_favorite(movie_id: str) -> Response:
    """Remove a favourite."""
    return _remove(Favorite, movie_id)


@operation(lists, "GET", "/watchlist", answers={200: s.WatchlistSchema})
def read_watchlist() -> Response:
    """Return the watchlist, newest first."""
    return _read_list(WatchlistItem)


@operation(
    lists,
    "POST",
    "/watchlist",
    answers={201: s.SavedWatchlistItemSchema},
    body=s.NewWatchlistItemSchema,
)
def add_watchlist_item(body: Body) -> Response:
    """Add a film to the watchlist."""
    return _add(WatchlistItem, "/watchlist", "watchlist_item", body)


@operation(
    lists, "GET", "/watchlist/<movie_id>", answers={200: s.WatchlistItemSchema}, problems=(404,)
)
def read_watchlist_item(movie_id: str) -> Response:
    """Return one item of the watchlist."""
    return _read_one(WatchlistItem, movie_id)


@operation(
    lists,
    "PUT",
    "/watchlist/<movie_id>",
    answers={200: s.SavedWatchlistItemSchema, 201: s.SavedWatchlistItemSchema},
    body=s.WatchlistChangeSchema,
)
def put_watchlist_item(body: Body, movie_id: str) -> Response:
    """Set or change an item of the watchlist; what the body leaves out keeps its value."""
    return _put(WatchlistItem, "/watchlist", "watchlist_item", movie_id, body)


@operation(
    lists,
    "DELETE",
    "/watchlist/<movie_id>",
    answers={200: s.RemovedWatchlistItemSchema},
    problems=(404,),
)
def remove_watchlist_item(movie_id: str) -> Response:
    """Remove a film from the watchlist."""
    return _remove(WatchlistItem, movie_id)


@operation(lists, "GET", "/history", answers={200: s.HistorySchema})
def read_history() -> Response:
    """Return the watch history, latest first."""
    return _read_list(HistoryItem)


@operation(lists, "GET", "/history/<movie_id>", answers={200: s.HistoryItemSchema}, problems=(404,))
def read_history_item(movie_id: str) -> Response:
    """Return one item of the watch history."""
    return _read_one(HistoryItem, movie_id)


@operation(
    lists,
    "PUT",
    "/history/<movie_id>",
    answers={200: s.SavedHistoryItemSchema, 201: s.SavedHistoryItemSchema},
    body=s.HistoryChangeSchema,
)
def put_history_item(body: Body, movie_id: str) -> Response:
    """Set how far a film has been watched; from 0.95 on it counts as watched."""
    return _put(HistoryItem, "/history", "history_item", movie_id, body)


@operation(
    lists,
    "DELETE",
    "/history/<movie_id>",
    answers={200: s.RemovedHistoryItemSchema},
    problems=(404,),
)
def remove_history_item(movie_id: str) -> Response:
    """Remove a film from the watch history."""
    return _remove(HistoryItem, movie_id)


@operation(lists, "POST", "/reset", answers={200: s.MessageSchema})
def reset() -> Response:
    """Replace all data of the user with the sample."""

    def change(lists: Lists) -> Outcome:
        lists.reset()
        return Outcome(200, {"message": "the sample data is back"})

    return _write(change)


@operation(lists, "DELETE", "/clear", answers={200: s.MessageSchema})
def clear() -> Response:
    """Remove all data of the user."""

    def change(lists: Lists) -> Outcome:
        lists.clear()
        return Outcome(200, {"message": "all data removed"})

    return _write(change)


def _read_list(kind: Kind) -> Response:
    lists, revision = _store().lists(user_id(), (kind,))
    ((name, items),) = lists.items()
    return _json(200, {name: items, "total": len(items)}, revision)


def _read_one(kind: type[Item], movie_id: str) -> Response:
    number = _movie_id(movie_id)

    def query(lists: Lists) -> Body | None:
        item = lists.one(kind, number)
        return None if item is None else item.as_json()

    item, revision = _store().read(user_id(), query)
    if item is None:
        return _answer(_missing(number), revision)
    return _json(200, item, revision)


def _add(kind: type[Item], path: str, name: str, body: Body) -> Response:
    number = body.pop("movie_id")

    def change(lists: Lists) -> Outcome:
        item = lists.add(kind, number, body)
        if item is None:
            return Outcome(409, {"detail": f"film {number} is in the list already"})
        return Outcome(201, {"message": "added", name: item.as_json()}, f"{path}/{number}")

    return _write(change)


def _put(kind: type[Item], path: str, name: str, movie_id: str, body: Body) -> Response:
    number = _movie_id(movie_id)
    only_change, only_add = _condition("If-Match"), _condition("If-None-Match")

    def change(lists: Lists) -> Outcome:
        there = (only_change or only_add) and lists.one(kind, number) is not None
        if only_change and not there:
            return Outcome(412, {"detail": f"film {number} is not in the list"})
        if only_add and there:
            return Outcome(412, {"detail": f"film {number} is in the list already"})
        item, is_new = lists.put(kind, number, body)
        if is_new:
            return Outcome(201, {"message": "added", name: item.as_json()}, f"{path}/{number}")
        return Outcome(200, {"message": "changed", name: item.as_json()})

    return _write(change)


def _remove(kind: type[Item], movie_id: str) -> Response:
    number = _movie_id(movie_id)

    def change(lists: Lists) -> Outcome:
        removed = lists.remove(kind, number)
        if removed is None:
            return _missing(number)
        return Outcome(200, {"message": "removed", "removed": removed})

    return _write(change)


def _missing(movie_id: int) -> Outcome:
    return Outcome(404, {"detail": f"film {movie_id} is not in the list"})


def _write(change: Change) -> Response:
    outcome = _store().write(user_id(), _request_key(), change)
    return _answer(outcome, outcome.revision)


def _answer(outcome: Outcome, revision: int) -> Response:
    if outcome.status >= 400:
        response = problem(outcome.status, **outcome.body)
    else:
        response = _json(outcome.status, outcome.body)
    response.headers["X-Library-Revision"] = str(revision)
    if outcome.location is not None:
        response.headers["Location"] = outcome.location
    if outcome.replayed:
        response.headers["Idempotency-Replayed"] = "true"
    return response


def _json(status: int, document: Body, revision: int | None = None) -> Response:
    body = orjson.dumps(document, option=JSON_OPTIONS)
    response = Response(body, status=status, content_type="application/json")
    if revision is not None:
        response.headers["X-Library-Revision"] = str(revision)
    return response


def _movie_id(text: str) -> int:
    if not MOVIE_ID.fullmatch(text) or int(text) > s.LARGEST_MOVIE_ID:
        raise Invalid({"movie_id": [f"Must be an integer from 1 to {s.LARGEST_MOVIE_ID}."]})
    return int(text)


def _condition(name: str) -> bool:
    """Whether the caller asks that the item is there, or is not (RFC 9110, section 13.1)."""
    condition = request.headers.get(name)
    if condition not in (None, "*"):
        raise Invalid({name: ["Must be *: items have no tags."]})
    return condition is not None


def _request_key() -> RequestKey | None:
    key = request.headers.get("Idempotency-Key")
    sent = request.headers.get("Idempotency-Fingerprint")
    if sent is not None and not FINGERPRINT.fullmatch(sent):
        raise Invalid({"Idempotency-Fingerprint": ["Must be 1 to 128 printable characters."]})
    if key is None:
        return None
    if not IDEMPOTENCY_KEY.fullmatch(key):
        raise Invalid({"Idempotency-Key": ["Must be 1 to 255 printable ASCII characters."]})
    digest = hashlib.sha256(f"{request.method} {request.path}\n".encode())
    digest.update(request.get_data(cache=True) if sent is None else sent.encode())
    return RequestKey(key, digest.hexdigest())


def _store() -> Store:
    store: Store = current_app.extensions["store"]
    return store
