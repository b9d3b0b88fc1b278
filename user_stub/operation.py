"""How a view is declared: one decorator routes it, reads its input and documents its answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, TypeVar

import marshmallow as ma
from flask import Request
from flask_smorest import Blueprint
from webargs.flaskparser import FlaskParser, is_json_request
from werkzeug.exceptions import BadRequest, UnsupportedMediaType

from user_stub.problems import CONTENT_TYPE, Invalid
from user_stub.sample import DEMO_USER
from user_stub.schemas import LARGEST_MOVIE_ID, ProblemSchema

View = TypeVar("View", bound=Callable[..., Any])

# Printable ASCII; spaces at the ends would not survive HTTP.
KEY_PATTERN = "[!-~]([ -~]{0,253}[!-~])?"

USER = {
    "in": "header",
    "name": "X-User-Id",
    "required": False,
    "description": f"Whose data; {DEMO_USER} without it.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,128}$", "default": DEMO_USER},
}
REQUEST_ID = {
    "in": "header",
    "name": "X-Request-ID",
    "required": False,
    "description": "Taken over if it is a plain token, else replaced; answered and logged.",
    "schema": {"type": "string"},
}
KEY = {
    "in": "header",
    "name": "Idempotency-Key",
    "required": False,
    "description": "Makes a repeated request act once; kept for 24 hours, per user.",
    "schema": {"type": "string", "pattern": f"^{KEY_PATTERN}$"},
}
FINGERPRINT = {
    "in": "header",
    "name": "Idempotency-Fingerprint",
    "required": False,
    "description": "Stands for what the first sender of the request sent, and tells a repetition "
    "from another request in place of the body: a service in between that fills the body in may "
    "fill it in differently the next time.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,128}$"},
}
IF_MATCH = {
    "in": "header",
    "name": "If-Match",
    "required": False,
    "description": "`*`: change the film only if it is in the list already, else 412.",
    "schema": {"type": "string", "enum": ["*"]},
}
IF_NONE_MATCH = IF_MATCH | {
    "name": "If-None-Match",
    "description": "`*`: add the film only if it is not in the list yet, else 412.",
}
MOVIE_ID = {
    "in": "path",
    "name": "movie_id",
    "required": True,
    "description": "TMDB's id of the film.",
    "schema": {"type": "integer", "minimum": 1, "maximum": LARGEST_MOVIE_ID},
}
LAST_EVENT_ID = {
    "in": "header",
    "name": "Last-Event-ID",
    "required": False,
    "description": "The id of the last message that was seen; the later ones are sent first.",
    "schema": {"type": "string", "pattern": "^[0-9]{1,18}$"},
}
REVISION_HEADER = {
    "description": "The number of the user's last change.",
    "schema": {"type": "integer", "minimum": 0},
}
REPLAYED_HEADER = {
    "description": "`true` where an earlier outcome is repeated.",
    "schema": {"type": "string", "enum": ["true"]},
}
LOCATION_HEADER = {"description": "The item's address.", "schema": {"type": "string"}}

PROBLEMS = {
    400: "The body is not JSON, or has a key more than once",
    401: "The service token is missing or wrong (where one is set)",
    404: "The film is not in the list",
    409: "The film is in the list already, or a request with this key is still being worked on",
    412: "The film is not in the list, and `If-Match: *` asks that it is, or the other way round",
    413: "The body is too large",
    415: "The body is not declared as JSON",
    422: "A parameter, a header or the body is wrong, or the key came with another request",
    500: "An error on our side",
    503: "The database cannot be reached, or too many event streams are open",
}


class JsonParser(FlaskParser):
    """Reads bodies; what is wrong with them becomes a problem document."""

    def load_json(self, req: Request, schema: ma.Schema) -> Any:
        """Return the decoded body."""
        if not is_json_request(req):
            raise UnsupportedMediaType("the body must be application/json")
        try:
            return json.loads(req.get_data(cache=True), object_pairs_hook=_keys_once)
        except (ValueError, RecursionError):
            # ValueError: not JSON, not UTF-8, or a number of thousands of digits.
            raise BadRequest("the body is not JSON") from None

    def handle_error(self, error: ma.ValidationError, *_args: Any, **_kwargs: Any) -> NoReturn:
        """Raise `Invalid` with one entry per field, nested ones as `genres.0.name`."""
        messages: Any = error.messages
        raise Invalid(dict(_flat("", messages.get("json", messages))))


def _keys_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the object; raise 400 where it has a key twice, which means nothing for sure."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            # In ASCII: a name may hold half surrogates, which cannot be encoded.
            raise BadRequest(f"the body has the key {name[:100]!a} more than once")
        found[name] = value
    return found


def _flat(prefix: str, messages: Any) -> list[tuple[str, list[str]]]:
    if not isinstance(messages, Mapping):
        texts = messages if isinstance(messages, list) else [messages]
        return [(prefix or "body", [str(text) for text in texts])]
    found = []
    for name, inner in messages.items():
        shown = "body" if name == "_schema" else str(name)[:100]
        found += _flat(f"{prefix}.{shown}" if prefix else shown, inner)
    return found


class JsonBlueprint(Blueprint):  # type: ignore[misc]
    """A blueprint whose bodies are read by `JsonParser`."""

    ARGUMENTS_PARSER = JsonParser()


def operation(
    blueprint: JsonBlueprint,
    method: str,
    rule: str,
    *,
    answers: Mapping[int, type[ma.Schema] | dict[str, Any]],
    content_type: str = "application/json",
    parameters: tuple[dict[str, Any], ...] = (),
    problems: tuple[int, ...] = (),
    body: type[ma.Schema] | None = None,
    personal: bool = True,
) -> Callable[[View], View]:
    """Declare a view, which returns a `Response`.

    `answers` maps each status of success to its schema, `problems` lists the errors beside those
    that every operation has, `parameters` those beside the usual ones. A `body` is the first
    argument of the view. A `personal` operation concerns one user's data.
    """
    writes = method != "GET"
    parameters = (REQUEST_ID, *([USER] if personal else []), *parameters)
    if "<movie_id>" in rule:
        parameters += (MOVIE_ID,)
    problems += (422, 500, 503, *((401,) if personal else ()))
    if method == "PUT":
        parameters += (IF_MATCH, IF_NONE_MATCH)
        problems += (412,)
    problems += (409, 413) if writes else ()
    problems += (400, 415) if body else ()

    def declare(view: View) -> View:
        documented: Any = view
        for status, schema in answers.items():
            documented = blueprint.alt_response(
                status,
                schema=schema,
                content_type=content_type,
                headers=_headers(status, personal, writes),
                success=True,
            )(documented)
        for status in sorted(set(problems)):
            documented = blueprint.alt_response(
                status,
                schema=ProblemSchema,
                content_type=CONTENT_TYPE,
                description=PROBLEMS[status],
            )(documented)
        if body is not None:
            documented = blueprint.arguments(body)(documented)
        if writes:
            documented = blueprint.doc(parameters=[KEY, FINGERPRINT])(documented)
        if body is None:
            # Without a body to read, the layers only describe: the view is called without them.
            vars(view)["_apidoc"] = vars(documented)["_apidoc"]
            documented = view
        blueprint.route(rule, methods=[method], parameters=list(parameters))(documented)
        return view

    return declare


def _headers(status: int, personal: bool, writes: bool) -> dict[str, Any]:
    headers: dict[str, Any] = {}
    if personal:
        headers["X-Library-Revision"] = REVISION_HEADER
    if writes:
        headers["Idempotency-Replayed"] = REPLAYED_HEADER
    if status == 201:
        headers["Location"] = LOCATION_HEADER
    return headers
