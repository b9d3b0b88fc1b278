"""A budget for retries, so that they cannot double the load on an ailing upstream."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable


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
        self._share, self._least, self._window_s, self._clock = share, least, window_s, clock
        self._calls: deque[float] = deque()
        self._retries: deque[float] = deque()
        self._lock = threading.Lock()

    def call(self) -> None:
        """Note a first attempt, which earns budget."""
        with self._lock:
            self._forget()
            self._calls.append(self._clock())

    def retry(self) -> bool:
        """Take one retry from the budget; False where it is used up."""
        with self._lock:
            self._forget()
            allowed = max(self._least, int(len(self._calls) * self._share))
            if len(self._retries) >= allowed:
                return False
            self._retries.append(self._clock())
            return True

    def _forget(self) -> None:
        oldest = self._clock() - self._window_s
        for moments in (self._calls, self._retries):
            while moments and moments[0] < oldest:
                moments.popleft()
