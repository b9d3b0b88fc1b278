"""Which other origins may read the answers."""

from __future__ import annotations

from flask import Flask, Response
from flask_cors import CORS

METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"]
EXPOSED = [
    *("X-Request-ID", "X-Process-Time", "Server-Timing", "X-Degraded", "X-Library-Revision"),
    *("ETag", "Age", "Cache-Status", "Retry-After", "RateLimit", "RateLimit-Policy", "Location"),
]


def register(app: Flask, origins: tuple[str, ...]) -> None:
    """Allow `origins` to read every answer."""
    CORS(
        app,
        origins=list(origins),
        methods=METHODS,
        expose_headers=EXPOSED,
        max_age=600,
        always_send=False,
        vary_header=False,
    )

    @app.after_request
    def vary(response: Response) -> Response:
        # Also without an Origin header: a shared cache must not give a page that it stored
        # without CORS headers to a browser that needs them.
        if "Origin" not in response.headers.get("Vary", ""):
            response.vary.add("Origin")
        return response
