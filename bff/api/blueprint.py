"""flask-smorest's blueprint with a parser that reads input strictly."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NoReturn
from urllib.parse import unquote_to_bytes

import flask
import flask_smorest
import orjson
from flask import Request, request
from marshmallow import Schema
from webargs.flaskparser import FlaskParser, abort
from werkzeug.routing import BaseConverter

from bff.schemas.queries import NoQuerySchema
from bff.schemas.tmdb import MOST_ID

Query = Mapping[str, str]
KNOWN_QUERIES = 2048  # the queries of a dashboard are few
LONGEST_KNOWN = 200


def refuse(errors: Mapping[str, list[str]], location: str) -> NoReturn:
    """Raise the 422 that webargs raises for these errors."""
    abort(422, messages={location: dict(errors)})


class StrictParser(FlaskParser):
    """webargs without its leniencies.

    A parameter that is given twice, bytes that are not UTF-8 and control characters are refused
    (422), and so is what no schema knows. A body that is not declared as JSON is 415; one that
    is not JSON, or has a key twice, is 400.
    """

    def __init__(self) -> None:
        super().__init__(unknown=None)  # the schemas say what happens to what is unknown
        parse = super().parse
        self._parse_query = lru_cache(KNOWN_QUERIES)(
            lambda schema, _text: parse(schema, request, location="query")
        )

    def parse(self, argmap: Any, req: Request | None = None, **options: Any) -> Any:
        """Parse input. The same query has the same meaning, and is parsed once.

        What it means is shared by requests, and must not be changed.
        """
        text = request.query_string
        if options.get("location") == "query" and len(text) <= LONGEST_KNOWN:
            return self._parse_query(argmap, text)
        return super().parse(argmap, req, **options)

    def load_querystring(self, req: Request, schema: Schema) -> Any:
        """Return the query; raise 422 where it is ambiguous or not text."""
        try:
            unquote_to_bytes(req.query_string).decode()
        except UnicodeDecodeError:
            refuse({"request": ["The query is not UTF-8."]}, "query")
        errors: dict[str, list[str]] = {}
        for name, values in req.args.lists():
            if len(values) > 1:
                errors[name] = ["Must be given once."]
            elif any(unicodedata.category(char) == "Cc" for char in values[0]):
                errors[name] = ["Must not hold control characters."]
        if errors:
            refuse(errors, "query")
        return req.args.to_dict()

    def load_json(self, req: Request, schema: Schema) -> Any:
        """Return the body; raise 415 where it is not declared as JSON, 400 where it is not JSON."""
        if not req.is_json:
            flask.abort(415, "the body must be JSON, declared as application/json")
        try:
            # orjson refuses what is not JSON, such as NaN, but takes the last of several values
            # of a key (RFC 8259, section 4); only the standard library tells of the keys.
            body = orjson.loads(req.get_data())
            json.loads(req.get_data(), object_pairs_hook=_keys_once)
        except (orjson.JSONDecodeError, RecursionError):
            flask.abort(400, "the body is not JSON")
        if not isinstance(body, dict):
            refuse({"request": ["Must be an object."]}, "json")
        return body


def _keys_once(pairs: list[tuple[str, Any]]) -> None:
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            flask.abort(400, f"the body has the key {name[:100]!r} more than once")
        seen.add(name)


class Blueprint(flask_smorest.Blueprint):  # type: ignore[misc]
    """flask-smorest's blueprint with the strict parser."""

    ARGUMENTS_PARSER = StrictParser()


def refuse_query() -> None:
    """Raise 422 where the request has a query; for what takes none."""
    if request.query_string and request.method != "OPTIONS":
        Blueprint.ARGUMENTS_PARSER.parse(NoQuerySchema, location="query")


class TmdbIdConverter(BaseConverter):
    """A number of TMDB's in a path: 1 to 2^31-1; anything else is 422, not an unknown path."""

    regex = "[^/]+"

    def to_python(self, value: str) -> int:
        """Return the number; raise 422 where it is none."""
        if value.isascii() and value.isdigit() and len(value) <= 10 and 1 <= int(value) <= MOST_ID:
            return int(value)
        refuse({"id": [f"Must be a number from 1 to {MOST_ID}."]}, "path")

    def to_url(self, value: int) -> str:
        """Return the number as text."""
        return str(value)


class WindowConverter(BaseConverter):
    """TMDB's window of time for trends: a day or a week; anything else is 422."""

    regex = "[^/]+"
    windows = ("day", "week")

    def to_python(self, value: str) -> str:
        """Return the window; raise 422 where it is none."""
        if value not in self.windows:
            refuse({"window": ["Must be day or week."]}, "path")
        return value
