"""What the pages need of the clients: the plugs that the upstream room fits into."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from bff.model import Call

Params = Mapping[str, str]
Json = dict[str, Any]


class TmdbReads(Protocol):
    """Plans of TMDB reads. `params`: `language`, `region` and what the read takes, as text."""

    def popular(self, params: Params) -> Call[Json]:
        """Plan a page of popular films."""

    def trending(self, params: Params) -> Call[Json]:
        """Plan the films that trend this week."""

    def search(self, params: Params) -> Call[Json]:
        """Plan a search for films."""

    def enriched(self, movie_id: int, params: Params) -> Call[Json]:
        """Plan a film with credits, reviews, similar and recommended films."""

    def recommendations(self, movie_id: int, params: Params) -> Call[Json]:
        """Plan the films recommended to those who liked this one."""


class UserReads(Protocol):
    """Plans of reads of one user's library."""

    def favorites(self, user: str) -> Call[Json]:
        """Plan {favorites, total}."""

    def watchlist(self, user: str) -> Call[Json]:
        """Plan {watchlist, total}."""

    def history(self, user: str) -> Call[Json]:
        """Plan {history, total}."""
