"""bff/schemas/reading.py: reading forgives, and what comes out is as documented."""

from __future__ import annotations

import math
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from marshmallow import fields
from marshmallow.validate import Length, OneOf, Range

from bff.reads import CONFIGURATION, ENRICHED, READS
from bff.schemas import library, tmdb
from bff.schemas.base import AnswerSchema, Malformed, UnionSchema
from bff.schemas.reading import reader
from tests.bff.schemas.validator import Validator

SCHEMAS: list[type[AnswerSchema]] = [
    *{row.schema: None for row in (*READS, CONFIGURATION, ENRICHED)},
    library.FavoritesSchema,
    library.WatchlistSchema,
    library.HistorySchema,
]
VALIDATORS = {schema: Validator(schema) for schema in SCHEMAS}
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**64), 2**64),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(["", "1999-10-15", "2026-11-24T17:30:00Z", "movie", "tv", "person"]),
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


def near(field: Any) -> st.SearchStrategy[Any]:
    """Return JSON that is nearly what a field or schema is: now and then a wrong value."""
    right: st.SearchStrategy[Any] = SCALARS
    if isinstance(field, UnionSchema):
        right = st.one_of([near(variant()) for variant in field.variants.values()])
    elif isinstance(field, AnswerSchema):
        known = {name: near(one) for name, one in field.fields.items()}
        right = st.fixed_dictionaries({}, optional=known)
    elif isinstance(field, fields.Nested):
        right = near(field.schema)
    elif isinstance(field, fields.List):
        right = st.lists(near(field.inner), max_size=2)
    elif isinstance(field, fields.Dict):
        right = st.dictionaries(st.sampled_from(["DE", "US"]), near(field.value_field))
    return st.one_of(right, right, right, SCALARS)


NEAR = {schema: near(schema()) for schema in SCHEMAS}


def judged(schema: type[AnswerSchema], value: Any) -> None:
    """Assert that reading raises Malformed at the most, and gives what is documented."""
    try:
        read = reader(schema)(value)
    except Malformed:
        return
    assert VALIDATORS[schema].errors(read) == []


@settings(max_examples=50, deadline=None, database=None)
@given(st.sampled_from(SCHEMAS), ANYTHING)
def test_reader_when_the_json_is_anything_then_it_is_malformed_or_as_documented(
    schema: type[AnswerSchema], value: Any
) -> None:
    """No JSON at all raises anything but Malformed."""
    judged(schema, value)


@settings(max_examples=80, deadline=None, database=None)
@given(st.data())
def test_reader_when_the_json_is_nearly_right_then_it_is_malformed_or_as_documented(
    data: st.DataObject,
) -> None:
    """Right keys with odd values: what is read is as the document says."""
    schema = data.draw(st.sampled_from(SCHEMAS))
    judged(schema, data.draw(NEAR[schema]))


def read_one(field: Any, value: Any) -> Any:
    """Return what is read of a value by a field."""
    schema = AnswerSchema.from_dict({"it": field}, name="OneSchema")
    return reader(schema)({"it": value})["it"]  # type: ignore[arg-type]


RECORD = AnswerSchema.from_dict({"a": fields.String()}, name="RecordSchema")
READINGS: list[tuple[Any, Any, Any]] = [
    (fields.String(allow_none=True), "x", "x"),
    (fields.String(allow_none=True), 5, None),
    (fields.String(allow_none=True), "line\nline", "line\nline"),
    (fields.String(dump_default=""), "", ""),
    (fields.String(dump_default=""), None, ""),
    (fields.String(allow_none=True, validate=OneOf(["a.b"])), "a.b", "a.b"),
    (fields.String(allow_none=True, validate=OneOf(["a.b"])), "axb", None),
    (fields.Date(allow_none=True), "1999-10-15", "1999-10-15"),
    (fields.Date(allow_none=True), "1999-13-01", None),
    (fields.Date(allow_none=True), "1999-10-15\n", None),
    (fields.Date(allow_none=True), "1999-1-5", None),
    (fields.Date(allow_none=True), "\u0661999-10-15", None),
    (fields.DateTime(allow_none=True), "2026-11-24T17:30:00Z", "2026-11-24T17:30:00Z"),
    (
        fields.DateTime(allow_none=True),
        "2026-11-24T17:30:00.123+01:00",
        "2026-11-24T17:30:00.123+01:00",
    ),
    (fields.DateTime(allow_none=True), "2026-11-24 17:30:00", None),
    (fields.DateTime(allow_none=True), "2026-11-24T25:30:00Z", None),
    (fields.Integer(allow_none=True), 5, 5),
    (fields.Integer(allow_none=True), 5.5, None),
    (fields.Integer(allow_none=True), True, None),
    (fields.Integer(allow_none=True), "5", None),
    (fields.Integer(allow_none=True), 2**53, None),
    (fields.Integer(allow_none=True, validate=Range(min=1)), 0, None),
    (fields.Integer(dump_default=0), math.inf, 0),
    (fields.Integer(dump_default=1, validate=Range(0, 500)), 48_000, 500),
    (fields.Integer(dump_default=1, validate=Range(0, 500)), -1, 1),
    (fields.Float(allow_none=True), 1.5, 1.5),
    (fields.Float(allow_none=True), 1, 1),
    (fields.Float(allow_none=True), math.nan, None),
    (fields.Float(allow_none=True), -math.inf, None),
    (fields.Float(allow_none=True), False, None),
    (fields.Boolean(allow_none=True), True, True),
    (fields.Boolean(dump_default=False), 1, False),
    (fields.List(fields.Integer()), [1, "x", 2], [1, 2]),
    (fields.List(fields.Integer(), validate=Length(max=1)), ["x", 1, 2], [1]),
    (fields.List(fields.Integer(allow_none=True)), [None], [None]),
    (fields.List(fields.Integer(), dump_default=list), {}, []),
    (fields.Dict(values=fields.Integer()), {"a": 1, "b": "x"}, {"a": 1}),
    (fields.Nested(RECORD, allow_none=True), 5, None),
    (fields.Nested(RECORD, allow_none=True), {}, None),
    (fields.Nested(RECORD), {"a": "x", "b": 1}, {"a": "x"}),
]


def test_reader_when_it_reads_a_value_then_what_is_none_becomes_null_or_the_default(
    subtests: pytest.Subtests,
) -> None:
    """A value of the type stays, anything else is replaced, or left out of a list."""
    for field, value, read in READINGS:
        with subtests.test(field=field, value=value):
            found = read_one(field, value)
            assert found == read
            assert type(found) is type(read)


@pytest.mark.parametrize(
    "field",
    [
        *[kind() for kind in (fields.String, fields.Date, fields.DateTime, fields.Boolean)],
        *[fields.Integer(), fields.Float(), fields.List(fields.String()), fields.Nested(RECORD)],
        fields.Dict(values=fields.String()),
    ],
    ids=lambda field: type(field).__name__,
)
def test_reader_when_something_essential_is_missing_then_it_is_malformed_and_says_where(
    field: Any,
) -> None:
    """Nothing stands in for what cannot be done without."""
    for value in (None, object()):
        with pytest.raises(Malformed) as caught:
            read_one(field, value)
        assert caught.value.path == "it"


def test_reader_when_something_deep_inside_is_missing_then_the_path_leads_to_it() -> None:
    """Whoever looks for the fault sees which field it is."""
    raw = orjson.loads(b'{"images": {"secure_base_url": 5, "poster_sizes": []}}')

    with pytest.raises(Malformed) as caught:
        reader(tmdb.TmdbConfigurationSchema)(raw)

    assert caught.value.path == "images.secure_base_url"
