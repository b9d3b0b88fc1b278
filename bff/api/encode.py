"""Answers to bytes: encoded once, with ETag, 304 and cache headers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson
from cachetools import LRUCache
from flask import Flask, Response, request
from prometheus_client import Counter
from werkzeug.datastructures import Headers

from bff import context
from bff.model import Ok, Outcome, Outcomes
from bff.observability import metrics

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

Json = dict[str, Any]
JSON = "application/json"
SERVICE = "movie-dashboard-bff"
_PRIVATE = [
    ("Content-Type", JSON),
    ("Cache-Control", "private, no-cache"),
    ("Vary", "Authorization, Cookie, Origin"),
]


@dataclass(frozen=True, slots=True)
class Encoded:
    """A page as bytes. `tag` is empty where the page is not fresh; `degraded` goes to a header.

    `counts`: the counters of its sections, which each answer moves on.
    """

    body: bytes
    tag: str
    degraded: str = ""
    counts: tuple[Counter, ...] = ()


class Encoder:
    """Encodes pages, and remembers those that are made of values held in memory.

    A page is a function of its outcomes: the same values give the same bytes,
    so that a warm page is neither assembled nor encoded nor hashed again.
    Thread-safe; lives as long as the app; holds at most `most_bytes`.
    """

    def __init__(self, most_bytes: int = 2 * 1024 * 1024) -> None:
        self._known: LRUCache[tuple[object, ...], Encoded] = LRUCache(
            most_bytes, getsizeof=lambda known: len(known.body) + 500
        )
        self._lock = threading.Lock()

    def page(self, name: str, outcomes: Outcomes, make: Callable[[], Json]) -> Response:
        """Answer a page of one user: private, and revalidated by the user's client.

        `name` stands for everything that the page depends on beside its outcomes.
        """
        encoded = self._encoded(name, tuple(outcomes.values()), lambda: _encode_page(make()))
        for count in encoded.counts:
            count.inc()
        headers = list(_PRIVATE)
        if encoded.degraded:
            headers.append(("X-Degraded", encoded.degraded))
        return _conditional(encoded, headers)

    def read(self, answer: Ok[Json]) -> Response:
        """Answer a read of TMDB, which anybody may store for what is left of its time."""
        stale = answer.stale_because
        encoded = self._encoded("read", (answer,), lambda: _encode(answer.value, stale is None))
        headers = [
            ("Content-Type", JSON),
            ("Cache-Control", f"public, max-age={int(answer.fresh_s)}"),
        ]
        if stale is not None:
            headers += [
                ("Age", str(int(answer.age_s))),
                ("Cache-Status", f"{SERVICE}; hit; ttl=0; detail={stale.reason.value}"),
                ("X-Degraded", stale.upstream),
            ]
        elif any(timing.outcome == "hit" for timing in context.current().timings):
            headers.append(("Cache-Status", f"{SERVICE}; hit; ttl={int(answer.fresh_s)}"))
        else:
            stored = "; stored" if answer.number else ""
            headers.append(("Cache-Status", f"{SERVICE}; fwd=miss{stored}"))
        return _conditional(encoded, headers)

    def _encoded(
        self, name: str, outcomes: tuple[Outcome[Any], ...], make: Callable[[], Encoded]
    ) -> Encoded:
        numbers: list[int] = []
        for outcome in outcomes:
            if not isinstance(outcome, Ok) or not outcome.number or outcome.stale_because:
                return make()
            numbers.append(outcome.number)
        key = (name, *numbers)
        with self._lock:
            known = self._known.get(key)
        if known is not None:
            return known
        encoded = make()
        with self._lock:
            if len(encoded.body) < self._known.maxsize // 8:
                self._known[key] = encoded
        return encoded


def register(app: Flask) -> None:
    """Give what lies outside of `/api`, such as documents and health, an ETag; answer its 304."""

    @app.after_request
    def conditional(response: Response) -> Response:
        reads = request.method in ("GET", "HEAD") and not request.path.startswith("/api/")
        if reads and response.status_code == HTTPStatus.OK and "ETag" not in response.headers:
            response.headers.setdefault("Cache-Control", "no-cache")
            response.add_etag()
            response.make_conditional(request)
        return response


def written(body: Json, status: int = 200) -> Response:
    """Answer a write."""
    return Response(
        orjson.dumps(body), status, [("Content-Type", JSON), ("Cache-Control", "no-store")]
    )


def _encode_page(body: Json) -> Encoded:
    sections = body.get("sections", {})
    degraded = ", ".join(name for name, part in sections.items() if part["status"] != "ok")
    # A section with a reason is not all it could be: not to be taken as the last word.
    fresh = not any(part["reason"] for part in sections.values())
    encoded = _encode(body, fresh)
    counts = tuple(metrics.SECTIONS.labels(name, part["status"]) for name, part in sections.items())
    return Encoded(encoded.body, encoded.tag, degraded, counts)


def _encode(body: Json, fresh: bool) -> Encoded:
    # orjson leaves its bytes in more than twice the room that they need; a copy has its own.
    text = memoryview(orjson.dumps(body)).tobytes()
    return Encoded(text, _tag(text) if fresh else "")


def _tag(body: bytes) -> str:
    return f'"{blake2b(body, digest_size=12).hexdigest()}"'


def _conditional(encoded: Encoded, headers: list[tuple[str, str]]) -> Response:
    """Return 200 with a strong ETag, or 304 where the caller has these very bytes."""
    if not encoded.tag:
        return _ready(encoded, headers)
    headers.append(("ETag", encoded.tag))
    asked = request.environ.get("HTTP_IF_NONE_MATCH")
    if asked and (
        asked == encoded.tag or request.if_none_match.contains_weak(encoded.tag.strip('"'))
    ):
        return _Ready(None, 304, headers[1:])
    return _ready(encoded, headers)


def _ready(encoded: Encoded, headers: list[tuple[str, str]]) -> Response:
    headers.append(("Content-Length", str(len(encoded.body))))
    return _Ready(encoded.body, 200, headers)


class _Ready(Response):
    """An answer whose headers are complete.

    Werkzeug would copy them and look through the copy for what may be missing,
    which is a twelfth of the cost of a warm page.
    """

    default_mimetype = None

    def get_wsgi_headers(self, environ: WSGIEnvironment) -> Headers:
        """Return the headers as they are."""
        return self.headers
