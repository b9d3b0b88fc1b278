"""TMDB's answers and leases in Redis, for the workers of all machines."""

from __future__ import annotations

import threading
from typing import Any
from uuid import uuid4

import redis

from bff.readiness import Checks
from bff.upstream.bypass import Bypass
from bff.upstream.over_redis.client import HOLD, RELEASE, briefly
from bff.upstream.store import Stored, unpacked


class RedisStore:
    """Answers and leases in Redis. Thread-safe."""

    def __init__(self, client: redis.Redis, prefix: str = "bff:tmdb:") -> None:
        self._client, self._prefix = briefly(client), prefix
        self._try = Bypass("redis", (redis.RedisError, ValueError, OSError))
        self._owned = client.register_script(RELEASE)
        self._longer = client.register_script(HOLD)
        self._me = uuid4().hex

    def get(self, key: str) -> Stored | None:
        """Return the answer of the key, however old."""
        packed: Any = self._try(lambda: self._client.get(self._prefix + key), None)
        return unpacked(packed)

    def put(self, key: str, stored: Stored, keep_s: float) -> None:
        """Keep an answer for `keep_s`."""
        milliseconds = max(1, int(keep_s * 1000))
        self._try(
            lambda: self._client.set(self._prefix + key, stored.pack(), px=milliseconds), None
        )

    def lease(self, key: str, for_s: float) -> bool:
        """Take the lease, or say that somebody else has it."""
        name = f"{self._prefix}lease:{key}"
        milliseconds = max(1, int(for_s * 1000))
        return self._try(
            lambda: bool(self._client.set(name, self._owner(), nx=True, px=milliseconds)), True
        )

    def release(self, key: str) -> None:
        """Give the lease back, if it is still the one that this thread took."""
        name = f"{self._prefix}lease:{key}"
        self._try(lambda: self._owned(keys=[name], args=[self._owner()]), None)

    def _owner(self) -> str:
        return f"{self._me}-{threading.get_ident()}"

    def hold(self, key: str, for_s: float) -> None:
        """Take the lease whoever has it, for longer than it is held already."""
        name, milliseconds = f"{self._prefix}lease:{key}", max(1, int(for_s * 1000))
        self._try(lambda: self._longer(keys=[name], args=[milliseconds]), None)

    def held_s(self, key: str) -> float:
        """Return for how many seconds the lease is still held; 0: by nobody."""
        return self._try(lambda: self._held_s(key), 0.0)

    def _held_s(self, key: str) -> float:
        left_ms: Any = self._client.pttl(f"{self._prefix}lease:{key}")
        return max(0.0, float(left_ms) / 1000)  # negative: there is none

    def health(self) -> Checks:
        """Return whether Redis is of use."""
        return self._try.health()

    def close(self) -> None:
        """Close nothing: the client is shared."""
