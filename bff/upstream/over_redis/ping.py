"""Whether Redis answers, asked at most once in a second."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import redis

from bff.readiness import Checks, check

EVERY_S = 1.0


class Ping:
    """Thread-safe. One caller in a second asks; the others hear what the last one heard.

    The client's own timeout bounds how long that takes.
    """

    def __init__(self, client: redis.Redis, clock: Callable[[], float] = time.monotonic) -> None:
        self._client, self._clock = client, clock
        self._said = check("not asked yet", kind="datastore")
        self._next = float("-inf")
        self._lock = threading.Lock()

    def health(self) -> Checks:
        """Return how long the answer took, or the kind of the fault."""
        if self._clock() >= self._next and self._lock.acquire(blocking=False):
            try:
                self._said = self._ask()
                self._next = self._clock() + EVERY_S
            finally:
                self._lock.release()
        return {"redis:ping": [self._said]}

    def _ask(self) -> dict[str, object]:
        begun = self._clock()
        try:
            self._client.ping()
        except (redis.RedisError, OSError) as error:
            # The text of an error names hosts; its kind says enough.
            return check("no answer", False, kind="datastore", output=type(error).__name__)
        return check(round((self._clock() - begun) * 1000, 1), kind="datastore", unit="ms")
