"""The feed: popular films with the user's marks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bff.model import Outcomes, Plan
from bff.pages.marks import Marks
from bff.pages.sections import required, sections

if TYPE_CHECKING:
    from bff.upstream.tmdb import Params, TmdbClient
    from bff.upstream.users import UserClient


def plan(tmdb: TmdbClient, users: UserClient, user: str, params: Params) -> Plan:
    """Name the calls of the feed; `params`: page, language, region."""
    return {
        "movies": tmdb.popular(params),
        "favorites": users.favorites(user),
        "watchlist": users.watchlist(user),
    }


def assemble(outcomes: Outcomes) -> dict[str, Any]:
    """Return the feed; raise where the films are missing."""
    films = required(outcomes["movies"])
    marks = Marks.of(outcomes["favorites"], outcomes["watchlist"])
    return {
        "movies": marks.marked(films["results"]),
        "total_pages": films["total_pages"],
        "current_page": films["page"],
        "total_results": films["total_results"],
        "favorites_count": marks.favorites_count,
        "watchlist_count": marks.watchlist_count,
        "sections": sections(outcomes),
    }
