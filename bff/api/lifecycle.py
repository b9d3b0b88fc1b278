"""What happens around every request: id, deadline, headers and one log line."""

from __future__ import annotations

import logging
import random
import re
import time

from flask import Flask, Response, request

from bff import context
from bff.context import Deadline, RequestContext, Timing
from bff.observability import metrics
from bff.observability.logs import event
from bff.tracing import Tracer

log = logging.getLogger("bff.access")

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}", re.ASCII)  # RFC 9110 section 5.6.2


METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"))  # a label needs a bound


def register(app: Flask, deadline_s: float, tracer: Tracer) -> None:
    """Put the context around each request of the app. `deadline_s`: what a page may take."""

    @app.before_request
    def begin() -> None:
        environ = request.environ
        arrived = time.monotonic()
        context.enter(
            RequestContext(
                _request_id(environ.get("HTTP_X_REQUEST_ID")),
                Deadline(arrived + deadline_s),
                arrived=arrived,
                revision=_revision(environ),
                trace_id=tracer.incoming(environ.get("HTTP_TRACEPARENT"), environ["PATH_INFO"]),
            )
        )

    @app.after_request
    def finish(response: Response) -> Response:
        seen = context.current()
        asked = request._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001 - once
        duration_s = time.monotonic() - seen.arrived
        route = asked.url_rule.rule if asked.url_rule else "-"
        add = response.headers.add
        add("X-Request-ID", seen.request_id)
        add("X-Process-Time", f"{duration_s:.4f}")
        if seen.timings:
            add("Server-Timing", ", ".join([_entry(timing) for timing in seen.timings]))
        method = asked.method if asked.method in METHODS else "other"
        metrics.requests_of(route, method, response.status_code).inc()
        metrics.seconds_of(route).observe(duration_s)
        tracer.ended(route, response.status_code)
        if log.isEnabledFor(logging.INFO):
            event(
                log,
                logging.INFO,
                "request",
                method=asked.method,
                route=route,
                status=response.status_code,
                duration_ms=round(duration_s * 1000, 1),
                upstream=[f"{t.upstream}.{t.operation}:{t.outcome}" for t in seen.timings],
            )
        return response


def _request_id(given: str | None) -> str:
    if given is not None and _TOKEN.fullmatch(given):
        return given
    return f"{random.getrandbits(128):032x}"  # has to be unlike others, not unguessable


def _revision(environ: dict[str, str]) -> int:
    """Return the revision of their library that the caller knows of; 0: of none.

    After a write it comes back in a header or in the cookie: a worker that
    holds an older library asks again, so that nobody misses their own write.
    """
    text = environ.get("HTTP_X_LIBRARY_REVISION")
    if text is None and "library_revision" in environ.get("HTTP_COOKIE", ""):
        text = request.cookies.get("library_revision")
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else 0


def _entry(timing: Timing) -> str:
    """Return one entry of Server-Timing (W3C)."""
    if timing.outcome == "hit":
        return f'cache;desc="{timing.upstream} {timing.operation}"'
    return f'{timing.upstream};desc="{timing.operation}";dur={timing.duration_ms:.1f}'
