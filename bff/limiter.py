"""Rate limits by the `limits` library: counted in Redis where there is one, else in this worker."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from limits.errors import StorageError
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import RateLimiter

from bff.observability.logs import event

log = logging.getLogger(__name__)
T = TypeVar("T")
L = TypeVar("L", bound=RateLimiter)

REDIS_TIMEOUT_S = 0.2
FAIL_OPEN_S = 5.0  # how long Redis is left alone after a fault


class Limiter(Generic[L]):
    """One strategy of `limits` over both storages. Thread-safe; lives as long as the app.

    While Redis fails it counts in this worker's memory for `FAIL_OPEN_S` at a time, then one
    caller tries Redis again. What is in memory expires by itself.
    """

    def __init__(
        self,
        strategy: type[L],
        redis_url: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._local, self._shared = strategy(MemoryStorage()), None
        if redis_url:
            self._shared = strategy(
                RedisStorage(
                    redis_url,
                    wrap_exceptions=True,
                    socket_timeout=REDIS_TIMEOUT_S,
                    socket_connect_timeout=REDIS_TIMEOUT_S,
                )
            )
        self._clock = clock
        self._failed = False
        self._retry_at = 0.0

    def ask(self, question: Callable[[L], T]) -> T:
        """Return what the strategy answers to `question`, over whichever storage works."""
        now = self._clock()
        if self._shared is None or now < self._retry_at:
            return question(self._local)
        if self._failed:
            self._retry_at = now + FAIL_OPEN_S  # other callers do not wait for this attempt
        try:
            answer = question(self._shared)
        except StorageError as error:
            self._retry_at = self._clock() + FAIL_OPEN_S
            if not self._failed:
                fault = type(error.storage_error).__name__
                event(log, logging.WARNING, "limits.local", fault=fault)
            self._failed = True
            return question(self._local)
        self._failed, self._retry_at = False, 0.0
        return answer
