"""Bodies of writes. Unknown fields are refused."""

from __future__ import annotations

import unicodedata
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, validate

from bff.api.schemas.queries import MOST_ID


def printable(value: str) -> None:
    """Refuse control characters and lone surrogates, which no database and no page can show."""
    if any(unicodedata.category(char) in ("Cc", "Cs") for char in value):
        raise ValidationError("Must not hold control characters.")


class JsonInteger(fields.Integer):
    """A whole number as JSON has it: 2.0 is one, "2" and true are none."""

    def _validated(self, value: Any) -> int:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        return super()._validated(value)


class JsonNumber(fields.Float):
    """A number as JSON has it: "2" and true are none."""

    def _validated(self, value: Any) -> float:
        if type(value) not in (int, float):
            raise self.make_error("invalid", input=value)
        return super()._validated(value)


def _movie_id() -> Any:
    return JsonInteger(
        required=True,
        strict=True,
        validate=validate.Range(1, MOST_ID),
        metadata={"description": "TMDB's number of the film.", "example": 550},
    )


def _title() -> Any:
    return fields.String(
        validate=[validate.Length(1, 500), printable],
        metadata={
            "description": "Title. Left out: as it was; of a new entry TMDB's.",
            "example": "Fight Club",
            "pattern": r"^[^\x00-\x1f\x7f-\x9f]*$",
        },
    )


def _poster() -> Any:
    return fields.String(
        allow_none=True,
        validate=[
            validate.Length(1, 200),
            validate.Regexp(r"^/[A-Za-z0-9_-][A-Za-z0-9._-]*$"),
            printable,
        ],
        metadata={
            "description": "Path of the poster. Left out: as it was; of a new entry TMDB's.",
            "example": "/pB8BM7pdSp6B6Ih7QZ4DrQ3PmJK.jpg",
        },
    )


class _Body(Schema):
    class Meta:
        """Refuse what is not known."""

        unknown = RAISE


class WatchlistChangeSchema(_Body):
    """What may be set on a film of the watchlist."""

    title = _title()
    poster_path = _poster()


class WatchlistEntrySchema(WatchlistChangeSchema):
    """A film for the watchlist."""

    movie_id = _movie_id()


class FavoriteChangeSchema(WatchlistChangeSchema):
    """What may be set on a favourite."""

    rating = JsonInteger(
        strict=True,
        validate=validate.Range(1, 5),
        metadata={"description": "Stars, 1 to 5.", "example": 5},
    )


class FavoriteEntrySchema(FavoriteChangeSchema):
    """A film for the favourites."""

    movie_id = _movie_id()


class ProgressSchema(_Body):
    """How much of a film was watched."""

    progress = JsonNumber(
        required=True,
        validate=validate.Range(0, 1),
        metadata={"description": "Share that was watched, 0 to 1.", "example": 0.4},
    )
