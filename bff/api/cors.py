"""Which other origins may read the answers: flask-cors, asked only where a browser asks."""

from __future__ import annotations

from flask import Flask, Response, request
from flask_cors.core import get_cors_options, set_cors_headers

METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"]
EXPOSED = [
    *("X-Request-ID", "X-Process-Time", "Server-Timing", "X-Degraded", "X-Library-Revision"),
    *("ETag", "Age", "Cache-Status", "Retry-After", "RateLimit", "RateLimit-Policy", "Location"),
]


def register(app: Flask, origins: tuple[str, ...]) -> None:
    """Allow `origins`. Without an Origin header there is nothing to answer, and no time is spent.

    `Vary: Origin` stands on every answer all the same, or a shared cache would
    hand a page that was stored without CORS headers to a browser that needs them.
    """
    options = get_cors_options(
        app,
        {
            "origins": list(origins),
            "methods": METHODS,
            "expose_headers": EXPOSED,
            "max_age": 600,
            "vary_header": False,  # set below, for every answer and not for some
        },
    )

    @app.after_request
    def allow(response: Response) -> Response:
        vary = response.headers.get("Vary")
        if vary is None or "Origin" not in vary:
            response.headers["Vary"] = f"{vary}, Origin" if vary else "Origin"
        if "HTTP_ORIGIN" in request.environ:
            return set_cors_headers(response, options)
        return response
