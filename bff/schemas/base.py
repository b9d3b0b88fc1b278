"""What the schemas are built from: answers, unions, and fields with their descriptions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, ClassVar

from marshmallow import EXCLUDE, Schema, fields
from marshmallow.validate import OneOf, Range

Json = dict[str, Any]


class Malformed(ValueError):
    """Something essential is missing. `path` says where, such as `images.base_url`."""

    def __init__(self, path: str = "") -> None:
        super().__init__(path or "the whole answer")
        self.path = path


class AnswerSchema(Schema):
    """An answer. Every field is always present.

    A field says itself what stands in for a value that is missing or of the wrong type:
    `dump_default`, or null where it is `allow_none`. A field with neither is essential:
    without it the object is worthless.
    """

    class Meta:
        """Leave out what is not described: an upstream's answers may grow."""

        unknown = EXCLUDE

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:
        """Document the field as always present."""
        field_obj.required = True

    def after_read(self, record: Json) -> Json:
        """Return an object that was read, corrected where it takes more than one field to tell.

        `record` may be changed. Raise `Malformed` to reject it.
        """
        return record


class UnionSchema(AnswerSchema):
    """One of several objects; the field `tag` tells which of the `variants` it is."""

    tag: ClassVar[str]
    variants: ClassVar[Mapping[str, type[AnswerSchema]]]

    @classmethod
    def variant_of(cls, value: Any) -> type[AnswerSchema]:
        """Return the schema of a value; raise `Malformed` where its tag is unknown."""
        tag = value.get(cls.tag) if isinstance(value, dict) else None
        if not isinstance(tag, str) or tag not in cls.variants:
            raise Malformed(cls.tag)
        return cls.variants[tag]


def field(kind: Any, description: str, *examples: Any, **options: Any) -> Any:
    """Return a field of marshmallow's with its description and examples for the document."""
    told: Json = {"description": description}
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


def many(item: type[Schema] | fields.Field[Any], description: str, **options: Any) -> Any:
    """Return the field of a list of objects or values; `options` are those of `fields.List`."""
    inner = fields.Nested(item) if isinstance(item, type) else item
    return field(partial(fields.List, inner), description, **options)
