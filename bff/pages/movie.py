"""The film page: details, people, reviews and related films, with the user's data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bff.model import Outcome, Outcomes, Plan
from bff.pages.marks import Marks, by_movie
from bff.pages.sections import optional, required, sections

if TYPE_CHECKING:
    from bff.upstream.tmdb import Params, TmdbClient
    from bff.upstream.users import UserClient

Json = dict[str, Any]
BLOCKS = ("credits", "reviews", "similar", "recommendations")


def plan(tmdb: TmdbClient, users: UserClient, user: str, movie_id: int, params: Params) -> Plan:
    """Name the calls of the film page; one of them goes to TMDB."""
    return {
        "movie": tmdb.enriched(movie_id, params),
        "favorites": users.favorites(user),
        "watchlist": users.watchlist(user),
        "history": users.history(user),
    }


def assemble(outcomes: Outcomes) -> Json:
    """Return the film page; raise where the film is missing."""
    film = required(outcomes["movie"])
    credits, reviews = film["credits"], film["reviews"]  # noqa: A001 - TMDB's own word
    similar, recommended = film["similar"], film["recommendations"]
    marks = Marks.of(outcomes["favorites"], outcomes["watchlist"])
    details = {name: value for name, value in film.items() if name not in BLOCKS}
    return {
        **details,
        "user_data": _user_data(film["id"], marks, outcomes["history"]),
        "cast": credits and credits["cast"],
        "crew": credits and credits["crew"],
        "reviews_count": reviews and reviews["total_results"],
        "similar_movies": similar and marks.marked(similar["results"]),
        "recommended_movies": recommended and marks.marked(recommended["results"]),
        "sections": sections(outcomes),
    }


def _user_data(movie_id: int, marks: Marks, history: Outcome[Json]) -> Json:
    return {
        **marks.on(movie_id),
        "watched_date": _field(history, movie_id, "watched_date"),
        "progress": _field(history, movie_id, "progress"),
        "added_to_favorites_date": (marks.favorites or {}).get(movie_id, {}).get("added_date"),
        "added_to_watchlist_date": (marks.watchlist or {}).get(movie_id, {}).get("added_date"),
    }


def _field(history: Outcome[Json], movie_id: int, name: str) -> Any:
    known = optional(history)
    return None if known is None else by_movie(known["history"]).get(movie_id, {}).get(name)
