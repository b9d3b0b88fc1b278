"""Problem documents (RFC 9457): one table from what went wrong to the answer."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

import orjson
from flask import Flask, Response, g, request
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    NotSupportedError,
    ProgrammingError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException

from user_stub.database import DatabaseBusy
from user_stub.events import MOST_STREAMS, TooManyStreams
from user_stub.store import KeyInFlight, KeyReused

logger = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"
RETRY_AFTER_S = 1
# Places become free as streams end, a few each minute.
STREAM_RETRY_AFTER_S = 10
# What a driver raises for a wrong statement or value, as opposed to its own state.
OUR_FAULT = (DataError, IntegrityError, NotSupportedError, ProgrammingError)


class Invalid(Exception):
    """A parameter or header is wrong; `errors` says per name what is wrong with it."""

    def __init__(self, errors: dict[str, list[str]]) -> None:
        # A name may come from the request, with half surrogates that cannot be encoded.
        self.errors = {
            name.encode("utf-8", "replace").decode(): texts for name, texts in errors.items()
        }
        super().__init__("invalid request")


def problem(
    status: int, detail: str, *, headers: dict[str, str] | None = None, **members: Any
) -> Response:
    """Return a problem document about the current request."""
    document = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "instance": request.path,
        "request_id": g.get("request_id", ""),
        **members,
    }
    return Response(
        orjson.dumps(document),
        status=status,
        content_type=CONTENT_TYPE,
        headers=headers,
    )


def install(app: Flask) -> None:
    """Answer every error of the app with a problem document."""
    app.register_error_handler(Invalid, _invalid)
    app.register_error_handler(KeyReused, _key_reused)
    app.register_error_handler(KeyInFlight, _key_in_flight)
    app.register_error_handler(DatabaseBusy, _database_unavailable)
    app.register_error_handler(TooManyStreams, _too_many_streams)
    app.register_error_handler(SQLAlchemyError, _database_error)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _bug)


def _invalid(error: Invalid) -> Response:
    return problem(422, "the request is not valid", errors=error.errors)


def _key_reused(_error: KeyReused) -> Response:
    text = "came before, with another request"
    return problem(422, f"the Idempotency-Key {text}", errors={"Idempotency-Key": [text]})


def _key_in_flight(_error: KeyInFlight) -> Response:
    return problem(
        409,
        "the first request with this Idempotency-Key is still being worked on",
        headers={"Retry-After": str(RETRY_AFTER_S)},
        type="urn:problem-type:idempotency-key-in-flight",
    )


def _database_unavailable(error: Exception) -> Response:
    # The driver's text names files, hosts and statements: the class is enough for the log.
    cause = getattr(error, "orig", None) or error
    logger.error("database.unavailable error=%s", type(cause).__name__)
    return problem(
        503,
        "the database cannot be reached at the moment",
        headers={"Retry-After": str(RETRY_AFTER_S)},
    )


def _too_many_streams(_error: TooManyStreams) -> Response:
    return problem(
        503,
        f"this process serves {MOST_STREAMS} event streams already",
        headers={"Retry-After": str(STREAM_RETRY_AFTER_S)},
    )


def _database_error(error: SQLAlchemyError) -> Response:
    """Tell a database that is away or locked (503) from a statement of ours that is wrong (500)."""
    if isinstance(error, OUR_FAULT):
        return _bug(error)
    if isinstance(error, DBAPIError | PoolTimeout):
        return _database_unavailable(error)
    return _bug(error)


def _http_error(error: HTTPException) -> Response:
    status = error.code or 500
    headers = {
        name: value
        for name, value in error.get_headers()
        if name.lower() not in ("content-type", "content-length")
    }
    if "Allow" in headers:
        headers["Allow"] = ", ".join(sorted(headers["Allow"].split(", ")))
    details = {
        404: "there is nothing at this address",
        405: "this address does not know the method",
        413: "the body is larger than 65536 bytes",
    }
    detail = details.get(status) or error.description or HTTPStatus(status).phrase
    return problem(status, detail, headers=headers)


def _bug(error: Exception) -> Response:
    logger.error("request.failed request_id=%s", g.get("request_id", ""), exc_info=error)
    return problem(500, "an error on our side")
