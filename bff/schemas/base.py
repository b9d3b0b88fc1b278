"""What the schemas of answers are built from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from marshmallow import EXCLUDE, Schema, fields

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
        unknown = EXCLUDE  # an upstream's answers may grow

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
