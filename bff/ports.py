"""What pages and views need of the clients; the upstream room fits into it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from bff.model import Call, Intent
from bff.reads import Read

Params = Mapping[str, str]
Json = dict[str, Any]


class Tmdb(Protocol):
    """Plans reads of TMDB. `params`: `language`, `region` and what the read takes, as text."""

    def popular(self, params: Params) -> Call[Json]:
        """Plan a page of popular films."""

    def trending(self, params: Params) -> Call[Json]:
        """Plan the films that trend this week."""

    def search(self, params: Params) -> Call[Json]:
        """Plan a search for films."""

    def movie(self, movie_id: int) -> Call[Json]:
        """Plan a film's details."""

    def enriched(self, movie_id: int, params: Params) -> Call[Json]:
        """Plan a film with credits, reviews, similar and recommended films."""

    def recommendations(self, movie_id: int, params: Params) -> Call[Json]:
        """Plan the films recommended to those who liked this one."""

    def configuration(self) -> Call[Json]:
        """Plan TMDB's configuration of pictures."""

    def read(
        self, row: Read, path: Mapping[str, object] | None = None, params: Params | None = None
    ) -> Call[Json]:
        """Plan any read of the table."""


class Users(Protocol):
    """Plans calls about one user's library. `name`: that of the collection."""

    def favorites(self, user: str) -> Call[Json]:
        """Plan {favorites, total}."""

    def watchlist(self, user: str) -> Call[Json]:
        """Plan {watchlist, total}."""

    def history(self, user: str) -> Call[Json]:
        """Plan {history, total}."""

    def collection(self, name: str, user: str) -> Call[Json]:
        """Plan one collection by its name."""

    def add(self, name: str, user: str, item: Mapping[str, Any], intent: Intent) -> Call[Any]:
        """Plan to add an item that is not there yet."""

    def put_new(
        self, name: str, user: str, movie_id: int, item: Mapping[str, Any], intent: Intent
    ) -> Call[Any]:
        """Plan to set an item; `AlreadyThere` if it is there."""

    def change(
        self, name: str, user: str, movie_id: int, item: Mapping[str, Any], intent: Intent
    ) -> Call[Any]:
        """Plan to change an item; `NotFound` if it is not there."""

    def remove(self, name: str, user: str, movie_id: int, intent: Intent) -> Call[Any]:
        """Plan to remove an item."""
