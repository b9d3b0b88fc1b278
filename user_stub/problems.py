"""Problem documents (RFC 9457): the one writer, and the handler of each kind of error."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, g, json, request
from flask_smorest import Api
from sqlalchemy import exc
from werkzeug.exceptions import HTTPException

from user_stub.errors import Invalid, KeyInFlight
from user_stub.schemas import ProblemSchema

logger = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"
# Raised for a wrong statement or value, as opposed to the state of the database.
OUR_FAULT = (exc.DataError, exc.IntegrityError, exc.NotSupportedError, exc.ProgrammingError)


def problem(
    status: int, detail: str, headers: Mapping[str, str] | None = None, **members: Any
) -> Response:
    """Return a problem document about the current request."""
    document = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "instance": request.path,
        "request_id": g.request_id,
        **members,
    }
    return Response(json.dumps(document), status, headers, content_type=CONTENT_TYPE)


class ProblemApi(Api):  # type: ignore[misc]
    """flask-smorest's API with problem documents as error bodies."""

    ERROR_SCHEMA = ProblemSchema
    DEFAULT_ERROR_RESPONSE_NAME = None  # each operation documents its own errors

    def handle_http_exception(self, error: HTTPException) -> Response:
        """Answer an HTTP error of Flask or the service, or a validation error of webargs."""
        messages = getattr(error, "data", {}).get("messages")
        if messages:
            (by_field,) = messages.values()  # keyed by location: headers or json
            error = Invalid(dict(_flat("", by_field)))
        headers = dict(error.get_headers())
        del headers["Content-Type"]
        members: dict[str, Any] = {"errors": error.errors} if isinstance(error, Invalid) else {}
        if isinstance(error, KeyInFlight):
            members["type"] = error.type
        return problem(error.code or 500, error.description or "", headers, **members)


def install(app: Flask) -> None:
    """Register the handlers of what is no HTTP error."""
    app.register_error_handler(exc.SQLAlchemyError, _database_error)
    app.register_error_handler(Exception, _bug)


def _flat(prefix: str, messages: Any) -> Iterator[tuple[str, list[str]]]:
    """Flatten marshmallow's messages; a nested field is named `genres.0.name`."""
    if isinstance(messages, dict):
        for name, inner in messages.items():
            shown = "body" if name == "_schema" else str(name)[:100]
            yield from _flat(f"{prefix}.{shown}" if prefix else shown, inner)
    else:
        yield prefix, messages


def _database_error(error: exc.SQLAlchemyError) -> Response:
    """Answer 503 for an unreachable or locked database, 500 for a wrong statement of ours."""
    if isinstance(error, OUR_FAULT) or not isinstance(error, exc.DBAPIError | exc.TimeoutError):
        return _bug(error)
    # The driver's message contains files, hosts and statements; its class is enough to log.
    cause = getattr(error, "orig", None) or error
    logger.error("database.unavailable error=%s", type(cause).__name__)
    return problem(503, "the database is unreachable at the moment", {"Retry-After": "1"})


def _bug(error: Exception) -> Response:
    logger.error("request.failed request_id=%s", g.request_id, exc_info=error)
    return problem(500, "an error on our side")
