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
from tests.unit.document import Validator

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


@pytest.mark.parametrize("tag", [None, "unknown", 5, [], {}])
def test_union_when_its_tag_is_unknown_then_it_is_malformed(tag: Any) -> None:
    """What is neither film, series nor person is not guessed at."""
    with pytest.raises(Malformed):
        reader(tmdb.MultiResultSchema)({"id": 1, "media_type": tag})


@pytest.mark.parametrize(
    ("schema", "name"),
    [
        (tmdb.MovieDetailsSchema, "imdb_id"),
        (tmdb.MovieDetailsSchema, "poster_path"),
        (tmdb.MovieDetailsSchema, "release_date"),
        (tmdb.MovieDetailsSchema, "homepage"),
        (tmdb.PersonSchema, "place_of_birth"),
        (tmdb.PersonSchema, "birthday"),
        (tmdb.PersonSchema, "imdb_id"),
    ],
)
def test_text_when_it_is_empty_and_null_is_documented_then_it_is_null(
    schema: type[AnswerSchema], name: str
) -> None:
    """TMDB sends "" and null for the same; readers get one of them."""
    assert reader(schema)({"id": 1, name: ""})[name] is None


def test_integer_when_it_comes_as_a_decimal_then_it_is_an_integer() -> None:
    """12.0 is 12, in a film as in a list of genres."""
    read = reader(tmdb.FilmSchema)({"id": 12.0, "vote_count": 3.0, "genre_ids": [18.0]})

    assert orjson.dumps([read["id"], read["vote_count"], read["genre_ids"]]) == b"[12,3,[18]]"


@pytest.mark.parametrize("name", [None, "", 5])
def test_genre_when_it_has_no_name_then_it_gets_its_english_one(name: Any) -> None:
    """A genre that nobody has translated is still one; one that nobody knows is left out."""
    raw = [{"id": 10770, "name": name}, {"id": 18, "name": "Drame"}, {"id": 7, "name": name}]

    read = reader(tmdb.GenresSchema)({"genres": raw})

    assert [genre["name"] for genre in read["genres"]] == ["TV Movie", "Drame"]


def film(number: int, **more: Any) -> dict[str, Any]:
    """Return a film as TMDB sends it."""
    return {"id": number, "title": f"Film {number}", **more}


def shown(films: list[dict[str, Any]]) -> list[int]:
    """Return the numbers of films."""
    return [film["id"] for film in films]


LISTS = [row for row in READS if row.schema.__name__.endswith("FilmPageSchema")]
SEARCHES = [row for row in READS if row.name in ("search", "discover", "multi_search")]


@pytest.mark.parametrize("row", [*LISTS, *SEARCHES], ids=lambda row: row.name)
def test_list_when_a_film_is_there_twice_then_it_is_shown_once(row: Any) -> None:
    """TMDB repeats films now and then; the first place counts."""
    entries = [film(number, media_type="movie") for number in (2, 1, 2, 3, 1)]

    assert shown(reader(row.schema)({"results": entries})["results"]) == [2, 1, 3]


def test_lists_when_they_are_gathered_then_all_that_the_dashboard_shows_are_among_them() -> None:
    """The tests of lists are about something."""
    names = {"popular", "trending", "now_playing", "upcoming", "top_rated"}

    assert names | {"recommendations", "similar"} <= {row.name for row in LISTS}


@pytest.mark.parametrize("row", LISTS, ids=lambda row: row.name)
def test_list_when_nobody_asked_for_adult_films_then_it_has_none(row: Any) -> None:
    """A list that takes no `include_adult` shows no adult film."""
    assert "include_adult" not in row.query().fields

    read = reader(row.schema)({"results": [film(1), film(2, adult=True), film(3)]})

    assert shown(read["results"]) == [1, 3]


@pytest.mark.parametrize("row", SEARCHES, ids=lambda row: row.name)
def test_list_when_the_caller_can_ask_for_adult_films_then_tmdb_decides(row: Any) -> None:
    """What matches, with or without adult films, is TMDB's word."""
    assert "include_adult" in row.query().fields

    entries = [film(1, media_type="movie"), film(2, media_type="movie", adult=True)]

    assert shown(reader(row.schema)({"results": entries})["results"]) == [1, 2]


def test_related_films_when_they_are_shown_then_none_is_the_film_itself_nor_for_adults() -> None:
    """Six films at the most, each once, and each another one than the page is about."""
    films = [film(550), film(1, adult=True), film(2), film(2), *map(film, range(3, 20))]
    blocks = {name: {"results": films} for name in ("similar", "recommendations")}

    read = reader(ENRICHED.schema)({**film(550), **blocks})

    for block in blocks:
        assert shown(read[block]["results"]) == [2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("schema", [tmdb.CreditsSchema, tmdb.ShownCreditsSchema])
def test_cast_when_it_is_out_of_order_then_it_is_sorted(schema: type[AnswerSchema]) -> None:
    """The lead comes first; who has no position comes last, in TMDB's order."""
    orders: list[Any] = [2, None, 0, "x", 1]
    cast = [{"id": 10 + place, "order": order} for place, order in enumerate(orders)]

    read = reader(schema)({"id": 550, "cast": cast, "crew": []})

    assert shown(read["cast"]) == [12, 14, 10, 11, 13]


def test_crew_when_the_director_is_far_down_then_the_page_shows_director_and_writers_first() -> (
    None
):
    """TMDB lists a crew of hundreds in no order; nobody wants a page without its director."""
    crew = [
        *({"id": number, "job": "Grip", "department": "Camera"} for number in range(1, 201)),
        {"id": 301, "job": "Novel", "department": "Writing"},
        {"id": 302, "job": "Screenplay", "department": "Writing"},
        {"id": 303, "job": "Director", "department": "Directing"},
    ]

    read = reader(tmdb.ShownCreditsSchema)({"cast": [], "crew": crew})

    assert shown(read["crew"]) == [303, 302, 301, 1, 2, 3, 4, 5, 6, 7]
