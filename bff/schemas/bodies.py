"""Bodies of writes, and the header that goes with them. Unknown fields are refused."""

from __future__ import annotations

import unicodedata
from functools import partial
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields
from marshmallow.validate import Length, Range, Regexp

from bff.schemas import fields as f
from bff.schemas.tmdb import MOST_ID


def printable(value: str) -> None:
    """Refuse control characters and lone surrogates, which no page and no database can show."""
    if any(unicodedata.category(char) in ("Cc", "Cs") for char in value):
        raise ValidationError("Must not hold control characters.")


class JsonInteger(fields.Integer):
    """An integer as JSON has it: 2.0 is one, "2" and true are not."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> int:
        whole = type(value) is int or (type(value) is float and value.is_integer())
        if not whole:
            raise self.make_error("invalid", input=value)
        return super()._deserialize(value, attr, data, **kwargs)


class JsonNumber(fields.Float):
    """A number as JSON has it: "2" and true are not."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> float:
        if type(value) not in (int, float):
            raise self.make_error("invalid", input=value)
        return super()._deserialize(value, attr, data, **kwargs)


whole = partial(f.field, JsonInteger)
share = partial(f.field, JsonNumber, validate=Range(0, 1))


# marshmallow refuses unknown fields of a body by itself: a misspelt one would be lost.
class WatchlistChangeSchema(Schema):
    """What can be set on a film of the watchlist."""

    title = fields.String(
        validate=[Length(1, 500), printable],
        metadata={
            "description": "Title. Omitted: as it was; of a new entry TMDB's.",
            "examples": ["Fight Club"],
            "pattern": r"^[^\x00-\x1f\x7f-\x9f]*$",
        },
    )
    poster_path = f.field(
        fields.String,
        "Path of the poster. Omitted: as it was; of a new entry TMDB's.",
        "/pB8BM7pdSp6B6Ih7QZ4DrQ3PmJK.jpg",
        allow_none=True,
        validate=[Length(1, 200), Regexp(r"^/[A-Za-z0-9_-][A-Za-z0-9._-]*$"), printable],
    )


class WatchlistEntrySchema(WatchlistChangeSchema):
    """A film for the watchlist."""

    movie_id = whole("TMDB's number of the film.", 550, required=True, validate=Range(1, MOST_ID))


class FavoriteChangeSchema(WatchlistChangeSchema):
    """What can be set on a favourite."""

    rating = whole("Stars, 1 to 5.", 5, validate=Range(1, 5))


class FavoriteEntrySchema(FavoriteChangeSchema, WatchlistEntrySchema):
    """A film for the favourites."""


class ProgressSchema(Schema):
    """How much of a film was watched."""

    progress = share("Share that was watched, 0 to 1.", 0.4, required=True)


class IdempotencySchema(Schema):
    """The header of a write that may be sent again."""

    class Meta:
        unknown = EXCLUDE

    key = f.field(
        fields.String,
        "Names the write, for 24 hours, by a text such as a UUID: sent again with the same key, it "
        "is not done twice, and the first answer comes again, even where TMDB's data of the film "
        "have changed since. The same key with another request is 422, or 409 while the first is "
        "under way. Empty: no key.",
        data_key="Idempotency-Key",
        load_default="",
        validate=[
            Regexp(r"^[!-~]{0,255}$", error="Must be 1 to 255 printable ASCII characters."),
            printable,  # $ lets a line feed follow
        ],
    )
