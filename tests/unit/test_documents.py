"""bff/api/schemas/documents.py: shapes to JSON Schema."""

from __future__ import annotations

from typing import Any

import pytest

from bff.api.schemas.documents import Components
from bff.shapes import Flag, Integer, Many, Record, Shape, Table, Tagged, Text


@pytest.fixture
def registered() -> dict[str, Any]:
    """What was added to the document."""
    return {}


@pytest.fixture
def components(registered: dict[str, Any]) -> Components:
    """Components that write into `registered`."""
    return Components(registered.__setitem__)


@pytest.mark.parametrize(
    ("shape", "schema"),
    [
        (Text("Doc."), {"type": ["string", "null"], "description": "Doc."}),
        (Text("", default=""), {"type": "string"}),
        (Text("", required=True, choices=("a", "b")), {"type": "string", "enum": ["a", "b"]}),
        (Text("", choices=("a",)), {"type": ["string", "null"], "enum": ["a", None]}),
        (Integer("", default=0, least=0), {"type": "integer", "minimum": 0}),
        (Integer("", default=0), {"type": "integer"}),
        (Flag("", default=False, example=True), {"type": "boolean", "examples": [True]}),
        (
            Many(Flag("", False), "D", most=3, nullable=True),
            {
                "type": ["array", "null"],
                "items": {"type": "boolean"},
                "maxItems": 3,
                "description": "D",
            },
        ),
        (
            Table(Flag("", False), "D"),
            {"type": "object", "additionalProperties": {"type": "boolean"}, "description": "D"},
        ),
    ],
)
def test_schema_when_a_shape_is_described_then_it_is_json_schema(
    components: Components, shape: Shape, schema: dict[str, Any]
) -> None:
    """Null is allowed exactly where the default is null and the value not required."""
    assert components.schema(shape) == schema


def test_ref_when_a_record_is_used_twice_then_it_is_one_component(
    components: Components, registered: dict[str, Any]
) -> None:
    """A record is written once; every field of it is required, for each is always sent."""
    record = Record("R", {"a": Text("", default=""), "b": Flag("")}, "Doc.")

    assert components.ref(record) == components.ref(record) == {"$ref": "#/components/schemas/R"}
    assert list(registered) == ["R"]
    assert registered["R"]["required"] == ["a", "b"]
    assert registered["R"]["description"] == "Doc."


def test_ref_when_two_records_share_a_name_then_it_is_an_error(components: Components) -> None:
    """One name cannot mean two things."""
    components.ref(Record("R", {"a": Text("")}))

    with pytest.raises(ValueError, match="two shapes have the name R"):
        components.ref(Record("R", {"b": Text("")}))


def test_schema_when_a_record_is_nullable_then_null_stands_beside_it(
    components: Components,
) -> None:
    """A nullable record is a reference or null."""
    schema = components.schema(Record("R", {}, "Doc.", nullable=True))

    assert schema["anyOf"] == [{"$ref": "#/components/schemas/R"}, {"type": "null"}]


def test_schema_when_a_shape_is_tagged_then_the_tag_decides(
    components: Components, registered: dict[str, Any]
) -> None:
    """A discriminator leads from the tag to the record."""
    components.ref(Tagged("T", "kind", {"a": Record("A", {}), "b": Record("B", {})}))

    assert registered["T"]["discriminator"]["mapping"]["b"] == "#/components/schemas/B"
    assert len(registered["T"]["oneOf"]) == 2
