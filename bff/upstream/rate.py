"""How often an upstream may be called: its ceiling, its Retry-After, and the retry budget."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from limits import RateLimitItemPerMinute, RateLimitItemPerSecond, WindowStats
from limits.strategies import MovingWindowRateLimiter

from bff import context
from bff.errors import RateLimited
from bff.limiter import Limiter
from bff.observability.logs import event
from bff.readiness import Checks, check
from bff.upstream.shared import RedisClient, RedisError

log = logging.getLogger(__name__)

MOST_WAIT_S = 0.5  # a call waits this long for a permit, then a stale answer is better
JUST_AFTER_S = 0.005  # at the very moment that a permit is a window old it still counts
RESERVE = 0.25  # of the ceiling, which refreshes behind a page leave to interactive calls
RETRIES = RateLimitItemPerMinute(10)  # so that they cannot double the load of an upstream
LONGEST_OBEYED_S = 120.0  # of a Retry-After; then one call looks
LOOK_S = 5.0  # what the one call that looks may take
DEFAULT_PAUSE_S = 1.0  # after a 429 that does not say how long
Permits = Limiter[MovingWindowRateLimiter]


class Ceiling:
    """Keeps the calls to an upstream below `per_second`. Thread-safe; lives as long as the app.

    Interactive calls wait a moment for a permit; refreshes behind a page take one only while
    enough are left for interactive calls.
    """

    def __init__(self, upstream: str, per_second: int, limiter: Permits) -> None:
        self._upstream, self._limiter = upstream, limiter
        self._item = RateLimitItemPerSecond(per_second)
        self._reserve = int(per_second * RESERVE)

    def take(self) -> None:
        """Take a permit; raise `RateLimited` where it would come too late."""
        now = context.current()
        if now.background and self._window().remaining <= self._reserve:
            raise RateLimited(self._upstream, "left to interactive calls", 1)
        until = time.monotonic() + min(MOST_WAIT_S, max(0.0, now.deadline.left_s()))
        while not self._limiter.ask(lambda limiter: limiter.hit(self._item, self._upstream)):
            wait_s = max(0.0, self._window().reset_time - time.time()) + JUST_AFTER_S
            if time.monotonic() + wait_s > until:
                raise RateLimited(self._upstream, "no permit in time", wait_s)
            time.sleep(wait_s)

    def _window(self) -> WindowStats:
        return self._limiter.ask(lambda it: it.get_window_stats(self._item, self._upstream))


class Pause:
    """Obeys an upstream that has asked to wait (429 with Retry-After). Thread-safe.

    A wait is obeyed for `LONGEST_OBEYED_S`; then one call looks, and the others wait until it
    is back. Shared through Redis, where there is one; a restart forgets it.
    """

    def __init__(
        self,
        upstream: str,
        client: RedisClient | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._upstream, self._client, self._clock = upstream, client, clock
        self._key = f"bff:{upstream}:pause"
        self._until = self._look_at = 0.0
        self._lock = threading.Lock()

    def begin(self, for_s: float) -> None:
        """Ask everybody to wait."""
        now = self._clock()
        with self._lock:
            self._until, self._look_at = now + for_s, now + min(for_s, LONGEST_OBEYED_S)
            self._share(for_s)
        event(log, logging.WARNING, "upstream.pause", upstream=self._upstream, wait_s=for_s)

    def end(self) -> None:
        """Go on: the call that looked was answered."""
        with self._lock:
            self._until = 0.0
            if self._client is not None:
                with suppress(RedisError, OSError):
                    self._client.delete(self._key)

    def check(self) -> bool:
        """Raise `RateLimited` while the upstream wants no calls; whether this call is to look."""
        with self._lock:
            self._hear()
            now = self._clock()
            if now >= self._until:
                self._until = 0.0
                return False
            wait_s = self._look_at - now
            if wait_s <= 0:  # this call looks
                self._look_at = now + LOOK_S
                self._share(self._until - now)
                return True
        raise RateLimited(self._upstream, "it has asked to wait", wait_s)

    def health(self) -> Checks:
        """Return what readiness tells: for how many seconds the upstream wants no calls."""
        left_s = max(0, round(self._until - self._clock()))
        return {f"{self._upstream}:pause": [check(left_s, not left_s, kind="component", unit="s")]}

    def _share(self, for_s: float) -> None:
        if self._client is not None:
            text, milliseconds = f"{self._until} {self._look_at}", max(1, int(for_s * 1000))
            with suppress(RedisError, OSError):
                self._client.set(self._key, text, px=milliseconds)

    def _hear(self) -> None:
        """Take over what another worker was told, or has found out."""
        if self._client is None:
            return
        with suppress(RedisError, OSError, ValueError):
            told = self._client.get(self._key)
            self._until, self._look_at = map(float, told.split()) if told else (0.0, 0.0)
