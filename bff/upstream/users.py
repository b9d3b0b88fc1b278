"""The user-service client: a user's favourites, watchlist and history.

User data never enters a cache that is shared, because a key that forgets the
user would show one user's data to another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson
import requests

from bff import context
from bff.context import Timing
from bff.errors import AlreadyThere, BadResponse, NotFound, Rejected
from bff.library_cache import Kept, LibraryCache
from bff.model import Call, DirectCall, Intent, Ok
from bff.schemas import library
from bff.schemas.base import AnswerSchema
from bff.schemas.decoding import decode, json_object, read_as
from bff.upstream.guard import Guard
from bff.upstream.session import prepared

NAME = "users"


@dataclass(frozen=True)
class Collection:
    """One of a user's collections: its path, and the keys and schemas of its answers."""

    name: str
    item_key: str
    schema: type[AnswerSchema]
    item: type[AnswerSchema]


FAVORITES = Collection("favorites", "favorite", library.FavoritesSchema, library.FavoriteSchema)
WATCHLIST = Collection(
    "watchlist", "watchlist_item", library.WatchlistSchema, library.WatchlistItemSchema
)
HISTORY = Collection("history", "history_item", library.HistorySchema, library.HistoryItemSchema)


@dataclass(frozen=True)
class Written:
    """The result of a write: the item as it is now (or was), and whether it was made.

    `revision` is that of the user's library after the write; None where the
    user service does not say.
    """

    item: dict[str, Any]
    created: bool
    revision: int | None = None


@dataclass(frozen=True, kw_only=True)
class LibraryCall(DirectCall):
    """A read of a collection, which memory may answer."""

    libraries: LibraryCache
    user: str
    name: str

    def cached(self) -> Ok[Any] | None:
        """Return the collection from memory, if it is current and the caller knows no newer."""
        now = context.current()
        kept = self.libraries.get(self.user, self.name, now.revision)
        if kept is None:
            return None
        now.timings.append(Timing(NAME, self.name, "hit"))
        return Ok(kept.value, number=kept.number)


class UserClient:
    """Plans calls to the user service. Thread-safe; lives as long as the app."""

    def __init__(self, base_url: str, token: str, guard: Guard, libraries: LibraryCache) -> None:
        self._guard, self._libraries = guard, libraries
        self._base_url, self._token = base_url, token

    def favorites(self, user: str) -> Call[dict[str, Any]]:
        """Plan the user's favourites: {favorites, total}."""
        return self._list(FAVORITES, user)

    def watchlist(self, user: str) -> Call[dict[str, Any]]:
        """Plan the user's watchlist: {watchlist, total}."""
        return self._list(WATCHLIST, user)

    def history(self, user: str) -> Call[dict[str, Any]]:
        """Plan the user's history: {history, total}."""
        return self._list(HISTORY, user)

    def collection(self, name: str, user: str) -> Call[dict[str, Any]]:
        """Plan one collection by its name."""
        return self._list(COLLECTIONS[name], user)

    def add(self, name: str, user: str, item: Mapping[str, Any], intent: Intent) -> Call[Written]:
        """Plan to add an item that is not there yet; `Rejected` (409) if it is."""
        kind = COLLECTIONS[name]
        return DirectCall(NAME, lambda: self._write(kind, "POST", "", user, item, intent))

    def put_new(
        self, name: str, user: str, movie_id: int, item: Mapping[str, Any], intent: Intent
    ) -> Call[Written]:
        """Plan to set an item that is not there; `AlreadyThere` if it is."""
        kind, path = COLLECTIONS[name], f"/{movie_id}"

        def write() -> Written:
            absent = {"If-None-Match": "*"}
            try:
                return self._write(kind, "PUT", path, user, item, intent, absent)
            except NotFound as error:
                raise AlreadyThere from error

        return DirectCall(NAME, write)

    def change(
        self, name: str, user: str, movie_id: int, item: Mapping[str, Any], intent: Intent
    ) -> Call[Written]:
        """Plan to change an item that is there; `NotFound` if it is not. The rest of it stays.

        Memory may know that it is not there, which saves a call; not where this
        may be a repetition, whose first answer the user service knows.
        """
        kind, path = COLLECTIONS[name], f"/{movie_id}"

        def write() -> Written:
            kept = self._libraries.get(user, name, context.current().revision)
            absent = kept and all(other["movie_id"] != movie_id for other in kept.value[name])
            if absent and not intent.repeatable:
                raise NotFound(NAME, kind.item_key.replace("_", " "))
            there = {"If-Match": "*"}
            return self._write(kind, "PUT", path, user, item, intent, there)

        return DirectCall(NAME, write)

    def remove(self, name: str, user: str, movie_id: int, intent: Intent) -> Call[Written]:
        """Plan to remove an item; `NotFound` if it is not there."""
        kind = COLLECTIONS[name]
        return DirectCall(
            NAME, lambda: self._write(kind, "DELETE", f"/{movie_id}", user, None, intent)
        )

    def _list(self, kind: Collection, user: str) -> Call[dict[str, Any]]:
        ask = partial(self._ask, kind, user)
        return LibraryCall(NAME, ask, libraries=self._libraries, user=user, name=kind.name)

    def _ask(self, kind: Collection, user: str) -> dict[str, Any]:
        """Ask for a collection, and keep it where the event stream watches over it."""
        ticket = self._libraries.ticket()

        def read(response: requests.Response, body: bytes) -> tuple[dict[str, Any], int | None]:
            if response.status_code != 200:
                raise BadResponse(NAME, f"status {response.status_code}")
            return decode(kind.schema, NAME, body), _revision(response)

        request = self._request("GET", f"/{kind.name}", user, None, {})
        value, revision = self._guard.send(kind.name, user, request, read)
        if revision is not None:
            kept = Kept(orjson.dumps(value), revision)
            self._libraries.keep(user, kind.name, kept, ticket)
        return value

    def _write(
        self,
        kind: Collection,
        method: str,
        path: str,
        user: str,
        item: Mapping[str, Any] | None,
        intent: Intent,
        condition: Mapping[str, str] | None = None,
    ) -> Written:
        # The user service acts once, whoever sends it again. It knows the write by its
        # fingerprint: TMDB's facts in `item` may differ the next time.
        headers = {
            "Idempotency-Key": intent.key,
            "Idempotency-Fingerprint": intent.fingerprint,
            **(condition or {}),
        }
        request = self._request(method, f"/{kind.name}{path}", user, item, headers)
        written = self._guard.send(kind.name, user, request, partial(_written, kind, method))
        if written.revision is not None:
            self._libraries.changed(user, written.revision)
        return written

    def _request(
        self,
        method: str,
        path: str,
        user: str,
        item: Mapping[str, Any] | None,
        more: dict[str, str],
    ) -> requests.PreparedRequest:
        headers = {
            "Accept": "application/json",
            "X-User-Id": user,
            "X-Request-ID": context.current().request_id,
            **more,
        }
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        body = None
        if item is not None:
            headers["Content-Type"] = "application/json"
            body = orjson.dumps(item)
        return prepared(method, self._base_url + path, headers, body)


COLLECTIONS = {kind.name: kind for kind in (FAVORITES, WATCHLIST, HISTORY)}


def _written(kind: Collection, method: str, response: requests.Response, body: bytes) -> Written:
    """Return what a write has brought; raise `NotFound`, `Rejected` or `BadResponse`."""
    status = response.status_code
    # 412: a PUT was to change what is not there, or to make what is.
    if (method, status) in (("DELETE", 404), ("PUT", 412)):
        raise NotFound(NAME, kind.item_key.replace("_", " "))
    answer = json_object(NAME, body)
    if status in (409, 422):
        detail = answer.get("detail")
        raise Rejected(NAME, status, detail if isinstance(detail, str) else "refused")
    if status not in (200, 201):
        raise BadResponse(NAME, f"status {status}")
    item = read_as(kind.item, NAME, answer.get(kind.item_key) or answer.get("removed"))
    return Written(item, status == 201, _revision(response))


def _revision(response: requests.Response) -> int | None:
    text = response.headers.get("X-Library-Revision", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
