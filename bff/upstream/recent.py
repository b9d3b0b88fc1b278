"""How often something happened lately, in little room however often that is."""

from __future__ import annotations

from collections import deque

PARTS = 60  # parts of a window; an event counts for up to one of them longer


class Recent:
    """Counts over the last `window_s`. Not thread-safe: its owner has a lock.

    Moments are those of one clock that does not go back, in seconds.
    """

    def __init__(self, window_s: float) -> None:
        self._step_s = window_s / PARTS
        self._counts: deque[list[int]] = deque()  # the number of a part, and its count
        self._total = 0

    def add(self, now: float) -> int:
        """Count one more, and return how many there were with it."""
        part = int(now // self._step_s)
        if self._counts and self._counts[-1][0] == part:
            self._counts[-1][1] += 1
        else:
            self._counts.append([part, 1])
        self._total += 1
        return self.count(now)

    def count(self, now: float) -> int:
        """Return how many there were."""
        oldest = int(now // self._step_s) - PARTS
        while self._counts and self._counts[0][0] < oldest:
            self._total -= self._counts.popleft()[1]
        return self._total

    def clear(self) -> None:
        """Forget all."""
        self._counts.clear()
        self._total = 0
