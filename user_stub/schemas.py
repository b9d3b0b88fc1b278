"""Schemas of headers and bodies; flask-smorest validates, dumps and documents with them."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from user_stub.models import POSTER_PATH_LENGTH, TITLE_LENGTH

DEMO_USER = "demo-user-123"
MAX_MOVIE_ID = 2_147_483_647
MAX_GENRES = 50
ANY_TAG = validate.OneOf(["*"], error="Must be *: items have no tags.")


class StrictInteger(fields.Integer):
    """A JSON integer, including 7.0 (as in JSON Schema), but not a string."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> int:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int):
            raise self.make_error("invalid", input=value)
        return super()._deserialize(value, *args, **kwargs)


class StrictNumber(fields.Float):
    """A JSON number, but not a string."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> float:
        if not isinstance(value, int | float):
            raise self.make_error("invalid", input=value)
        return super()._deserialize(value, *args, **kwargs)


class StrictDate(fields.Date):
    """A date as `YYYY-MM-DD`; Python itself also parses week dates and others."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> dt.date:
        if not isinstance(value, str) or not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
            raise self.make_error("invalid", input=value, obj_type=self.OBJ_TYPE)
        return super()._deserialize(value, *args, **kwargs)


class UtcTime(fields.DateTime):
    """A UTC time as `2026-11-24T17:30:00Z`."""

    def _serialize(self, value: dt.datetime | None, *args: Any, **kwargs: Any) -> str | None:
        return None if value is None else value.strftime("%Y-%m-%dT%H:%M:%SZ")


def _storable(text: str) -> None:
    """Reject what not every database can store: control characters and lone surrogates."""
    if re.search(r"[\x00-\x1f\x7f\ud800-\udfff]", text):
        raise ma.ValidationError("Must not contain control characters.")


def _text(*, longest: int, example: str, **kwargs: Any) -> fields.String:
    return fields.String(
        validate=[validate.Length(max=longest), _storable],
        metadata={"pattern": r"^[^\x00-\x1f\x7f]*$", "example": example},
        **kwargs,
    )


def _header(name: str, pattern: str, error: str, description: str, **kwargs: Any) -> fields.String:
    return fields.String(
        data_key=name,
        validate=validate.Regexp(pattern, error=error),
        metadata={"description": description},
        **kwargs,
    )


class ReadHeadersSchema(ma.Schema):
    """The headers of an operation that reads a library."""

    user_id = _header(
        "X-User-Id",
        "^[!-~]{1,128}$",
        "Must be 1 to 128 printable ASCII characters, no spaces.",
        f"Whose data; {DEMO_USER} without it.",
        load_default=DEMO_USER,
    )


class WriteHeadersSchema(ReadHeadersSchema):
    """The headers of an operation that changes a library."""

    key = _header(
        "Idempotency-Key",
        "^[!-~]([ -~]{0,253}[!-~])?$",  # HTTP strips spaces at the ends
        "Must be 1 to 255 printable ASCII characters.",
        "A repeated request with this key acts only once. Kept for 24 hours, per user.",
    )
    fingerprint = _header(
        "Idempotency-Fingerprint",
        "^[!-~]{1,128}$",
        "Must be 1 to 128 printable characters.",
        "Compared in place of the body to recognise a repeated request: a service in between may "
        "fill in the body differently the next time.",
    )


class ConditionHeadersSchema(ma.Schema):
    """The conditions of a PUT (RFC 9110, section 13.1)."""

    if_match = fields.String(
        data_key="If-Match",
        validate=ANY_TAG,
        metadata={"description": "Change the film only if it is in the list already, else 412."},
    )
    if_none_match = fields.String(
        data_key="If-None-Match",
        validate=ANY_TAG,
        metadata={"description": "Add the film only if it is not in the list yet, else 412."},
    )


class EventHeadersSchema(ma.Schema):
    """The headers of the event stream."""

    last_event_id = fields.Integer(
        data_key="Last-Event-ID",
        validate=validate.Range(min=0, max=10**18 - 1),
        metadata={"description": "The id of the last message that was received."},
    )


class GenreSchema(ma.Schema):
    """A genre of a film."""

    id = StrictInteger(
        required=True,
        validate=validate.Range(min=0, max=MAX_MOVIE_ID),
        metadata={"example": 18},
    )
    name = _text(longest=100, required=True, example="Drama")


class FilmChangeSchema(ma.Schema):
    """The fields of a film; those that are left out keep their value."""

    title = _text(longest=TITLE_LENGTH, allow_none=True, example="Fight Club")
    poster_path = _text(
        longest=POSTER_PATH_LENGTH, allow_none=True, example="/pB8BM7pdSp6B6Ih7QZ4DrQ3PmJK.jpg"
    )
    release_date = StrictDate(allow_none=True, metadata={"example": "1999-10-15"})
    genres = fields.List(fields.Nested(GenreSchema), validate=validate.Length(max=MAX_GENRES))


MOVIE_ID = StrictInteger(
    required=True,
    validate=validate.Range(min=1, max=MAX_MOVIE_ID),
    metadata={"description": "TMDB's id of the film", "example": 550},
)


class FavoriteChangeSchema(FilmChangeSchema):
    """A favourite to add or change."""

    rating = StrictInteger(
        validate=validate.Range(min=1, max=5), allow_none=True, metadata={"example": 5}
    )


class NewFavoriteSchema(FavoriteChangeSchema):
    """A favourite to add."""

    movie_id = MOVIE_ID


class NewWatchlistItemSchema(FilmChangeSchema):
    """A watchlist item to add."""

    movie_id = MOVIE_ID


class HistoryChangeSchema(FilmChangeSchema):
    """The progress of a film, and its fields."""

    progress = StrictNumber(
        required=True, validate=validate.Range(min=0, max=1), metadata={"example": 0.4}
    )


class FilmSchema(ma.Schema):
    """A film in a list."""

    movie_id = fields.Integer(required=True)
    title = fields.String(required=True, allow_none=True)
    poster_path = fields.String(required=True, allow_none=True)
    release_date = fields.Date(required=True, allow_none=True)
    genres = fields.List(fields.Nested(GenreSchema), required=True)


class FavoriteSchema(FilmSchema):
    """A favourite."""

    rating = fields.Integer(required=True, allow_none=True)
    added_date = UtcTime(required=True)


class WatchlistItemSchema(FilmSchema):
    """A watchlist item."""

    added_date = UtcTime(required=True)


class HistoryItemSchema(FilmSchema):
    """A film that was watched, partly (`progress` below 0.95) or to the end."""

    progress = fields.Float(required=True)
    watched_date = UtcTime(required=True, allow_none=True)
    updated_date = UtcTime(required=True)


class FavoritesSchema(ma.Schema):
    """The favourites, newest first."""

    favorites = fields.List(fields.Nested(FavoriteSchema), required=True)
    total = fields.Integer(required=True)


class WatchlistSchema(ma.Schema):
    """The watchlist, newest first."""

    watchlist = fields.List(fields.Nested(WatchlistItemSchema), required=True)
    total = fields.Integer(required=True)


class HistorySchema(ma.Schema):
    """The watch history, latest first."""

    history = fields.List(fields.Nested(HistoryItemSchema), required=True)
    total = fields.Integer(required=True)


class LibrarySchema(ma.Schema):
    """All lists of a user, from one snapshot."""

    favorites = fields.List(fields.Nested(FavoriteSchema), required=True)
    watchlist = fields.List(fields.Nested(WatchlistItemSchema), required=True)
    history = fields.List(fields.Nested(HistoryItemSchema), required=True)
    revision = fields.Integer(required=True)


class MessageSchema(ma.Schema):
    """What the operation has done."""

    message = fields.String(required=True)


def _about(name: str, **items: type[ma.Schema]) -> type[ma.Schema]:
    nested: dict[str, Any] = {part: fields.Nested(items[part], required=True) for part in items}
    return MessageSchema.from_dict(nested, name=name)


SavedFavoriteSchema = _about("SavedFavoriteSchema", favorite=FavoriteSchema)
SavedWatchlistItemSchema = _about("SavedWatchlistItemSchema", watchlist_item=WatchlistItemSchema)
SavedHistoryItemSchema = _about("SavedHistoryItemSchema", history_item=HistoryItemSchema)
RemovedFavoriteSchema = _about("RemovedFavoriteSchema", removed=FavoriteSchema)
RemovedWatchlistItemSchema = _about("RemovedWatchlistItemSchema", removed=WatchlistItemSchema)
RemovedHistoryItemSchema = _about("RemovedHistoryItemSchema", removed=HistoryItemSchema)


class HealthSchema(ma.Schema):
    """The state of the service."""

    status = fields.String(required=True, validate=validate.Equal("healthy"))
    service = fields.String(required=True, metadata={"example": "user-service"})
    version = fields.String(required=True)


class ProblemSchema(ma.Schema):
    """A problem document (RFC 9457)."""

    type = fields.String(required=True)
    title = fields.String(required=True)
    status = fields.Integer(required=True)
    detail = fields.String(required=True)
    instance = fields.String(required=True)
    request_id = fields.String(required=True)
    errors = fields.Dict(
        keys=fields.String(),
        values=fields.Raw(),
        metadata={"description": "Per field, what is wrong with it"},
    )
