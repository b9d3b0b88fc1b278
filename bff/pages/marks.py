"""A user's marks on films: favourite, watchlist, stars. Unknown is None, not False."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from bff.model import Outcome
from bff.pages.sections import optional

Json = dict[str, Any]


def by_movie(items: Iterable[Json]) -> dict[int, Json]:
    """Return the items of a collection by the number of their film."""
    return {item["movie_id"]: item for item in items}


@dataclass(frozen=True)
class Marks:
    """Favourites and watchlist by film; None where the user service could not say."""

    favorites: dict[int, Json] | None
    watchlist: dict[int, Json] | None

    @classmethod
    def of(cls, favorites: Outcome[Json], watchlist: Outcome[Json]) -> Marks:
        """Read the two collections."""
        liked, planned = optional(favorites), optional(watchlist)
        return cls(
            None if liked is None else by_movie(liked["favorites"]),
            None if planned is None else by_movie(planned["watchlist"]),
        )

    def on(self, movie_id: int) -> Json:
        """Return {is_favorite, is_in_watchlist, user_rating} of a film."""
        liked = self.favorites
        return {
            "is_favorite": None if liked is None else movie_id in liked,
            "is_in_watchlist": None if self.watchlist is None else movie_id in self.watchlist,
            "user_rating": liked[movie_id]["rating"] if liked and movie_id in liked else None,
        }

    def marked(self, films: Iterable[Json] | None) -> list[Json] | None:
        """Return the films, each with the user's marks; None where they are unknown."""
        return None if films is None else [{**film, **self.on(film["id"])} for film in films]

    def shown(self, outcome: Outcome[Json], most: int) -> list[Json] | None:
        """Return the first films of a list with the user's marks; None: the list is unknown."""
        films = optional(outcome)
        return None if films is None else self.marked(films["results"][:most])

    @property
    def favorites_count(self) -> int | None:
        """Number of favourites; None: unknown."""
        return None if self.favorites is None else len(self.favorites)

    @property
    def watchlist_count(self) -> int | None:
        """Number of films on the watchlist; None: unknown."""
        return None if self.watchlist is None else len(self.watchlist)
