"""How many requests a caller may make in a minute."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from flask import Flask, Response, g, request
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage, Storage
from limits.strategies import FixedWindowRateLimiter

from bff.api.identity import Identity, Unauthorized
from bff.api.problems import problem

COUNTED = "/api/"


@dataclass(frozen=True)
class Limit:
    """`per_minute` requests for each caller: the user of a valid token, else the address.

    Thread-safe. Answers 429 above it, and says in RateLimit (IETF draft
    ratelimit-headers) what is left. Health and documents are not counted.
    """

    per_minute: int
    identity: Identity
    storage: Storage

    def register(self, app: Flask) -> None:
        """Count each request of the app before its view."""
        item = RateLimitItemPerMinute(self.per_minute)
        limiter = FixedWindowRateLimiter(self.storage)
        policy = f'"default";q={self.per_minute};w=60'

        @app.before_request
        def count() -> Response | None:
            if not request.path.startswith(COUNTED) or request.method == "OPTIONS":
                return None
            caller = self._caller()
            allowed = limiter.hit(item, caller)
            window = limiter.get_window_stats(item, caller)
            wait = max(1, math.ceil(window.reset_time - time.time()))
            g.rate_limit = (f'"default";r={max(0, window.remaining)};t={wait}', policy)
            if allowed:
                return None
            return problem(
                "rate-limited",
                f"more than {self.per_minute} requests in a minute",
                {"Retry-After": str(wait)},
                retry_after=wait,
            )

        @app.after_request
        def tell(response: Response) -> Response:
            if "rate_limit" in g:
                response.headers["RateLimit"], response.headers["RateLimit-Policy"] = g.rate_limit
            return response

    def _caller(self) -> str:
        if "Authorization" in request.headers:
            try:
                return f"user:{self.identity.user()}"
            except Unauthorized:
                pass
        return f"address:{request.remote_addr}"


def in_memory() -> Storage:
    """Return a count for this process alone."""
    return MemoryStorage()
