"""What happens around every request: id, deadline, headers and one log line."""

from __future__ import annotations

import logging
import re
import time
from uuid import uuid4

from flask import Flask, Response, g, request

from bff import context
from bff.context import Deadline, RequestContext, Timing

log = logging.getLogger("bff.access")

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}", re.ASCII)  # RFC 9110 section 5.6.2


def register(app: Flask, deadline_s: float) -> None:
    """Put the context around each request of the app. `deadline_s`: what a page may take."""

    @app.before_request
    def begin() -> None:
        now = time.monotonic()
        # The worker notes when a request came in, so that time in its queue counts as well.
        arrived = request.environ.get("bff.arrived", now)
        g.arrived = arrived
        context.enter(RequestContext(_request_id(), Deadline(arrived + deadline_s)))

    @app.after_request
    def finish(response: Response) -> Response:
        seen = context.current()
        duration_s = time.monotonic() - g.get("arrived", time.monotonic())
        headers = response.headers
        headers["X-Request-ID"] = seen.request_id
        headers["X-Process-Time"] = f"{duration_s:.4f}"
        if seen.timings:
            headers["Server-Timing"] = ", ".join(_entry(timing) for timing in seen.timings)
        if log.isEnabledFor(logging.INFO):
            log.info(
                "request method=%s route=%s status=%d duration_ms=%.1f upstream=%s",
                request.method,
                request.url_rule.rule if request.url_rule else "-",
                response.status_code,
                duration_s * 1000,
                ",".join(f"{t.upstream}.{t.operation}:{t.outcome}" for t in seen.timings) or "-",
            )
        return response


def _request_id() -> str:
    given = request.headers.get("X-Request-ID", "")
    return given if _TOKEN.fullmatch(given) else uuid4().hex


def _entry(timing: Timing) -> str:
    """Return one entry of Server-Timing (W3C)."""
    if timing.outcome == "hit":
        return f'cache;desc="{timing.upstream} {timing.operation}"'
    return f'{timing.upstream};desc="{timing.operation}";dur={timing.duration_ms:.1f}'
