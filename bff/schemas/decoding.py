"""From the bytes of an answer to what its schema promises."""

from __future__ import annotations

from typing import Any

import orjson

from bff.errors import BadResponse
from bff.schemas.base import AnswerSchema, Malformed
from bff.schemas.reading import reader

Json = dict[str, Any]


def json_object(upstream: str, body: bytes) -> Json:
    """Return a body that is a JSON object; raise `BadResponse`."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadResponse(upstream, "not JSON") from error
    if not isinstance(value, dict):
        raise BadResponse(upstream, "not an object")
    return value


def read_as(schema: type[AnswerSchema], upstream: str, value: object) -> Json:
    """Read a value by `schema`; raise `BadResponse` where it is something else."""
    try:
        return reader(schema)(value)
    except Malformed as error:
        raise BadResponse(upstream, f"not a {schema.__name__}: {error}") from error


def decode(schema: type[AnswerSchema], upstream: str, body: bytes) -> Json:
    """Read a body by `schema`; raise `BadResponse` where it is something else."""
    return read_as(schema, upstream, json_object(upstream, body))
