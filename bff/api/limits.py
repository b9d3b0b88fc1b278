"""How many requests a caller may make in a minute."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from flask import Flask, Response, request
from limits import RateLimitItemPerMinute
from limits.errors import StorageError
from limits.storage import Storage

from bff import context
from bff.api.counts import SharedCounts
from bff.api.identity import Identity, Unauthorized
from bff.api.problems import problem
from bff.observability.logs import event

log = logging.getLogger(__name__)

COUNTED = "/api/"
WINDOW_S = 60
BYPASS_S = 5.0  # how long a shared storage that failed is left alone


@dataclass(frozen=True)
class Limit:
    """`per_minute` requests for each caller: the user of a valid token, else the address.

    Thread-safe. Answers 429 above it, and says in RateLimit (IETF draft
    ratelimit-headers) what is left. Health and documents are not counted.
    `shared` counts over all machines; while it is gone, and without it, `local`
    counts over the workers of this one.
    """

    per_minute: int
    identity: Identity
    local: SharedCounts
    shared: Storage | None = None

    def register(self, app: Flask) -> None:
        """Count each request of the app before its view."""
        item = RateLimitItemPerMinute(self.per_minute)
        policy = f'"default";q={self.per_minute};w={WINDOW_S}'
        hit = self._counter()

        @app.before_request
        def count() -> Response | None:
            asked = request._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001
            if not asked.path.startswith(COUNTED) or asked.method == "OPTIONS":
                return None
            used, ends = hit(item.key_for(self._caller(asked.environ)))
            wait_s = max(1, math.ceil(ends - time.time()))
            left = max(0, self.per_minute - used)
            context.current().limit = (f'"default";r={left};t={wait_s}', policy)
            if used <= self.per_minute:
                return None
            return problem(
                "rate-limited",
                f"more than {self.per_minute} requests in a minute",
                {"Retry-After": str(wait_s)},
                retry_after=wait_s,
            )

        @app.after_request
        def tell(response: Response) -> Response:
            told = context.current().limit
            if told is not None:
                response.headers.add("RateLimit", told[0])
                response.headers.add("RateLimit-Policy", told[1])
            return response

    def _counter(self) -> Callable[[str], tuple[int, float]]:
        shared, local = self.shared, self.local
        if shared is None:
            return lambda key: local.hit(key, WINDOW_S)

        until = 0.0

        def hit(key: str) -> tuple[int, float]:
            nonlocal until
            if time.monotonic() < until:
                return local.hit(key, WINDOW_S)
            try:
                return shared.incr(key, WINDOW_S), shared.get_expiry(key)
            except StorageError as error:
                until = time.monotonic() + BYPASS_S
                event(
                    log, logging.WARNING, "limits.local", fault=type(error.storage_error).__name__
                )
                return local.hit(key, WINDOW_S)

        return hit

    def _caller(self, environ: dict[str, str]) -> str:
        if "HTTP_AUTHORIZATION" in environ:
            try:
                return f"user:{self.identity.user()}"
            except Unauthorized:
                pass
        return f"address:{environ.get('REMOTE_ADDR', '')}"
