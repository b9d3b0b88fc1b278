"""The dashboard in a browser: the page, its assets and, beside the stubs, their addresses."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from urllib.parse import urlsplit

import flask
import orjson
from flask import Response, request

from bff.api import encode
from bff.api.services import services

FILES = Path(__file__).resolve().parents[1] / "web"
# The addresses that the page's own router knows; each can be opened directly.
VIEWS = ("/", "/feed", "/search", "/library", "/movie/<number>")
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
LIVE_IMAGES = "https://image.tmdb.org"


blp = flask.Blueprint("web", __name__)


def page(number: str = "") -> Response:
    """Answer the page, which is the same at each of its addresses."""
    stubs = services().stubs
    response = _file("index.html")
    images = stubs.get("tmdb", LIVE_IMAGES)
    response.headers["Content-Security-Policy"] = _policy(images, list(stubs.values()))
    response.headers["X-Frame-Options"] = "DENY"
    response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    response.headers["Permissions-Policy"] = "camera=(), geolocation=(), microphone=()"
    return response


for _number, _path in enumerate(VIEWS):
    blp.add_url_rule(_path, f"view_{_number}", page)


@blp.get("/web/<path:name>")
def asset(name: str) -> Response:
    """Answer a file of the page."""
    return _file(name)


@blp.get("/web/dev.json")
def stub_addresses() -> Response:
    """Tell the page where the stubs are, so that it can switch their faults; `{}`: none."""
    return encode.settled(orjson.dumps(dict(services().stubs)), encode.JSON)


def stub_origins(tmdb_url: str, users_url: str) -> dict[str, str]:
    """Return the addresses that the page may reach beside its own where TMDB is the stub."""
    return {"tmdb": _origin(tmdb_url), "users": _origin(users_url)}


@dataclass(frozen=True)
class Asset:
    """A file as it is sent, plain and compressed."""

    kind: str
    plain: bytes
    packed: bytes

    @classmethod
    def read(cls, path: Path) -> Asset:
        """Read a file; the compressed form is the same for the same bytes."""
        plain = path.read_bytes()
        return cls(TYPES[path.suffix], plain, gzip.compress(plain, mtime=0))


@lru_cache(maxsize=100)
def _asset(path: Path, changed_ns: int) -> Asset:
    """Return a file; read again only where it was changed."""
    return Asset.read(path)


def _file(name: str) -> Response:
    """Answer a file of the page: the browser asks each time (a 304 as a rule), guesses no types."""
    path = FILES / name
    if ".." in path.parts or path.suffix not in TYPES or not path.is_file():
        flask.abort(404, "there is no such file")
    asset = _asset(path, path.stat().st_mtime_ns)
    packs = request.accept_encodings["gzip"] > 0
    body = asset.packed if packs else asset.plain
    response = Response(
        body,
        content_type=asset.kind,
        headers={
            "Cache-Control": "no-cache",
            "Vary": "Accept-Encoding",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "same-origin",
        },
    )
    if packs:
        response.headers["Content-Encoding"] = "gzip"
    response.set_etag(blake2b(body, digest_size=12).hexdigest())
    response.make_conditional(request)
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
