"""What the workers of all machines share, in Redis.

Loaded only where there is one: the client's package takes 8 MB of a worker.
"""

from __future__ import annotations

import redis
from limits.storage import RedisStorage

from bff.readiness import Checks
from bff.upstream.governor import Ceiling, LocalTurns
from bff.upstream.over_redis.board import RedisBoard
from bff.upstream.over_redis.client import briefly
from bff.upstream.over_redis.ping import Ping
from bff.upstream.over_redis.store import RedisStore
from bff.upstream.over_redis.turns import RedisTurns

__all__ = ["OverRedis"]

TIMEOUT_S = 0.2


class OverRedis:
    """Makes the parts that share through one Redis. Thread-safe; asks nothing by itself."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client = redis.Redis.from_url(
            url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S, max_connections=64
        )
        self._ping = Ping(self._client)

    def store(self) -> RedisStore:
        """Return where workers share answers and leases."""
        return RedisStore(self._client)

    def board(self, place: str = "") -> RedisBoard:
        """Return where breakers tell each other; a `place` has circuits of its own."""
        return RedisBoard(self._client, f"bff:circuit:{place}:" if place else "bff:circuit:")

    def turns(self, ceiling: Ceiling, alone: LocalTurns, hold_s: float) -> RedisTurns:
        """Return whose turn it is to call TMDB."""
        return RedisTurns(self._client, ceiling, alone, hold_s)

    def counts(self) -> RedisStorage:
        """Return where requests are counted, in the way of the `limits` library."""
        storage = RedisStorage(
            self._url,
            wrap_exceptions=True,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
        )
        briefly(storage.storage)
        return storage

    def health(self) -> Checks:
        """Return whether Redis answers."""
        return self._ping.health()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
