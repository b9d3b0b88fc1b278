"""One table: what went wrong, and which problem document (RFC 9457) says so."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import orjson
from flask import Flask, Response, request
from marshmallow import Schema
from werkzeug.exceptions import HTTPException

from bff import context
from bff.api.identity import Unauthorized
from bff.errors import BffError, NotFound, Rejected, UpstreamError
from bff.model import Reason
from bff.observability.logs import failure
from bff.schemas.problems import (
    ProblemSchema,
    UpstreamProblemSchema,
    ValidationProblemSchema,
    WaitProblemSchema,
)

log = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"


@dataclass(frozen=True)
class Kind:
    """A kind of problem.

    `name`: the last part of its `type`. `advice`: what helps. `meaning`: what it means in an
    answer of an operation.
    """

    name: str
    status: int
    title: str
    advice: str
    meaning: str
    schema: type[Schema] = ProblemSchema


# fmt: off
KINDS = {kind.name: kind for kind in (
    Kind("malformed", 400, "Malformed request", "Send what the API document describes.",
         "The body is not JSON, or has a key more than once."),
    Kind("unauthorized", 401, "Not authorized", "Send a valid Bearer token.",
         "The token is missing where one is needed, wrong or expired."),
    Kind("forbidden", 403, "Forbidden", "This cannot be asked for.", "It is not allowed."),
    Kind("not-found", 404, "Not found", "Check the address and the number in it.",
         "There is no such film, person or entry."),
    Kind("method-not-allowed", 405, "Method not allowed", "Use a method listed in Allow.",
         "The path does not have this method."),
    Kind("conflict", 409, "Conflict", "It is there already; use PUT to change it.",
         "It is in the list already, or the same Idempotency-Key is at work."),
    Kind("too-large", 413, "Too large", "Send a smaller body.", "The body is larger than 64 KiB."),
    Kind("media-type", 415, "Not JSON", "Send Content-Type: application/json.",
         "The body is not declared as JSON."),
    Kind("validation", 422, "Request is not valid", "Correct what `errors` names.",
         "A parameter or the body is not as described; `errors` says what, by field.",
         ValidationProblemSchema),
    Kind("rate-limited", 429, "Too many requests", "Wait for Retry-After seconds.",
         "More requests than allowed in a minute.", WaitProblemSchema),
    Kind("internal", 500, "Internal error", "Report the request_id; this is our fault.",
         "A fault of this service. Report the request_id."),
    Kind("upstream-error", 502, "Upstream failed", "Try again later.",
         "An upstream cannot be reached, failed, or answered something that is not an answer.",
         UpstreamProblemSchema),
    Kind("upstream-unavailable", 503, "Upstream is not asked", "Wait for Retry-After seconds.",
         "An upstream is not asked for now, or asked to wait.", UpstreamProblemSchema),
    Kind("upstream-timeout", 504, "Upstream is too slow", "Try again.",
         "An upstream did not answer in time.", UpstreamProblemSchema),
)}
# fmt: on
_BY_STATUS = {kind.status: kind for kind in KINDS.values()}

_UPSTREAM: dict[Reason, tuple[str, str]] = {
    Reason.TIMEOUT: ("upstream-timeout", "did not answer in time"),
    Reason.CIRCUIT_OPEN: ("upstream-unavailable", "failed too often and is not asked for now"),
    Reason.SATURATED: ("upstream-unavailable", "has as many calls in flight as it may have"),
    Reason.RATE_LIMITED: ("upstream-unavailable", "asked us to wait"),
    Reason.UNREACHABLE: ("upstream-error", "cannot be reached"),
    Reason.UPSTREAM_ERROR: ("upstream-error", "answered with an error"),
    Reason.BAD_RESPONSE: ("upstream-error", "answered something that is not an answer"),
}


def problem(
    kind: str, detail: str, headers: Mapping[str, str] | None = None, **members: Any
) -> Response:
    """Return a problem document; `members` are added to it as they are."""
    told = KINDS[kind]
    body = {
        "type": f"/problems/{told.name}",
        "title": told.title,
        "status": told.status,
        "detail": detail,
        "instance": request.path,
        "request_id": context.current().request_id,
        **members,
    }
    response = Response(
        orjson.dumps(body), told.status, {"Cache-Control": "no-store", **(headers or {})}
    )
    response.content_type = CONTENT_TYPE
    return response


def example(kind: Kind) -> dict[str, Any]:
    """Return a problem document of a kind, for the API document."""
    fields = kind.schema().fields.items()
    made = {name: field.metadata["examples"][0] for name, field in fields}
    made |= {"type": f"/problems/{kind.name}", "title": kind.title, "status": kind.status}
    made["detail"] = kind.meaning
    for reason, (name, words) in _UPSTREAM.items():
        if name == kind.name:
            made |= {"reason": reason.value, "detail": f"{made['upstream']} {words}"}
    return made


def register(app: Flask) -> None:
    """Answer every exception with a problem document; `bff.api.docs.Api` passes on HTTP's own."""
    # A path with // is an unknown one; werkzeug would redirect it, with a page of HTML.
    app.url_map.merge_slashes = False
    app.register_error_handler(BffError, _expected)
    app.register_error_handler(Unauthorized, _unauthorized)
    app.register_error_handler(Exception, _bug)


def _expected(error: BffError) -> Response:
    if isinstance(error, NotFound):
        return problem("not-found", f"there is no such {error.what}")
    if isinstance(error, Rejected):
        kind = "conflict" if error.status == HTTPStatus.CONFLICT else "validation"
        return problem(kind, error.detail)
    if isinstance(error, UpstreamError):
        return _upstream(error)
    return _bug(error)


def _upstream(error: UpstreamError) -> Response:
    kind, words = _UPSTREAM[error.reason]
    failed = error.outcome()
    members: dict[str, Any] = {"upstream": failed.upstream, "reason": failed.reason.value}
    wait = failed.retry_after_s
    if kind == "upstream-unavailable":
        wait = wait or 1
    if wait is not None:
        members["retry_after"] = wait
    headers = {"Retry-After": str(wait)} if wait is not None else {}
    return problem(kind, f"{error.upstream} {words}", headers, **members)


def _unauthorized(error: Unauthorized) -> Response:
    return problem("unauthorized", error.detail, {"WWW-Authenticate": error.challenge})


def from_http(error: HTTPException) -> Response:
    """Answer what Flask, werkzeug and webargs raise."""
    status = error.code or 500
    if error.response is not None and status < 400:  # pragma: no cover - a redirect of werkzeug
        return error.response  # type: ignore[return-value]
    kind = _BY_STATUS.get(status) or _BY_STATUS[400 if status < 500 else 500]
    headers = {
        name: value
        for name, value in error.get_headers()
        if name in ("Allow", "Retry-After", "WWW-Authenticate")
    }
    data = getattr(error, "data", None) or {}
    messages = data.get("messages")
    if messages:
        return problem(kind.name, "see errors", headers, errors=flat(messages))
    return problem(kind.name, error.description or kind.title, headers)


def _bug(error: Exception) -> Response:
    failure(log, "request.failed", error, path=request.path)
    return problem("internal", "something went wrong on our side")


def flat(messages: Any) -> dict[str, list[str]]:
    """Return webargs' messages, {location: {field: [text]}}, as {field: [text]}."""
    errors: dict[str, list[str]] = {}

    def walk(path: str, part: Any) -> None:
        if isinstance(part, Mapping):
            for name, inner in part.items():
                walk(f"{path}.{name}" if path else str(name), inner)
        else:
            texts = part if isinstance(part, list) else [part]
            errors.setdefault(path or "request", []).extend(str(text) for text in texts)

    for located in messages.values() if isinstance(messages, Mapping) else [messages]:
        walk("", located)
    return errors
