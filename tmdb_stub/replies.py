"""From a body to TMDB's answer: JSON bytes, headers, conditional requests; reading of `page`."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson
from flask import Response, request

from tmdb_stub.ask import Ask
from tmdb_stub.errors import CONTENT_TYPE, InvalidQuery, TmdbError

MAX_PAGE = 500
# Seconds, as seen in TMDB's answers. There the number counts down between two refreshes of TMDB's
# own cache; here it is fixed, so that a test of a cache knows what to expect.
DETAILS_AGE_S = 21_600
LIST_AGE_S = 14_400
SEARCH_AGE_S = 600

_INVALID_PAGE = 22


def reply(body: Any, max_age_s: int) -> Response:
    """Return 200 with the body as JSON, or 304 if the caller has it already."""
    return raw_reply(orjson.dumps(body), CONTENT_TYPE, max_age_s)


def raw_reply(data: bytes, content_type: str, max_age_s: int) -> Response:
    """Return 200 with the bytes, or 304 if the caller has them already."""
    response = Response(data, content_type=content_type)
    # A name for the content, not a protection: the hash need not be strong.
    digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
    response.set_etag(digest, weak=True)
    response.headers["Cache-Control"] = f"public, max-age={max_age_s}"
    response.make_conditional(request.environ)
    return response


def page_number() -> int:
    """Return the page asked for, 1 without one; raise `TmdbError` (400) outside 1 to 500."""
    text = request.args.get("page", "").strip()
    if not text:
        return 1
    if not text.isdecimal() or not 1 <= int(text[:6]) <= MAX_PAGE:
        raise TmdbError(_INVALID_PAGE)
    return int(text)


def language() -> str:
    """Return the language asked for, `en-US` without one."""
    return request.args.get("language") or "en-US"


def ask() -> Ask:
    """Return what the request says beside its path; raise `TmdbError` for a wrong page."""
    return Ask(
        language=request.args.get("language", ""),
        page=page_number(),
        image_language=request.args.get("include_image_language", ""),
        country=request.args.get("country", ""),
        origin=request.host_url.rstrip("/"),
    )


def search_query() -> str:
    """Return the query of a search; raise `InvalidQuery` (422) without one."""
    query = request.args.get("query", "").strip()
    if not query:
        raise InvalidQuery("query must be provided")
    return query


def whole_number(text: str) -> int:
    """Return an id of the path; raise `TmdbError` (404) if it is none.

    TMDB reads the number in front of a slug (`550-fight-club`).
    """
    digits = text.partition("-")[0]
    if not digits.isdecimal() or len(digits) > 18:
        raise TmdbError(34 if text.lstrip("-").isdecimal() else 6)
    return int(digits)
