"""The board of circuit breakers in Redis, for the workers of all machines."""

from __future__ import annotations

import threading
import time
from typing import Any
from uuid import uuid4

import redis

from bff.upstream.bypass import Bypass
from bff.upstream.over_redis.client import RELEASE, briefly

LOOK_EVERY_S = 0.25  # how old a worker's view of the others may be


class RedisBoard:
    """The board in Redis; while Redis is gone each worker is on its own.

    What a worker found out itself stays true for it until Redis can be asked,
    and is told when Redis is back.
    """

    shared = True

    def __init__(self, client: redis.Redis, prefix: str = "bff:circuit:") -> None:
        self._client, self._prefix = briefly(client), prefix
        self._try = Bypass("redis", (redis.RedisError, ValueError, OSError))
        self._me = uuid4().hex
        self._probed = client.register_script(RELEASE)
        self._seen: dict[str, tuple[float, float | None]] = {}
        self._untold: dict[str, tuple[float, float]] = {}  # circuits by moment and time to keep
        self._lock = threading.Lock()

    def opened_at(self, name: str) -> float | None:
        """Return when a circuit was opened, as of at most `LOOK_EVERY_S` ago."""
        now = time.monotonic()
        with self._lock:
            looked, opened = self._seen.get(name, (float("-inf"), None))
            if now - looked < LOOK_EVERY_S:
                return opened
            mine = self._seen[name] = (now, opened)  # the others need not look as well
            untold = self._untold.get(name)
        if untold is not None:
            self._tell(name, *untold)
        found = self._try(lambda: self._get(name), opened)
        with self._lock:
            if self._seen[name] is mine:  # nothing was found out here meanwhile
                self._seen[name] = (now, found)
            return self._seen[name][1]

    def _get(self, name: str) -> float | None:
        found: Any = self._client.get(self._prefix + name)
        return float(found) if found else None

    def open(self, name: str, at: float, keep_s: float) -> None:
        """Tell that a circuit is open."""
        with self._lock:
            self._seen[name] = (time.monotonic(), at)
            self._untold[name] = (at, keep_s)
        self._tell(name, at, keep_s)

    def _tell(self, name: str, at: float, keep_s: float) -> None:
        key, milliseconds = self._prefix + name, max(1, int(keep_s * 1000))
        told = self._try(lambda: bool(self._client.set(key, repr(at), px=milliseconds)), False)
        with self._lock:
            if told and self._untold.get(name) == (at, keep_s):
                del self._untold[name]

    def close(self, name: str) -> None:
        """Tell that a circuit is closed."""
        with self._lock:
            self._seen[name] = (time.monotonic(), None)
            self._untold.pop(name, None)
        self._try(lambda: self._client.delete(self._prefix + name), None)

    def probe(self, name: str, for_s: float) -> bool:
        """Whether the caller is the one over all workers whose probe goes out."""
        key, milliseconds = f"{self._prefix}{name}:probe", max(1, int(for_s * 1000))
        return self._try(
            lambda: bool(self._client.set(key, self._me, nx=True, px=milliseconds)), True
        )

    def probed(self, name: str) -> None:
        """Tell that the probe has come back."""
        key = f"{self._prefix}{name}:probe"
        self._try(lambda: self._probed(keys=[key], args=[self._me]), None)
