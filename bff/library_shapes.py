"""What the user service's answers look like: a user's favourites, watchlist and history."""

from __future__ import annotations

from bff.shapes import Date, Integer, Many, Moment, Number, Record, Shape, Text
from bff.tmdb_shapes import GENRE, identity

_facts: dict[str, Shape] = {
    "movie_id": identity("film"),
    "title": Text("Title. Null: unknown.", example="Fight Club"),
    "poster_path": Text("Path of the poster. Null: there is none."),
    "release_date": Date("Day of the first release. Null: unknown.", example="1999-10-15"),
    "genres": Many(GENRE, "Genres."),
}
_added = Moment("When it was added.", example="2026-11-24T17:30:00Z")
FAVORITE = Record(
    "Favorite",
    {
        **_facts,
        "rating": Integer("Stars, 1 to 5. Null: not rated.", least=1, example=5),
        "added_date": _added,
    },
    "A film among a user's favourites.",
)
WATCHLIST_ITEM = Record(
    "WatchlistItem", {**_facts, "added_date": _added}, "A film that a user means to watch."
)
HISTORY_ITEM = Record(
    "HistoryItem",
    {
        **_facts,
        "progress": Number("How much was watched, 0 to 1.", default=0.0, example=0.4),
        "watched_date": Moment("When it was watched to the end. Null: not yet."),
        "updated_date": Moment("When the progress was last set. Null: unknown."),
    },
    "A film that a user has begun to watch.",
)
_total = Integer("Entries.", default=0, least=0, example=3)


def _collection(name: str, key: str, item: Record, doc: str) -> Record:
    entries = Many(item, "Entries, newest first.", required=True)
    return Record(name, {key: entries, "total": _total}, doc)


FAVORITES = _collection("Favorites", "favorites", FAVORITE, "The user's favourites.")
WATCHLIST = _collection("Watchlist", "watchlist", WATCHLIST_ITEM, "What the user means to watch.")
HISTORY = _collection(
    "History", "history", HISTORY_ITEM, "What the user has begun to watch, or has watched."
)
