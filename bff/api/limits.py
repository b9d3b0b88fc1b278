"""How many requests a caller may make in a minute.

Without Redis each worker counts for itself, so that a caller may have up to the
limit in each of them. With Redis the limit holds over all workers and machines.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from flask import Flask, Response, g, request
from limits import RateLimitItemPerMinute, WindowStats
from limits.strategies import FixedWindowRateLimiter

from bff.api.identity import Identity, Unauthorized
from bff.api.problems import problem
from bff.limiter import Limiter

COUNTED = "/api/"


@dataclass(frozen=True)
class Usage:
    """Where a caller stands: `remaining` requests until the window ends in `reset_s` seconds."""

    allowed: bool
    remaining: int
    reset_s: int


class RateLimiter:
    """A fixed window of a minute for each caller, which begins with their first request.

    Thread-safe. Counts in Redis where `redis_url` is set.
    """

    def __init__(
        self, per_minute: int, redis_url: str = "", clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.per_minute = per_minute
        self._item = RateLimitItemPerMinute(per_minute)
        self._limiter = Limiter(FixedWindowRateLimiter, redis_url, clock)

    def hit(self, caller: str) -> Usage:
        """Count one request of `caller`."""
        return self._limiter.ask(lambda limiter: self._count(limiter, caller))

    def _count(self, limiter: FixedWindowRateLimiter, caller: str) -> Usage:
        allowed = limiter.hit(self._item, caller)
        window: WindowStats = limiter.get_window_stats(self._item, caller)
        reset_s = max(1, math.ceil(window.reset_time - time.time()))
        return Usage(allowed, window.remaining, reset_s)


def register(app: Flask, limiter: RateLimiter, identity: Identity) -> None:
    """Count each request under `/api/` before its view; answer 429 above the limit.

    The caller is the user of a valid token, else the address. The answer says in
    `RateLimit` what is left (IETF draft-ietf-httpapi-ratelimit-headers). Health,
    documents and preflights are not counted.
    """
    policy = f'"default";q={limiter.per_minute};w=60'

    @app.before_request
    def count() -> Response | None:
        if not request.path.startswith(COUNTED) or request.method == "OPTIONS":
            return None
        g.usage = usage = limiter.hit(_caller(identity))
        if usage.allowed:
            return None
        return problem(
            "rate-limited",
            f"more than {limiter.per_minute} requests in a minute",
            {"Retry-After": str(usage.reset_s)},
            retry_after=usage.reset_s,
        )

    @app.after_request
    def describe(response: Response) -> Response:
        usage: Usage | None = g.get("usage")
        if usage is not None:
            response.headers["RateLimit"] = f'"default";r={usage.remaining};t={usage.reset_s}'
            response.headers["RateLimit-Policy"] = policy
        return response


def _caller(identity: Identity) -> str:
    if "Authorization" in request.headers:
        try:
            return f"user:{identity.user()}"
        except Unauthorized:
            pass  # a token that is not valid buys no allowance of its own
    return f"address:{request.remote_addr}"
