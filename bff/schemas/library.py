"""The user service's answers: a user's favourites, watchlist and history; and what a write says."""

from __future__ import annotations

from functools import partial

from marshmallow.fields import Nested
from marshmallow.validate import Range

from bff.schemas import fields as f
from bff.schemas.base import AnswerSchema
from bff.schemas.tmdb import GenreSchema, tmdb_id

stars = partial(f.integer, allow_none=True, validate=Range(1, 5))


class EntrySchema(AnswerSchema):
    """What is kept with every film of a library."""

    movie_id = tmdb_id("film")
    title = f.maybe_text("Title. Null: unknown.", "Fight Club")
    poster_path = f.maybe_text("Path of the poster. Null: there is none.")
    release_date = f.maybe_day("Day of the first release. Null: unknown.", "1999-10-15")
    genres = f.some(GenreSchema, "Genres.")


class FavoriteSchema(EntrySchema):
    """A film among the user's favourites."""

    rating = stars("Stars, 1 to 5. Null: not rated.", 5)
    added_date = f.maybe_moment("When it was added.")


class WatchlistItemSchema(EntrySchema):
    """A film that the user wants to watch."""

    added_date = f.maybe_moment("When it was added.")


class HistoryItemSchema(EntrySchema):
    """A film that the user has begun to watch."""

    progress = f.amount("How much was watched, 0 to 1.", 0.4)
    watched_date = f.maybe_moment("When it was watched to the end. Null: not yet.")
    updated_date = f.maybe_moment("When the progress was last set. Null: unknown.")


class FavoritesSchema(AnswerSchema):
    """The user's favourites."""

    favorites = f.many(FavoriteSchema, "Favourites, newest first.")
    total = f.count("Number of entries.", 3)


class WatchlistSchema(AnswerSchema):
    """What the user wants to watch."""

    watchlist = f.many(WatchlistItemSchema, "Films, newest first.")
    total = f.count("Number of entries.", 2)


class HistorySchema(AnswerSchema):
    """What the user has begun to watch, or has watched."""

    history = f.many(HistoryItemSchema, "Films, newest first.")
    total = f.count("Number of entries.", 1)


class MessageSchema(AnswerSchema):
    """What a write did."""

    message = f.string("What was done, in words.", "added to favorites")


class FavoriteWrittenSchema(MessageSchema):
    """The favourite as it is now."""

    favorite = Nested(FavoriteSchema)


class FavoriteRemovedSchema(MessageSchema):
    """The favourite that was removed."""

    removed = Nested(FavoriteSchema)


class WatchlistItemWrittenSchema(MessageSchema):
    """The film on the watchlist as it is now."""

    watchlist_item = Nested(WatchlistItemSchema)


class WatchlistItemRemovedSchema(MessageSchema):
    """The film that was removed from the watchlist."""

    removed = Nested(WatchlistItemSchema)


class HistoryItemWrittenSchema(MessageSchema):
    """The film of the history as it is now."""

    history_item = Nested(HistoryItemSchema)


class HistoryItemRemovedSchema(MessageSchema):
    """The film that was removed from the history."""

    removed = Nested(HistoryItemSchema)
