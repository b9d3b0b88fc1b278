"""What surrounds each request: its id, the service token, the user, limits and the log line."""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import time
import uuid
from urllib.parse import quote

from flask import Flask, Response, g, request
from werkzeug.exceptions import RequestEntityTooLarge

from user_stub.problems import Invalid, problem
from user_stub.sample import DEMO_USER

logger = logging.getLogger(__name__)

USER_ID = re.compile(r"[\x21-\x7e]{1,128}")
# The characters of a token (RFC 9110, section 5.6.2), which the BFF takes over from its caller,
# and four that ids of other services have.
REQUEST_ID = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~:/=@-]{1,128}")
# Open to everybody: the health check and the documentation.
OPEN_ENDPOINTS = ("health.", "api-docs.", "docs.")


def install(app: Flask, *, token: str, largest_body: int) -> None:
    """Attach the steps to every request of the app, so that no route can forget one."""

    @app.before_request
    def begin() -> Response | None:
        g.begun = time.perf_counter()
        claimed = request.headers.get("X-Request-ID", "")
        g.request_id = claimed if REQUEST_ID.fullmatch(claimed) else uuid.uuid4().hex
        if request.endpoint is None:
            return None  # 404 or 405, which Flask raises next
        is_open = request.endpoint.startswith(OPEN_ENDPOINTS)
        if token and not is_open and not _has_token(token):
            return problem(
                401,
                "the service token is missing or wrong",
                headers={"WWW-Authenticate": "Bearer"},
            )
        if (request.content_length or 0) > largest_body:
            raise RequestEntityTooLarge
        if request.args and not request.endpoint.startswith("docs."):  # files
            raise Invalid({name[:100]: ["Unknown query parameter."] for name in request.args})
        return None

    @app.after_request
    def end(response: Response) -> Response:
        response.headers["X-Request-ID"] = g.get("request_id", "")
        if "Cache-Control" not in response.headers:
            failed = response.status_code >= 400
            response.headers["Cache-Control"] = "no-store" if failed else "private, no-cache"
        _log(response)
        return response


def user_id() -> str:
    """Return whose data the request concerns; raise `Invalid` for a malformed `X-User-Id`."""
    user = request.headers.get("X-User-Id", DEMO_USER)
    if not USER_ID.fullmatch(user):
        raise Invalid({"X-User-Id": ["Must be 1 to 128 printable ASCII characters, no spaces."]})
    return user


def _has_token(token: str) -> bool:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    same = hmac.compare_digest(given.strip().encode(), token.encode())
    return scheme.lower() == "bearer" and same


def _log(response: Response) -> None:
    if not logger.isEnabledFor(logging.INFO):
        return
    user = request.headers.get("X-User-Id", DEMO_USER)
    logger.info(
        "request method=%s path=%s status=%d duration_ms=%.1f request_id=%s user=%s",
        # Both come from outside: quoted, they cannot forge a line.
        quote(request.method),
        quote(request.path[:200]),
        response.status_code,
        (time.perf_counter() - g.get("begun", time.perf_counter())) * 1000,
        g.get("request_id", ""),
        hashlib.sha256(user.encode()).hexdigest()[:12],
    )
