"""The dashboard in a browser: the page, its assets and, beside the stubs, their addresses."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import flask
import orjson
from flask import Response

from bff.api.encode import JSON

FILES = Path(__file__).resolve().parents[1] / "web"
# The addresses that the page's own router knows; each can be opened directly.
VIEWS = ("/", "/feed", "/search", "/library", "/movie/<number>")
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
LIVE_IMAGES = "https://image.tmdb.org"


def blueprint(tmdb_is_live: bool, tmdb_url: str, users_url: str) -> flask.Blueprint:
    """Return the page's routes. The addresses are those of the upstreams.

    Where TMDB is the stub, pictures come from it, and the page may reach both
    stubs to switch their faults; `/web/dev.json` tells it where they are.
    """
    blp = flask.Blueprint("web", __name__)
    stubs = {} if tmdb_is_live else {"tmdb": _origin(tmdb_url), "users": _origin(users_url)}
    policy = _policy(LIVE_IMAGES if tmdb_is_live else stubs["tmdb"], list(stubs.values()))

    def page(number: str = "") -> Response:
        response = flask.send_from_directory(FILES, "index.html", max_age=0)
        response.headers["Content-Security-Policy"] = policy
        response.headers["X-Frame-Options"] = "DENY"
        response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
        response.headers["Permissions-Policy"] = "camera=(), geolocation=(), microphone=()"
        return _guarded(response)

    for number, path in enumerate(VIEWS):
        blp.add_url_rule(path, f"view_{number}", page)

    @blp.get("/web/<path:name>")
    def asset(name: str) -> Response:
        kind = TYPES.get(Path(name).suffix)
        if kind is None:
            flask.abort(404, "there is no such file")
        response = flask.send_from_directory(FILES, name, max_age=0)
        response.content_type = kind
        return _guarded(response)

    @blp.get("/web/dev.json")
    def stub_addresses() -> Response:
        if not stubs:
            flask.abort(404, "there are no stubs")
        return Response(
            orjson.dumps(stubs), content_type=JSON, headers={"Cache-Control": "no-store"}
        )

    return blp


def _guarded(response: Response) -> Response:
    """Have the browser ask each time (a 304 as a rule), guess no types and tell nobody."""
    response.headers["Cache-Control"] = "no-cache"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "same-origin"
    return response


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _policy(images: str, stubs: list[str]) -> str:
    """Return the Content-Security-Policy of the page."""
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            f"img-src 'self' data: {images}",
            " ".join(("connect-src 'self'", *stubs)),
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )
