"""A user's favourites, watchlist and history, through the user service."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

import orjson
from flask import Response, request
from marshmallow import Schema

from bff import library_shapes as library
from bff.api import encode
from bff.api.blueprint import BODY, UPSTREAM, Blueprint, refuse
from bff.api.dashboard import PERSONAL
from bff.api.schemas import answers
from bff.api.schemas.bodies import (
    FavoriteChangeSchema,
    FavoriteEntrySchema,
    ProgressSchema,
    WatchlistChangeSchema,
    WatchlistEntrySchema,
)
from bff.api.schemas.documents import Components
from bff.api.schemas.headers import IdempotencySchema, RevisionSchema
from bff.api.services import Services
from bff.errors import AlreadyThere, NotFound
from bff.model import Intent
from bff.pages.library import entry, find, given
from bff.shapes import Record

Json = dict[str, Any]
# By then every worker has heard of the write from the stream of changes.
COOKIE_S = 10
REVISION = {
    "X-Library-Revision": {
        "schema": {"type": "integer", "minimum": 0},
        "description": "Revision of the user's library after the write; hand it to reads.",
    }
}
_KEY = re.compile(r"[!-~]{1,255}", re.ASCII)


@dataclass(frozen=True)
class Kind:
    """One collection: its name in the path, its words, and what is read and answered."""

    name: str
    words: str
    item_key: str
    collection: Record
    item: Record
    change: type[Schema]
    new: type[Schema] | None = None


KINDS = (
    Kind(
        "favorites",
        "favorites",
        "favorite",
        library.FAVORITES,
        library.FAVORITE,
        FavoriteChangeSchema,
        FavoriteEntrySchema,
    ),
    Kind(
        "watchlist",
        "watchlist",
        "watchlist_item",
        library.WATCHLIST,
        library.WATCHLIST_ITEM,
        WatchlistChangeSchema,
        WatchlistEntrySchema,
    ),
    Kind(
        "history",
        "history",
        "history_item",
        library.HISTORY,
        library.HISTORY_ITEM,
        ProgressSchema,
    ),
)


def blueprint(services: Services, components: Components) -> Blueprint:
    """Return the routes under `/api/users`."""
    blp = Blueprint("Users", __name__, url_prefix="/api/users")
    services.identity.guard(blp)
    for kind in KINDS:
        _add_reads(blp, kind, services, components)
        _add_writes(blp, kind, services, components)
        if kind.new is not None:
            _add_new(blp, kind, kind.new, services, components)
    return blp


def _add_reads(blp: Blueprint, kind: Kind, services: Services, components: Components) -> None:
    who, one = services.identity.user, services.fan_out.one

    @blp.route(f"/{kind.name}", endpoint=f"{kind.name}_list")
    @blp.doc(security=PERSONAL, summary=f"List the user's {kind.words}")
    @blp.no_query
    @blp.header(RevisionSchema)
    @blp.response(200, components.ref(kind.collection))
    @blp.fails("NOT_MODIFIED", "UNAUTHORIZED", *UPSTREAM)
    def listed() -> Response:
        answer = one(services.users.collection(kind.name, who()))
        return services.encoder.page(kind.name, {kind.name: answer}, lambda: answer.value)

    @blp.route(f"/{kind.name}/<tmdb_id:movie_id>", endpoint=f"{kind.name}_item")
    @blp.doc(security=PERSONAL, summary=f"Get a film of the user's {kind.words}")
    @blp.no_query
    @blp.header(RevisionSchema)
    @blp.response(200, components.ref(kind.item))
    @blp.fails("NOT_MODIFIED", "UNAUTHORIZED", "NOT_FOUND", *UPSTREAM)
    def item(movie_id: int) -> Response:
        answer = one(services.users.collection(kind.name, who()))
        found = find(answer.value[kind.name], movie_id)
        if found is None:
            raise NotFound("users", kind.item_key.replace("_", " "))
        return services.encoder.page(f"{kind.name} {movie_id}", {kind.name: answer}, lambda: found)


def _add_writes(blp: Blueprint, kind: Kind, services: Services, components: Components) -> None:
    who, one, users = services.identity.user, services.fan_out.one, services.users

    def _put(movie_id: int, body: Json, intent: Intent) -> Any:
        """Change the entry; only where there is none, TMDB is asked, and the film added."""
        user = who()
        try:
            return one(users.change(kind.name, user, movie_id, given(body), intent)).value
        except NotFound:
            film = one(services.tmdb.movie(movie_id)).value
        try:
            return one(users.put_new(kind.name, user, movie_id, entry(body, film), intent)).value
        except AlreadyThere:  # it came meanwhile: a change after all, whatever memory says
            again = replace(intent, repeatable=True)
            return one(users.change(kind.name, user, movie_id, given(body), again)).value

    @blp.route(f"/{kind.name}/<tmdb_id:movie_id>", methods=["PUT"], endpoint=f"{kind.name}_put")
    @blp.doc(security=PERSONAL, summary=f"Set or change a film of the user's {kind.words}")
    @blp.no_query
    @blp.header(IdempotencySchema)
    @blp.arguments(kind.change)
    @blp.response(200, components.ref(answers.MESSAGES[kind.item_key]), headers=REVISION)
    @blp.alt_response(201, schema=components.ref(answers.MESSAGES[kind.item_key]), success=True)
    @blp.fails("UNAUTHORIZED", "NOT_FOUND", "CONFLICT", *BODY, *UPSTREAM)
    def put(body: Json, movie_id: int) -> Response:
        intent = _intent(body)
        written = _put(movie_id, body, intent)
        done = "added to" if written.created else "changed in"
        return _answer(
            written,
            {"message": f"{done} {kind.words}", kind.item_key: written.item},
            201 if written.created else 200,
        )

    @blp.route(
        f"/{kind.name}/<tmdb_id:movie_id>", methods=["DELETE"], endpoint=f"{kind.name}_delete"
    )
    @blp.doc(security=PERSONAL, summary=f"Remove a film from the user's {kind.words}")
    @blp.no_query
    @blp.header(IdempotencySchema)
    @blp.response(200, components.ref(answers.REMOVED[kind.item.name]), headers=REVISION)
    @blp.fails("UNAUTHORIZED", "NOT_FOUND", "CONFLICT", *UPSTREAM)
    def remove(movie_id: int) -> Response:
        written = one(users.remove(kind.name, who(), movie_id, _intent({}))).value
        return _answer(
            written, {"message": f"removed from {kind.words}", "removed": written.item}, 200
        )


def _add_new(
    blp: Blueprint, kind: Kind, new: type[Schema], services: Services, components: Components
) -> None:
    who, one, users = services.identity.user, services.fan_out.one, services.users

    @blp.route(f"/{kind.name}", methods=["POST"], endpoint=f"{kind.name}_post")
    @blp.doc(security=PERSONAL, summary=f"Add a film to the user's {kind.words}")
    @blp.no_query
    @blp.header(IdempotencySchema)
    @blp.arguments(new)
    @blp.response(
        201,
        components.ref(answers.MESSAGES[kind.item_key]),
        headers={
            "Location": {"schema": {"type": "string"}, "description": "The new entry."},
            **REVISION,
        },
    )
    @blp.fails("UNAUTHORIZED", "NOT_FOUND", "CONFLICT", *BODY, *UPSTREAM)
    def add(body: Json) -> Response:
        intent = _intent(body)
        film = one(services.tmdb.movie(body["movie_id"])).value
        written = one(users.add(kind.name, who(), entry(body, film), intent)).value
        response = _answer(
            written, {"message": f"added to {kind.words}", kind.item_key: written.item}, 201
        )
        response.headers["Location"] = f"/api/users/{kind.name}/{body['movie_id']}"
        return response


def _answer(written: Any, body: Json, status: int) -> Response:
    """Answer a write, and hand its revision to the caller for the reads that follow."""
    response = encode.written(body, status)
    if written.revision is not None:
        response.headers["X-Library-Revision"] = str(written.revision)
        response.set_cookie(
            "library_revision",
            str(written.revision),
            max_age=COOKIE_S,
            path="/api",
            httponly=True,
            samesite="Lax",
        )
    return response


def _intent(body: Json) -> Intent:
    """Return the write as the caller means it, with a key made up where there is none.

    Raise 422 where the caller's Idempotency-Key is no key.
    """
    key = request.headers.get("Idempotency-Key", "")
    if key and not _KEY.fullmatch(key):
        raise refuse({"Idempotency-Key": ["Must be 1 to 255 printable ASCII characters."]}, "head")
    sent = orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
    return Intent(key or str(uuid4()), hashlib.sha256(sent).hexdigest(), repeatable=bool(key))
