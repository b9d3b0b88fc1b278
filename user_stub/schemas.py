"""The shapes of bodies: they read input and document output."""

from __future__ import annotations

import re
from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from user_stub.models import POSTER_PATH_LENGTH, TITLE_LENGTH

LARGEST_MOVIE_ID = 2_147_483_647
MOST_GENRES = 50


class StrictInteger(fields.Integer):
    """A JSON integer: neither a string nor a boolean, which Python takes for integers."""

    def _validated(self, value: Any) -> int:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.make_error("invalid", input=value)
        return super()._validated(value)


class StrictNumber(fields.Float):
    """A JSON number: neither a string nor a boolean."""

    def _validated(self, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.make_error("invalid", input=value)
        return super()._validated(value)


class StrictDate(fields.Date):
    """A date as `YYYY-MM-DD`; Python would also read week dates and the like."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(value, str) or not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
            raise self.make_error("invalid", input=value, obj_type=self.OBJ_TYPE)
        return super()._deserialize(value, *args, **kwargs)


class PlainText(fields.String):
    """Text without control characters and half surrogates, which not every database can keep."""

    REFUSED = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")

    def __init__(self, *, longest: int, metadata: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(
            validate=validate.Length(max=longest),
            metadata={"pattern": r"^[^\x00-\x1f\x7f]*$", **metadata},
            **kwargs,
        )

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, *args, **kwargs)
        if self.REFUSED.search(text):
            raise ma.ValidationError("Must not contain control characters.")
        return text


class Strict(ma.Schema):
    """A schema that refuses unknown fields."""

    class Meta:
        """marshmallow's options."""

        unknown = ma.RAISE


class GenreSchema(Strict):
    """A genre of a film."""

    id = StrictInteger(
        required=True,
        validate=validate.Range(min=0, max=LARGEST_MOVIE_ID),
        metadata={"example": 18},
    )
    name = PlainText(longest=100, required=True, metadata={"example": "Drama"})


class FilmChangeSchema(Strict):
    """What may be said about a film; what is left out keeps its value."""

    title = PlainText(longest=TITLE_LENGTH, allow_none=True, metadata={"example": "Fight Club"})
    poster_path = PlainText(
        longest=POSTER_PATH_LENGTH,
        allow_none=True,
        metadata={"example": "/pB8BM7pdSp6B6Ih7QZ4DrQ3PmJK.jpg"},
    )
    release_date = StrictDate(allow_none=True, metadata={"example": "1999-10-15"})
    genres = fields.List(fields.Nested(GenreSchema), validate=validate.Length(max=MOST_GENRES))


def _rating() -> StrictInteger:
    return StrictInteger(
        validate=validate.Range(min=1, max=5), allow_none=True, metadata={"example": 5}
    )


def _movie_id() -> StrictInteger:
    return StrictInteger(
        required=True,
        validate=validate.Range(min=1, max=LARGEST_MOVIE_ID),
        metadata={"description": "TMDB's id of the film", "example": 550},
    )


class FavoriteChangeSchema(FilmChangeSchema):
    """A favourite to set or change."""

    rating = _rating()


class NewFavoriteSchema(FavoriteChangeSchema):
    """A favourite to add."""

    movie_id = _movie_id()


class WatchlistChangeSchema(FilmChangeSchema):
    """A watchlist item to set or change."""


class NewWatchlistItemSchema(WatchlistChangeSchema):
    """A watchlist item to add."""

    movie_id = _movie_id()


class HistoryChangeSchema(FilmChangeSchema):
    """How far a film has been watched."""

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
    added_date = fields.DateTime(required=True)


class WatchlistItemSchema(FilmSchema):
    """A watchlist item."""

    added_date = fields.DateTime(required=True)


class HistoryItemSchema(FilmSchema):
    """A film that has been watched, in part (`progress` below 0.95) or whole."""

    progress = fields.Float(required=True)
    watched_date = fields.DateTime(required=True, allow_none=True)
    updated_date = fields.DateTime(required=True)


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
    """What has been done."""

    message = fields.String(required=True)


class SavedFavoriteSchema(MessageSchema):
    """A favourite that was added or changed."""

    favorite = fields.Nested(FavoriteSchema, required=True)


class SavedWatchlistItemSchema(MessageSchema):
    """A watchlist item that was added or changed."""

    watchlist_item = fields.Nested(WatchlistItemSchema, required=True)


class SavedHistoryItemSchema(MessageSchema):
    """A history item that was added or changed."""

    history_item = fields.Nested(HistoryItemSchema, required=True)


class RemovedFavoriteSchema(MessageSchema):
    """A favourite that was removed."""

    removed = fields.Nested(FavoriteSchema, required=True)


class RemovedWatchlistItemSchema(MessageSchema):
    """A watchlist item that was removed."""

    removed = fields.Nested(WatchlistItemSchema, required=True)


class RemovedHistoryItemSchema(MessageSchema):
    """A history item that was removed."""

    removed = fields.Nested(HistoryItemSchema, required=True)


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
        metadata={"description": "per field what is wrong with it"},
    )
