"""marshmallow's fields with their descriptions and examples, as the API document shows them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from marshmallow import Schema, fields
from marshmallow.validate import OneOf, Range


def field(kind: Any, description: str, *examples: Any, **options: Any) -> Any:
    """Return a field of marshmallow's with its description and examples for the document."""
    told: dict[str, Any] = {"description": description}
    if examples:
        told["examples"] = list(examples)
    return kind(metadata=told, **options)


# Without a value, a `maybe_` field is null; any other is empty, 0 or false.
text = partial(field, fields.String, dump_default="")
maybe_text = partial(field, fields.String, allow_none=True)  # never empty: null says that
maybe_day = partial(field, fields.Date, allow_none=True)
maybe_moment = partial(field, fields.DateTime, allow_none=True)
count = partial(field, fields.Integer, dump_default=0, validate=Range(min=0))
maybe_count = partial(field, fields.Integer, allow_none=True, validate=Range(min=0))
amount = partial(field, fields.Float, dump_default=0.0)
maybe_amount = partial(field, fields.Float, allow_none=True)
flag = partial(field, fields.Boolean, dump_default=False)
maybe_flag = partial(field, fields.Boolean, allow_none=True)
# Without a value, the object around these is worthless.
string = partial(field, fields.String)
integer = partial(field, fields.Integer)


def maybe(schema: type[Schema], description: str) -> Any:
    """Return the field of an object that may be null."""
    return field(partial(fields.Nested, schema), description, allow_none=True)


def one_of(choices: Iterable[str], description: str, **options: Any) -> Any:
    """Return the field of a text that is one of a few."""
    known = list(choices)
    return string(description, known[0], validate=OneOf(known), **options)


def many(
    item: type[Schema] | fields.Field[Any],
    description: str,
    *,
    then: Callable[[Any], Any] = list,
    **options: Any,
) -> Any:
    """Return the field of a list of objects or values; `options` are those of `fields.List`.

    `then`: what a reader does to the list, before it is cut to its length.
    """
    inner = fields.Nested(item) if isinstance(item, type) else item
    metadata = {"description": description, "then": then}
    return fields.List(inner, metadata=metadata, **options)


some = partial(many, dump_default=list)  # empty where it is unknown
