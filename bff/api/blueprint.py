"""A blueprint that reads input strictly and documents every failure of an operation."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Mapping
from functools import lru_cache, partial, wraps
from typing import Any, TypeVar
from urllib.parse import unquote_to_bytes

import flask_smorest
import orjson
from flask import Request, abort, request
from marshmallow import Schema
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import HTTPException, UnprocessableEntity
from werkzeug.routing import BaseConverter

from bff.api.schemas.queries import MOST_ID, NoQuerySchema

View = TypeVar("View", bound=Callable[..., Any])


def refuse(errors: Mapping[str, list[str]], location: str) -> HTTPException:
    """Return the 422 that webargs would raise for these errors."""
    error = UnprocessableEntity()
    error.data = {"messages": {location: dict(errors)}}  # type: ignore[attr-defined]
    return error


class StrictParser(FlaskParser):
    """webargs, without its leniencies.

    A parameter that is given twice, bytes that are no UTF-8 and control
    characters are refused (422); so is what no schema knows. A body that is
    not declared as JSON is 415, one that has a key twice is 400.
    """

    def load_querystring(self, req: Request, schema: Schema) -> Any:
        """Return the query; raise 422 where it is ambiguous or no text."""
        if not req.query_string:
            return {}
        try:
            unquote_to_bytes(req.query_string).decode()
        except UnicodeDecodeError:
            raise refuse({"request": ["The query is not UTF-8."]}, "query") from None
        errors: dict[str, list[str]] = {}
        for name, values in req.args.lists():
            if len(values) > 1:
                errors[name] = ["Must be given once."]
            elif not values[0].isprintable() and any(
                unicodedata.category(char) == "Cc" for char in values[0]
            ):
                errors[name] = ["Must not hold control characters."]
        if errors:
            raise refuse(errors, "query")
        return req.args.to_dict()

    def load_json(self, req: Request, schema: Schema) -> Any:
        """Return the body; raise 415 where it is not declared as JSON, 400 where it is none."""
        if not req.is_json:
            abort(415, "the body must be JSON, declared as application/json")
        try:
            # The standard library reads more than JSON (NaN, lone surrogates), and raises
            # something else than JSONDecodeError for deep nesting and for endless numbers.
            body = orjson.loads(req.get_data(cache=True))
            # orjson takes the last of several values for a key without a word (RFC 8259,
            # section 4: what comes of it is unpredictable); only this one tells of the keys.
            json.loads(req.get_data(cache=True), object_pairs_hook=_keys_once)
        except (orjson.JSONDecodeError, RecursionError):
            abort(400, "the body is not JSON")
        if not isinstance(body, dict):
            raise refuse({"request": ["Must be an object."]}, "json")
        return body


def _keys_once(pairs: list[tuple[str, Any]]) -> None:
    """Raise 400 where an object has a key twice."""
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            abort(400, f"the body has the key {name[:100]!r} more than once")
        seen.add(name)


def refuse_query() -> None:
    """Raise 422 where the request has a query; for what takes none."""
    if request.query_string:
        StrictParser(unknown=None).parse(NoQuerySchema(), request, location="query")


Query = Mapping[str, str]
KNOWN_QUERIES = 2048  # per route; a query of a dashboard is one of few


class Blueprint(flask_smorest.Blueprint):  # type: ignore[misc]
    """flask-smorest's blueprint with the strict parser.

    Views return ready responses, so the decorators that describe answers only
    describe: each wrapper of flask-smorest costs as much as the view itself.
    """

    ARGUMENTS_PARSER = StrictParser(unknown=None)  # the schemas say what is unknown

    def response(self, *args: Any, **kwargs: Any) -> Callable[[View], View]:
        """Document the answer."""
        return _describing(super().response(*args, **kwargs))

    def alt_response(self, *args: Any, **kwargs: Any) -> Callable[[View], View]:
        """Document another answer."""
        return _describing(super().alt_response(*args, **kwargs))

    def doc(self, **kwargs: Any) -> Callable[[View], View]:
        """Document more."""
        return _describing(super().doc(**kwargs))

    def fails(self, *names: str) -> Callable[[View], View]:
        """Document failures by the names of their statuses, such as NOT_FOUND."""

        def decorate(view: View) -> View:
            for name in names:
                view = self.alt_response(STATUSES[name], name)(view)
            return view

        return decorate

    def query(self, schema: type[Schema]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Read the query strictly and pass it as the first argument: {parameter: text}.

        A query is read once: the same text has the same meaning. The mapping is
        shared by requests and must not be changed.
        """
        reader = schema()

        @lru_cache(KNOWN_QUERIES)
        def read(_text: bytes) -> Query:
            query: Query = self.ARGUMENTS_PARSER.parse(reader, request, location="query")
            return query

        def decorate(view: Callable[..., Any]) -> Callable[..., Any]:
            @wraps(view)
            def reading(**path: Any) -> Any:
                return view(read(request.query_string), **path)

            return self._describe(schema, "query", reading)

        return decorate

    def header(self, schema: type[Schema]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Document request headers; a view or the lifecycle reads them."""
        return partial(self._describe, schema, "headers")

    def no_query(self, view: Callable[..., Any]) -> Callable[..., Any]:
        """Refuse any query."""

        @wraps(view)
        def refusing(*args: Any, **path: Any) -> Any:
            refuse_query()
            return view(*args, **path)

        return self._describe(NoQuerySchema, "query", refusing)

    def _describe(
        self, schema: type[Schema], location: str, view: Callable[..., Any]
    ) -> Callable[..., Any]:
        return _describing(super().arguments(schema, location=location))(view)


def _describing(decorator: Callable[[Any], Any]) -> Callable[[View], View]:
    """Return a decorator of flask-smorest with its description and without its wrapper."""

    def decorate(view: View) -> View:
        view._apidoc = decorator(view)._apidoc  # type: ignore[attr-defined]  # noqa: SLF001
        return view

    return decorate


STATUSES = {
    "NOT_MODIFIED": 304,
    "BAD_REQUEST": 400,
    "UNAUTHORIZED": 401,
    "NOT_FOUND": 404,
    "CONFLICT": 409,
    "REQUEST_ENTITY_TOO_LARGE": 413,
    "UNSUPPORTED_MEDIA_TYPE": 415,
    "UNPROCESSABLE_ENTITY": 422,
    "TOO_MANY_REQUESTS": 429,
    "BAD_GATEWAY": 502,
    "SERVICE_UNAVAILABLE": 503,
    "GATEWAY_TIMEOUT": 504,
}
# What any operation that asks an upstream can answer.
UPSTREAM = ("TOO_MANY_REQUESTS", "BAD_GATEWAY", "SERVICE_UNAVAILABLE", "GATEWAY_TIMEOUT")
BODY = ("BAD_REQUEST", "REQUEST_ENTITY_TOO_LARGE", "UNSUPPORTED_MEDIA_TYPE")


class TmdbIdConverter(BaseConverter):
    """A number of TMDB's in a path: 1 to 2^31-1; anything else is 422, not an unknown path."""

    regex = "[^/]+"

    def to_python(self, value: str) -> int:
        """Return the number; raise 422 where it is none."""
        if value.isascii() and value.isdigit() and len(value) <= 10 and 1 <= int(value) <= MOST_ID:
            return int(value)
        raise refuse({"id": [f"Must be a number from 1 to {MOST_ID}."]}, "path")

    def to_url(self, value: int) -> str:
        """Return the number as text."""
        return str(value)


class WindowConverter(BaseConverter):
    """TMDB's window of time for trends: a day or a week."""

    regex = "[^/]+"
    windows = ("day", "week")

    def to_python(self, value: str) -> str:
        """Return the window; raise 422 where it is none."""
        if value not in self.windows:
            raise refuse({"window": ["Must be day or week."]}, "path")
        return value


CONVERTERS: dict[str, tuple[type[BaseConverter], dict[str, Any]]] = {
    "tmdb_id": (TmdbIdConverter, {"type": "integer", "minimum": 1, "maximum": MOST_ID}),
    "window": (WindowConverter, {"type": "string", "enum": list(WindowConverter.windows)}),
}
