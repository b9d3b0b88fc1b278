"""bff/shapes.py: reading is tolerant, what comes out is as documented, whatever came in."""

from __future__ import annotations

import math
from typing import Any

import jsonschema_rs
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bff import library_shapes, tmdb_shapes
from bff.api.schemas.documents import Components
from bff.reads import CONFIGURATION, ENRICHED, READS
from bff.shapes import (
    Date,
    Flag,
    Integer,
    Malformed,
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

RECORDS: dict[str, Record] = {
    row.shape.name: row.shape for row in (*READS, CONFIGURATION, ENRICHED)
} | {
    shape.name: shape
    for shape in (library_shapes.FAVORITES, library_shapes.WATCHLIST, library_shapes.HISTORY)
}
SCHEMAS: dict[str, Any] = {}
COMPONENTS = Components(SCHEMAS.__setitem__)
REFS = {name: COMPONENTS.ref(record) for name, record in RECORDS.items()}
VALIDATORS = {
    name: jsonschema_rs.Draft202012Validator({**ref, "components": {"schemas": SCHEMAS}})
    for name, ref in REFS.items()
}
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


def near(shape: Shape) -> st.SearchStrategy[Any]:
    """Return JSON that is nearly of the shape: right keys, now and then a wrong value."""
    right: st.SearchStrategy[Any]
    if isinstance(shape, Record):
        right = st.fixed_dictionaries({}, optional={k: near(v) for k, v in shape.fields.items()})
    elif isinstance(shape, Tagged):
        right = st.one_of([near(record) for record in shape.records.values()])
    elif isinstance(shape, Many):
        right = st.lists(near(shape.item), max_size=2)
    elif isinstance(shape, Table):
        right = st.dictionaries(st.sampled_from(["DE", "US"]), near(shape.value))
    else:
        right = SCALARS
    return st.one_of(right, right, right, SCALARS)


NEAR = {name: near(record) for name, record in RECORDS.items()}


def judged(name: str, value: Any) -> None:
    """Assert that reading raises Malformed at the most, and gives what is documented."""
    try:
        read = RECORDS[name].read(value)
    except Malformed:
        return
    sent = orjson.loads(orjson.dumps(read))
    assert VALIDATORS[name].is_valid(sent), sent


@settings(max_examples=50, deadline=None, database=None)
@given(st.sampled_from(sorted(RECORDS)), ANYTHING)
def test_read_when_the_json_is_anything_then_it_is_malformed_or_as_documented(
    name: str, value: Any
) -> None:
    """No JSON at all raises anything but Malformed."""
    judged(name, value)


@settings(max_examples=80, deadline=None, database=None)
@given(st.data())
def test_read_when_the_json_is_nearly_right_then_it_is_malformed_or_as_documented(
    data: st.DataObject,
) -> None:
    """Right keys with odd values: what is read validates against the generated schema."""
    name = data.draw(st.sampled_from(sorted(RECORDS)))
    judged(name, data.draw(NEAR[name]))


READINGS: list[tuple[Shape, Any, Any]] = [
    (Text(""), "x", "x"),
    (Text(""), "", ""),
    (Text(""), 5, None),
    (Text("", default=""), None, ""),
    (Text("", choices=("a",)), "b", None),
    (Date(""), "1999-10-15", "1999-10-15"),
    (Date(""), "", None),
    (Date(""), "1999-13-01", None),
    (Date(""), "1999-10-15\n", None),
    (Date(""), "1999-1-5", None),
    (Date(""), "\u0661999-10-15", None),
    (Moment(""), "2026-11-24T17:30:00Z", "2026-11-24T17:30:00Z"),
    (Moment(""), "2026-11-24T17:30:00.123+01:00", "2026-11-24T17:30:00.123+01:00"),
    (Moment(""), "2026-11-24 17:30:00", None),
    (Moment(""), "2026-11-24T25:30:00Z", None),
    (Integer(""), 5, 5),
    (Integer(""), 5.0, 5),
    (Integer(""), 5.5, None),
    (Integer(""), True, None),
    (Integer(""), "5", None),
    (Integer(""), 2**53, None),
    (Integer("", least=1), 0, None),
    (Integer("", default=0), math.inf, 0),
    (Number(""), 1.5, 1.5),
    (Number(""), 1, 1),
    (Number(""), math.nan, None),
    (Number(""), math.inf, None),
    (Number(""), False, None),
    (Flag(""), True, True),
    (Flag("", default=False), 1, False),
    (Pages("", default=1), 501, 500),
    (Pages("", default=1), 0, 0),
    (Pages("", default=1), -1, 1),
    (Pages("", default=1), True, 1),
    (Many(Integer("", required=True), ""), [1, "x", 2], [1, 2]),
    (Many(Integer("", required=True), "", most=1), ["x", 1, 2], [1]),
    (Many(Integer(""), ""), [None], [None]),
    (Many(Integer(""), ""), {}, []),
    (Table(Integer("", required=True), ""), {"a": 1, "b": "x"}, {"a": 1}),
    (Table(Integer(""), ""), [], {}),
    (Record("R", {"a": Text("")}, nullable=True), 5, None),
    (Record("R", {"a": Text("", required=True)}, nullable=True), {}, None),
    (Record("R", {"a": Text("")}), {"a": "x", "b": 1}, {"a": "x"}),
]


def test_shape_when_it_reads_a_value_then_the_rest_is_its_default(
    subtests: pytest.Subtests,
) -> None:
    """A value of the type stays, anything else becomes the default, or is left out of a list."""
    for shape, value, read in READINGS:
        with subtests.test(shape=shape, value=value):
            assert shape.read(value) == read
            assert type(shape.read(value)) is type(read)


def test_shape_when_what_it_requires_is_missing_then_it_is_malformed(
    subtests: pytest.Subtests,
) -> None:
    """Nothing stands in for what cannot be done without."""
    for shape in (
        *[kind("", required=True) for kind in (Text, Date, Moment, Integer, Number, Flag)],
        Many(Text(""), "", required=True),
        Table(Text(""), "", required=True),
        Record("R", {"a": Text("", required=True)}),
        Tagged("T", "kind", {"a": Record("R", {})}),
    ):
        for value in (None, object()):
            with subtests.test(shape=type(shape).__name__, value=value), pytest.raises(Malformed):
                shape.read(value)


@pytest.mark.parametrize("tag", [None, "unknown", 5, [], {}])
def test_tagged_when_its_tag_is_unknown_then_it_is_malformed(tag: Any) -> None:
    """What is neither film, series nor person is not guessed at."""
    entry = tmdb_shapes.MULTI.fields["results"].item  # type: ignore[attr-defined]
    with pytest.raises(Malformed):
        entry.read({"id": 1, "media_type": tag})


def test_scalar_when_it_is_only_the_base_then_it_cannot_read() -> None:
    """The base class is no shape of its own."""
    with pytest.raises(NotImplementedError):
        Scalar("").read(1)


def test_record_when_it_is_placed_elsewhere_then_only_the_place_changes() -> None:
    """`but` keeps name and fields."""
    placed = tmdb_shapes.GENRE.but(nullable=True)

    assert placed.nullable
    assert (placed.name, placed.fields) == (tmdb_shapes.GENRE.name, tmdb_shapes.GENRE.fields)
    assert placed.read(None) is None
