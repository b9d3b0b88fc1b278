"""What happens around every request: its id, the service token, size and query checks."""

from __future__ import annotations

import hmac
import re
import uuid

from flask import Response, current_app, g, request
from werkzeug.exceptions import RequestEntityTooLarge

from user_stub.errors import Invalid
from user_stub.problems import problem

# The characters of a token (RFC 9110, section 5.6.2), and four more that ids elsewhere contain.
REQUEST_ID = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~:/=@-]{1,128}")
# No token needed: the health check and the documentation.
OPEN_ENDPOINTS = ("health.", "api-docs.", "docs.")


def begin() -> Response | None:
    """Set the request id; refuse a wrong token, a large body and query parameters."""
    claimed = request.headers.get("X-Request-ID", "")
    g.request_id = claimed if REQUEST_ID.fullmatch(claimed) else uuid.uuid4().hex
    if request.endpoint is None:
        return None  # Flask raises 404 or 405 next
    token = current_app.config["SERVICE_TOKEN"]
    if token and not request.endpoint.startswith(OPEN_ENDPOINTS) and not _has_token(token):
        return problem(401, "the service token is missing or wrong", {"WWW-Authenticate": "Bearer"})
    if (request.content_length or 0) > current_app.config["MAX_CONTENT_LENGTH"]:
        raise RequestEntityTooLarge  # even if no view reads the body
    if request.args and not request.endpoint.startswith("docs."):  # files
        raise Invalid({name[:100]: ["Unknown query parameter."] for name in request.args})
    return None


def end(response: Response) -> Response:
    """Add the headers that every response has."""
    response.headers["X-Request-ID"] = g.request_id
    if "library_revision" in g:
        response.headers["X-Library-Revision"] = str(g.library_revision)
    if "Cache-Control" not in response.headers:
        failed = response.status_code >= 400
        response.headers["Cache-Control"] = "no-store" if failed else "private, no-cache"
    return response


def _has_token(token: str) -> bool:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    same = hmac.compare_digest(given.strip().encode(), token.encode())
    return scheme.lower() == "bearer" and same
