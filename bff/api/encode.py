"""Pages to bytes: ETag, 304 and cache headers."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import orjson
from flask import Response, request

from bff import context
from bff.model import Ok

Json = dict[str, Any]
JSON = "application/json"
SERVICE = "movie-dashboard-bff"


def page(body: Json) -> Response:
    """Answer a page of one user: never stored by others, and revalidated by the user's client."""
    sections = body.get("sections", {})
    degraded = [name for name, part in sections.items() if part["status"] != "ok"]
    # A section with a reason is not all it could be: not to be taken as the last word.
    fresh = not any(part["reason"] for part in sections.values())
    response = _conditional(orjson.dumps(body), fresh)
    response.headers["Cache-Control"] = "private, no-cache"
    response.headers["Vary"] = "Authorization"
    if degraded:
        response.headers["X-Degraded"] = ", ".join(degraded)
    return response


def read(answer: Ok[Json]) -> Response:
    """Answer a read of TMDB, which anybody may store for what is left of its time."""
    stale = answer.stale_because
    response = _conditional(orjson.dumps(answer.value), fresh=stale is None)
    response.headers["Cache-Control"] = f"public, max-age={int(answer.fresh_s)}"
    hit = any(timing.outcome == "hit" for timing in context.current().timings)
    if stale is not None:
        response.headers["Age"] = str(int(answer.age_s))
        response.headers["Cache-Status"] = f"{SERVICE}; hit; ttl=0; detail={stale.reason.value}"
        response.headers["X-Degraded"] = stale.upstream
    elif hit:
        response.headers["Cache-Status"] = f"{SERVICE}; hit; ttl={int(answer.fresh_s)}"
    else:
        response.headers["Cache-Status"] = f"{SERVICE}; fwd=miss; stored"
    return response


def written(body: Json, status: int = 200) -> Response:
    """Answer a write."""
    response = Response(orjson.dumps(body), status, content_type=JSON)
    response.headers["Cache-Control"] = "no-store"
    return response


def _conditional(body: bytes, fresh: bool) -> Response:
    """Return 200 with a strong ETag, or 304 where the caller has these very bytes."""
    if not fresh:
        return Response(body, content_type=JSON)
    tag = blake2b(body, digest_size=12).hexdigest()
    if request.headers.get("If-None-Match") and request.if_none_match.contains_weak(tag):
        response = Response(status=304)
        del response.headers["Content-Type"]
    else:
        response = Response(body, content_type=JSON)
    response.headers["ETag"] = f'"{tag}"'
    return response
