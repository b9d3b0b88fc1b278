"""Shapes to the JSON Schemas of the OpenAPI document."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bff.shapes import (
    Date,
    Flag,
    Integer,
    Many,
    Moment,
    Number,
    Pages,
    Record,
    Scalar,
    Shape,
    Table,
    Tagged,
    Text,
)

Json = dict[str, Any]
_TYPES: dict[type[Scalar], Json] = {
    Text: {"type": "string"},
    Date: {"type": "string", "format": "date"},
    Moment: {"type": "string", "format": "date-time"},
    Integer: {"type": "integer"},
    Number: {"type": "number"},
    Flag: {"type": "boolean"},
    Pages: {"type": "integer", "minimum": 0, "maximum": 500},
}


class Components:
    """Turns shapes into schemas; named records become components, each once.

    `register(name, schema)` adds a component to the document.
    """

    def __init__(self, register: Callable[[str, Json], Any]) -> None:
        self._register = register
        self._known: dict[str, Record | Tagged] = {}

    def ref(self, record: Record | Tagged) -> Json:
        """Return a reference to the component of a record, which is added if it is new."""
        known = self._known.get(record.name)
        if known is None:
            self._known[record.name] = record
            self._register(record.name, self._component(record))
        elif _content(known) != _content(record):
            raise ValueError(f"two shapes have the name {record.name}")
        return {"$ref": f"#/components/schemas/{record.name}"}

    def schema(self, shape: Shape) -> Json:
        """Return the schema of any shape."""
        if isinstance(shape, Record | Tagged):
            return self._nested(shape)
        if isinstance(shape, Many):
            made: Json = {"type": "array", "items": self.schema(shape.item)}
            if shape.most is not None:
                made["maxItems"] = shape.most
            if shape.nullable:
                made["type"] = ["array", "null"]
            return {**made, "description": shape.doc}
        if isinstance(shape, Table):
            values = self.schema(shape.value)
            return {"type": "object", "additionalProperties": values, "description": shape.doc}
        assert isinstance(shape, Scalar)  # noqa: S101 - there are no other shapes
        return _scalar(shape)

    def _nested(self, record: Record | Tagged) -> Json:
        made = self.ref(record)
        if isinstance(record, Record) and record.nullable:
            return {"anyOf": [made, {"type": "null"}], "description": record.doc}
        return made

    def _component(self, record: Record | Tagged) -> Json:
        if isinstance(record, Tagged):
            refs = {tag: self.ref(part) for tag, part in record.records.items()}
            mapping = {tag: ref["$ref"] for tag, ref in refs.items()}
            return {
                "oneOf": list(refs.values()),
                "discriminator": {"propertyName": record.tag, "mapping": mapping},
                "description": record.doc,
            }
        made: Json = {
            "type": "object",
            "required": list(record.fields),
            "properties": {name: self.schema(shape) for name, shape in record.fields.items()},
        }
        if record.doc:
            made["description"] = record.doc
        return made


def _content(record: Record | Tagged) -> Any:
    return record.fields if isinstance(record, Record) else record.records


def _scalar(shape: Scalar) -> Json:
    made = dict(_TYPES[type(shape)])
    if isinstance(shape, Integer) and shape.least >= 0:
        made["minimum"] = shape.least
    if isinstance(shape, Text) and shape.choices:
        made["enum"] = [*shape.choices, *([None] if shape.nullable else [])]
    if shape.nullable:
        made["type"] = [made["type"], "null"]
    if shape.doc:
        made["description"] = shape.doc
    if shape.example is not None:
        made["examples"] = [shape.example]
    return made
