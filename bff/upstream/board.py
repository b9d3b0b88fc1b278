"""Where the circuit breakers of all workers tell each other that a circuit is open."""

from __future__ import annotations

import threading
import time
from typing import Any, Protocol

import redis

from bff.upstream.store import Bypass

LOOK_EVERY_S = 0.25  # how old a worker's view of the others may be


class Board(Protocol):
    """What breakers know of each other. Thread-safe; never raises."""

    def opened_at(self, name: str) -> float | None:
        """Return when a circuit was opened by any worker (wall clock); None: it is closed."""

    def open(self, name: str, at: float, keep_s: float) -> None:
        """Tell that a circuit is open."""

    def close(self, name: str) -> None:
        """Tell that a circuit is closed."""

    def probe(self, name: str, for_s: float) -> bool:
        """Whether the caller is the one over all workers whose probe goes out."""

    def probed(self, name: str) -> None:
        """Tell that the probe has come back."""

    @property
    def shared(self) -> bool:
        """Whether other workers look at it."""


class NoBoard:
    """A worker on its own."""

    shared = False

    def opened_at(self, name: str) -> float | None:
        """Know nothing."""
        return None

    def open(self, name: str, at: float, keep_s: float) -> None:
        """Tell nobody."""

    def close(self, name: str) -> None:
        """Tell nobody."""

    def probe(self, name: str, for_s: float) -> bool:
        """Let the worker's own gate decide."""
        return True

    def probed(self, name: str) -> None:
        """Tell nobody."""


class RedisBoard:
    """The board in Redis; while Redis is gone each worker is on its own."""

    shared = True

    def __init__(self, client: redis.Redis, prefix: str = "bff:circuit:") -> None:
        self._client, self._prefix = client, prefix
        self._try = Bypass("redis", (redis.RedisError, ValueError, OSError))
        self._seen: dict[str, tuple[float, float | None]] = {}
        self._lock = threading.Lock()

    def opened_at(self, name: str) -> float | None:
        """Return when a circuit was opened, as of at most `LOOK_EVERY_S` ago."""
        now = time.monotonic()
        with self._lock:
            looked, opened = self._seen.get(name, (0.0, None))
            if now - looked < LOOK_EVERY_S:
                return opened
            self._seen[name] = (now, opened)  # the others need not look as well
        found: Any = self._try(lambda: self._client.get(self._prefix + name), None)
        opened = float(found) if found else None
        self._seen[name] = (now, opened)
        return opened

    def open(self, name: str, at: float, keep_s: float) -> None:
        """Tell that a circuit is open."""
        self._seen[name] = (time.monotonic(), at)
        milliseconds = int(keep_s * 1000)
        self._try(lambda: self._client.set(self._prefix + name, repr(at), px=milliseconds), None)

    def close(self, name: str) -> None:
        """Tell that a circuit is closed."""
        self._seen[name] = (time.monotonic(), None)
        self._try(lambda: self._client.delete(self._prefix + name), None)

    def probe(self, name: str, for_s: float) -> bool:
        """Whether the caller is the one over all workers whose probe goes out."""
        key, milliseconds = f"{self._prefix}{name}:probe", max(1, int(for_s * 1000))
        return self._try(lambda: bool(self._client.set(key, b"1", nx=True, px=milliseconds)), True)

    def probed(self, name: str) -> None:
        """Tell that the probe has come back."""
        self._try(lambda: self._client.delete(f"{self._prefix}{name}:probe"), None)
