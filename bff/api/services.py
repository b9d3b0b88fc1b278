"""What the views work with; built once by the composition root and handed to each blueprint."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from bff.api.encode import Encoder
from bff.api.identity import Identity
from bff.fan_out import FanOut
from bff.model import Call, Intent
from bff.ports import Json, Params, TmdbReads, UserReads
from bff.readiness import Checks
from bff.reads import Read


class Tmdb(TmdbReads, Protocol):
    """What the views need of the TMDB client."""

    def read(
        self, row: Read, path: Mapping[str, object] | None = None, params: Params | None = None
    ) -> Call[Json]:
        """Plan any read of the table."""

    def movie(self, movie_id: int) -> Call[Json]:
        """Plan a film's details."""

    def configuration(self) -> Call[Json]:
        """Plan TMDB's configuration of images."""


class Users(UserReads, Protocol):
    """What the views need of the user-service client."""

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


@dataclass(frozen=True)
class Services:
    """The parts of the house that the views use. Thread-safe, all of them."""

    fan_out: FanOut
    tmdb: Tmdb
    users: Users
    identity: Identity
    encoder: Encoder
    health: Callable[[], Checks]
    tmdb_is_live: bool
