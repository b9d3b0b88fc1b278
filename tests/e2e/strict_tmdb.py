"""A TMDB that keeps its limit to the letter: the stub behind a sliding second of 40 calls.

`STRICT_PER_SECOND` sets another limit, as if somebody else used up the rest of the allowance.
`GET /__strict` tells what it saw: calls, answers with 429, calls that came inside of a
Retry-After, and the most calls in any second. One process, many threads.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from scripts.processes import Server

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from tests.e2e.stack import Stack

PER_SECOND = 40
RETRY_AFTER_S = 1
# A call that was on its way when the 429 was sent cannot know of it.
ON_ITS_WAY_S = 0.05


class Strict:
    """Counts calls to `app`, and answers 429 with Retry-After above the limit. Thread-safe."""

    def __init__(self, app: WSGIApplication, per_second: int = PER_SECOND) -> None:
        self._app, self._per_second = app, per_second
        self._lock = threading.Lock()
        self._second: deque[float] = deque()
        self._told_at = float("-inf")
        self.seen = {"calls": 0, "refused": 0, "inside_retry_after": 0, "most_in_a_second": 0}

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one call."""
        path = environ.get("PATH_INFO", "")
        if path == "/__strict":
            start_response("200 OK", [("Content-Type", "application/json")])
            return [json.dumps(self.seen).encode()]
        if path == "/health" or path.startswith("/__") or self._allowed():
            return self._app(environ, start_response)
        headers = [("Content-Type", "application/json"), ("Retry-After", str(RETRY_AFTER_S))]
        start_response("429 Too Many Requests", headers)
        return [b'{"status_code":25,"status_message":"Your request count is over the limit."}']

    def _allowed(self) -> bool:
        with self._lock:
            now = time.monotonic()
            seen: Any = self.seen
            seen["calls"] += 1
            if self._told_at + ON_ITS_WAY_S < now < self._told_at + RETRY_AFTER_S:
                seen["inside_retry_after"] += 1
            while self._second and self._second[0] <= now - 1:
                self._second.popleft()
            self._second.append(now)
            seen["most_in_a_second"] = max(seen["most_in_a_second"], len(self._second))
            if len(self._second) <= self._per_second:
                return True
            seen["refused"] += 1
            self._told_at = now
            return False


def create_app() -> Strict:
    """Return the stub behind the limit; gunicorn calls it."""
    from tmdb_stub.wsgi import app

    return Strict(app, int(os.environ.get("STRICT_PER_SECOND", PER_SECOND)))


def stand_in(stack: Stack) -> None:
    """Put this TMDB in the place of a stack's plain one, which has not started yet."""
    plain = stack.servers["tmdb"]
    options = ["--bind", f"127.0.0.1:{plain.port}"]
    app, conf = "tests.e2e.strict_tmdb:create_app()", "tmdb_stub/gunicorn_conf.py"
    stack.servers["tmdb"] = Server("tmdb", app, conf, plain.port, plain.log, options)
