"""The search: films that match, with the user's marks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bff.model import Outcomes, Plan
from bff.pages.marks import Marks
from bff.pages.sections import required, sections

if TYPE_CHECKING:
    from bff.upstream.tmdb import Params, TmdbClient
    from bff.upstream.users import UserClient


def plan(tmdb: TmdbClient, users: UserClient, user: str, params: Params) -> Plan:
    """Name the calls of the search; `params`: query, page, year, include_adult and the like."""
    return {
        "results": tmdb.search(params),
        "favorites": users.favorites(user),
        "watchlist": users.watchlist(user),
    }


def assemble(outcomes: Outcomes, query: str) -> dict[str, Any]:
    """Return what was found; raise where the search failed, which is no empty result."""
    found = required(outcomes["results"])
    marks = Marks.of(outcomes["favorites"], outcomes["watchlist"])
    return {
        "results": marks.marked(found["results"]),
        "query": query,
        "page": found["page"],
        "total_pages": found["total_pages"],
        "total_results": found["total_results"],
        "sections": sections(outcomes),
    }
