"""Reads what an upstream sent by the schema that documents it, and forgives what it can.

A schema is compiled once into closures: marshmallow's own `load` takes a millisecond for
twenty films, and refuses the whole answer for one wrong field.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache, partial
from typing import Any

from marshmallow import fields, missing
from marshmallow.validate import Length, OneOf, Range

from bff.schemas.base import AnswerSchema, Malformed, UnionSchema

Reader = Callable[[Any], Any]
MOST = 2**53 - 1  # the largest integer that JavaScript holds exactly
DAY = r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
MOMENT = DAY + r"T([01]\d|2[0-3])(:[0-5]\d){2}(\.\d{1,9})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)"


@cache
def reader(schema: type[AnswerSchema]) -> Callable[[object], dict[str, Any]]:
    """Return a function that reads JSON by `schema`; compiled once, thread-safe.

    A value that is missing or of the wrong type becomes null or the field's default, and an item
    of a list that cannot be read is left out. The function raises `Malformed` where an essential
    field (see `AnswerSchema`) cannot be read.
    """
    made = schema()
    if isinstance(made, UnionSchema):
        return lambda value: reader(made.variant_of(value))(value)
    members = [(name, _field(field)) for name, field in made.fields.items()]

    def read(value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise Malformed
        record, name = {}, ""
        try:
            for name, one in members:
                record[name] = one(value.get(name))
        except Malformed as error:
            raise Malformed(f"{name}.{error.path}".rstrip(".")) from None
        return made.after_read(record)

    return read


def _field(field: Any) -> Reader:
    """Return what reads a value, and puts null or the default in place of what is none."""
    convert, default = _converter(field), field.dump_default
    essential = default is missing and not field.allow_none
    otherwise = default if callable(default) else lambda: None if default is missing else default

    def read(value: Any) -> Any:
        try:
            found = convert(value)
        except Malformed:
            if essential:
                raise
            found = None
        if found is None and essential:
            raise Malformed
        return otherwise() if found is None else found

    return read


def _converter(field: Any) -> Reader:
    """Return what makes a value one of the field's type; None, or `Malformed`: it cannot be."""
    rules = {type(rule): rule for rule in field.validators}
    if isinstance(field, fields.String) and OneOf not in rules:
        empty = not field.allow_none  # where null is allowed, it is what an empty text means
        return lambda value: value if type(value) is str and (value or empty) else None
    if isinstance(field, fields.String | fields.Date | fields.DateTime):
        pattern = "|".join(map(re.escape, rules[OneOf].choices)) if OneOf in rules else MOMENT
        matches = re.compile(DAY if isinstance(field, fields.Date) else pattern, re.ASCII).fullmatch
        return lambda value: value if type(value) is str and matches(value) else None
    if isinstance(field, fields.Boolean):
        return lambda value: value if type(value) is bool else None
    if isinstance(field, fields.Integer | fields.Float):
        return _number(rules.get(Range, Range()), whole=isinstance(field, fields.Integer))
    if isinstance(field, fields.Nested):
        return reader(type(field.schema))
    if isinstance(field, fields.Dict):
        return partial(_readable, _field(field.value_field), dict)
    item, then = _field(field.inner), field.metadata.get("then", list)
    most = rules[Length].max if Length in rules else None
    return lambda value: then(_readable(item, list, value).values())[:most]


def _number(bounds: Range, *, whole: bool) -> Reader:
    """A number above the largest is cut, such as `total_pages`; one below the least is none."""
    least, most = -MOST if bounds.min is None else bounds.min, bounds.max or MOST
    kinds = {int} if whole else {int, float}

    def convert(value: Any) -> Any:
        value = int(value) if whole and type(value) is float and value.is_integer() else value
        return min(value, most) if type(value) in kinds and least <= value <= MOST else None

    return convert


def _readable(item: Reader, kind: type[Any], value: Any) -> dict[Any, Any]:
    """Return the entries of a list or of a table that can be read."""
    if type(value) is not kind:
        raise Malformed
    found = {}
    for key, one in value.items() if kind is dict else enumerate(value):
        try:
            found[key] = item(one)
        except Malformed:
            continue
    return found
