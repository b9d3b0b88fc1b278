"""A budget for retries, so that they cannot double the load on an ailing upstream."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from bff.upstream.recent import Recent


class RetryBudget:
    """Allows at most `share` extra calls over any `window_s`, and at least `least`.

    Thread-safe. The idea of a budget is Finagle's RetryBudget.
    """

    def __init__(
        self,
        share: float = 0.1,
        least: int = 3,
        window_s: float = 60,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._share, self._least, self._clock = share, least, clock
        self._calls, self._retries = Recent(window_s), Recent(window_s)
        self._lock = threading.Lock()

    def call(self) -> None:
        """Note a first attempt, which earns budget."""
        with self._lock:
            self._calls.add(self._clock())

    def retry(self) -> bool:
        """Take one retry from the budget; False where it is used up."""
        with self._lock:
            now = self._clock()
            allowed = max(self._least, int(self._calls.count(now) * self._share))
            if self._retries.count(now) >= allowed:
                return False
            self._retries.add(now)
            return True
