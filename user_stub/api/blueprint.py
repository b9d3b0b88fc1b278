"""What all operations share: how bodies are read, and how errors are documented."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

import marshmallow as ma
from flask import Request
from flask_smorest import Blueprint
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import BadRequest, UnsupportedMediaType

from user_stub.problems import CONTENT_TYPE
from user_stub.schemas import ProblemSchema

View = TypeVar("View", bound=Callable[..., Any])

PROBLEMS = {
    400: "The body is not JSON, or has a key more than once",
    401: "The service token is missing or wrong (where one is set)",
    404: "The film is not in the list",
    409: "The film is in the list already, or a request with this key is still in progress",
    412: "The film is not in the list, and `If-Match: *` asks that it is, or the other way round",
    413: "The body is too large",
    415: "The body is not declared as JSON",
    422: "A parameter, a header or the body is wrong, or the key came with another request",
    500: "An error on our side",
    503: "The database cannot be reached, or too many event streams are open",
}


class BodyParser(FlaskParser):
    """webargs' parser, with stricter JSON."""

    def load_json(self, req: Request, schema: ma.Schema) -> Any:
        """Decode the body; raise 415 or 400 if it is not JSON."""
        if not req.is_json:
            raise UnsupportedMediaType("the body must be application/json")
        try:
            return json.loads(req.get_data(), object_pairs_hook=_unique)
        except (ValueError, RecursionError):
            # ValueError: not JSON, not UTF-8, or a number with thousands of digits.
            raise BadRequest("the body is not JSON") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build the object; raise 400 for a duplicate key, which parsers treat differently."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise BadRequest(f"the body has the key {name[:100]!a} more than once")
        found[name] = value
    return found


class JsonBlueprint(Blueprint):  # type: ignore[misc]
    """A flask-smorest blueprint with strict bodies and a decorator for problem documents."""

    ARGUMENTS_PARSER = BodyParser()

    def problems(self, *statuses: int) -> Callable[[View], View]:
        """Document the errors of an operation; 422, 500 and 503 are added."""

        def document(view: View) -> View:
            body = {"schema": ProblemSchema, "content_type": CONTENT_TYPE}
            for status in sorted({*statuses, 422, 500, 503}):
                view = self.alt_response(status, description=PROBLEMS[status], **body)(view)
            return view

        return document
