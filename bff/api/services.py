"""What the views work with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flask import current_app

from bff.api.encode import Encoder
from bff.api.identity import Identity
from bff.fan_out import FanOut
from bff.readiness import Checks

if TYPE_CHECKING:
    from bff.upstream.tmdb import TmdbClient
    from bff.upstream.users import UserClient


@dataclass(frozen=True)
class Services:
    """The parts that the views use; `app.extensions["bff"]`. Thread-safe, all of them.

    `clients`: those of every upstream, by its name. `stubs`: addresses of the stubs by
    upstream, empty where TMDB is live. `close` ends everything that outlives a request.
    """

    fan_out: FanOut
    tmdb: TmdbClient
    users: UserClient
    clients: Mapping[str, Any]
    identity: Identity
    encoder: Encoder
    health: Callable[[], Checks]
    close: Callable[[], None]
    stubs: Mapping[str, str]

    def user(self) -> str:
        """Return whose request this is; raise `Unauthorized`."""
        return self.identity.user()

    @property
    def tmdb_is_live(self) -> bool:
        """Whether films come from TMDB and not from the stub."""
        return not self.stubs


def services() -> Services:
    """Return the services of the app at hand."""
    found: Services = current_app.extensions["bff"]
    return found
