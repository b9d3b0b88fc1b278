"""What happens around every request: its id, its deadline, headers of its answer, one log line."""

from __future__ import annotations

import logging
import re
import time
from uuid import uuid4

from flask import Flask, Response, request

from bff import context
from bff.context import Deadline, RequestContext, Timing
from bff.observability import metrics
from bff.observability.logs import event

log = logging.getLogger("bff.access")

METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS")  # a metric's label needs a bound
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}", re.ASCII)  # RFC 9110 section 5.6.2


def register(app: Flask, deadline_s: float) -> None:
    """Give each request of the app a context that ends in `deadline_s` seconds, and account for it.

    Call it before other parts hook into requests, which rely on the context.
    """

    @app.before_request
    def begin() -> None:
        context.enter(
            RequestContext(
                request_id=_request_id(request.headers.get("X-Request-ID", "")),
                deadline=Deadline.after(deadline_s),
                arrived=time.monotonic(),
                revision=_revision(),
            )
        )

    @app.after_request
    def finish(response: Response) -> Response:
        current = context.current()
        duration_s = time.monotonic() - current.arrived
        _describe(response, current, duration_s)
        _account(response, current, duration_s)
        return response


def _describe(response: Response, current: RequestContext, duration_s: float) -> None:
    """Tell the caller the request's id and where its time went."""
    response.headers["X-Request-ID"] = current.request_id
    response.headers["X-Process-Time"] = f"{duration_s:.4f}"
    if current.timings:
        response.headers["Server-Timing"] = ", ".join(map(_entry, current.timings))


def _account(response: Response, current: RequestContext, duration_s: float) -> None:
    """Count the request and write its line to the log."""
    route = request.url_rule.rule if request.url_rule else "-"
    method = request.method if request.method in METHODS else "other"
    metrics.REQUESTS.labels(route, method, response.status_code).inc()
    metrics.REQUEST_SECONDS.labels(route).observe(duration_s)
    event(
        log,
        logging.INFO,
        "request",
        method=request.method,
        route=route,
        status=response.status_code,
        duration_ms=round(duration_s * 1000, 1),
        upstream=[f"{one.upstream}.{one.operation}:{one.outcome}" for one in current.timings],
    )


def _request_id(given: str) -> str:
    """Return the caller's id where it is a plain token, else a new one."""
    return given if _TOKEN.fullmatch(given) else uuid4().hex


def _revision() -> int:
    """Return the revision of their library that the caller knows of; 0: of none.

    After a write it comes back in a header or in the cookie: a worker that
    holds an older library asks again, so that nobody misses their own write.
    """
    text = request.headers.get("X-Library-Revision") or request.cookies.get("library_revision", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0


def _entry(timing: Timing) -> str:
    """Return one entry of Server-Timing (W3C)."""
    if timing.outcome == "hit":
        return f'cache;desc="{timing.upstream} {timing.operation}"'
    return f'{timing.upstream};desc="{timing.operation}";dur={timing.duration_ms:.1f}'
