"""The dashboard in a browser: the page, its files and, beside the stubs, their addresses."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import flask
from flask import Response

from bff.api.services import services

FILES = Path(__file__).resolve().parents[1] / "web"
# The addresses that the page's own router knows; each can be opened directly.
VIEWS = ("/", "/feed", "/search", "/library", "/movie/<number>")
LIVE_IMAGES = "https://image.tmdb.org"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: {images}; "
    "connect-src {origins}; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)

blp = flask.Blueprint("web", __name__, static_folder=FILES, static_url_path="/web")


@blp.after_request
def secure(response: Response) -> Response:
    """Have the browser guess no types, and name this page to no other site."""
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "same-origin"
    return response


def page(number: str = "") -> Response:
    """Answer the page, which is the same at each of its addresses."""
    stubs = services().stubs
    response = blp.send_static_file("index.html")
    response.headers["Content-Security-Policy"] = POLICY.format(
        images=stubs.get("tmdb", LIVE_IMAGES), origins=" ".join(("'self'", *stubs.values()))
    )
    response.headers["X-Frame-Options"] = "DENY"
    response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    response.headers["Permissions-Policy"] = "camera=(), geolocation=(), microphone=()"
    return response


for _number, _path in enumerate(VIEWS):
    blp.add_url_rule(_path, f"view_{_number}", page)


@blp.get("/web/dev.json")
def stub_addresses() -> dict[str, str]:
    """Tell the page where the stubs are, so that it can switch their faults; `{}`: none."""
    return dict(services().stubs)


def stub_origins(tmdb_url: str, users_url: str) -> dict[str, str]:
    """Return the origins that the page may reach beside its own where TMDB is the stub."""
    return {"tmdb": _origin(tmdb_url), "users": _origin(users_url)}


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
