"""Discover: every filter and order against a plain reading of the catalogue's lines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.tmdb_stub.conftest import OPENAPI, Get
from tmdb_stub.catalogue import Catalogue
from tmdb_stub.discover import SORTS, discover
from tmdb_stub.providers import offers

Row = dict[str, Any]
Expect = Callable[[Row], bool]


def released(row: Row) -> str:
    """Return the release date, empty if unknown."""
    return str(row.get("released", ""))


def ids(row: Row, name: str) -> set[int]:
    """Return the ids of the genres or companies."""
    return {entry if isinstance(entry, int) else entry[0] for entry in row.get(name, [])}


def cast(row: Row) -> list[str]:
    """Return the names of the cast."""
    return [m[1] if isinstance(m, list) else m for m in row.get("cast", [])]


FILTERS: list[tuple[dict[str, str], Expect]] = [
    ({}, lambda row: True),
    ({"with_genres": "28"}, lambda row: 28 in ids(row, "genres")),
    ({"with_genres": "28,12"}, lambda row: {28, 12} <= ids(row, "genres")),
    ({"with_genres": "28|12"}, lambda row: bool({28, 12} & ids(row, "genres"))),
    (
        {"with_genres": "28|12,18"},
        lambda row: bool({28, 12} & ids(row, "genres")) and 18 in ids(row, "genres"),
    ),
    ({"with_genres": "Action"}, lambda row: False),
    ({"without_genres": "18"}, lambda row: 18 not in ids(row, "genres")),
    ({"without_genres": "18,35"}, lambda row: not {18, 35} & ids(row, "genres")),
    ({"with_companies": "420"}, lambda row: 420 in ids(row, "companies")),
    ({"with_companies": "420|4"}, lambda row: bool({420, 4} & ids(row, "companies"))),
    ({"without_companies": "4"}, lambda row: 4 not in ids(row, "companies")),
    ({"with_original_language": "ja"}, lambda row: row["language"] == "ja"),
    ({"with_original_language": "ja|ko"}, lambda row: row["language"] in ("ja", "ko")),
    ({"with_origin_country": "FR"}, lambda row: row.get("countries", [""])[0] == "FR"),
    ({"primary_release_year": "1999"}, lambda row: released(row).startswith("1999")),
    ({"year": "1999"}, lambda row: released(row).startswith("1999")),
    ({"primary_release_date.gte": "2020-05-01"}, lambda row: released(row) >= "2020-05-01"),
    ({"primary_release_date.lte": "1950-12-31"}, lambda row: "" < released(row) <= "1950-12-31"),
    ({"release_date.gte": "2026-01-01"}, lambda row: released(row) >= "2026-01-01"),
    ({"release_date.lte": "1930-01-01"}, lambda row: "" < released(row) <= "1930-01-01"),
    ({"vote_average.gte": "8.2"}, lambda row: row.get("average", 0) >= 8.2),
    ({"vote_average.lte": "3"}, lambda row: row.get("average", 0) <= 3),
    ({"vote_count.gte": "10000"}, lambda row: row.get("votes", 0) >= 10000),
    ({"vote_count.lte": "0"}, lambda row: row.get("votes", 0) == 0),
    ({"with_runtime.gte": "180"}, lambda row: row.get("runtime", 0) >= 180),
    ({"with_runtime.lte": "80"}, lambda row: row.get("runtime", 0) <= 80),
    ({"certification": "R", "certification_country": "US"}, lambda row: False),
    ({"with_release_type": "4"}, lambda row: False),
    ({"with_release_type": "2|3"}, lambda row: True),
    ({"region": "DE"}, lambda row: True),
    ({"include_adult": "true"}, lambda row: True),
    ({"with_genres": "", "year": ""}, lambda row: True),
    ({"some_unknown_parameter": "1"}, lambda row: True),
    (
        {"with_genres": "878", "vote_count.gte": "500", "primary_release_date.lte": "1990-01-01"},
        lambda row: (
            878 in ids(row, "genres") and row.get("votes", 0) >= 500 and released(row) <= "1990"
        ),
    ),
]


@pytest.mark.parametrize(("query", "expect"), FILTERS, ids=[str(query) for query, _ in FILTERS])
def test_discover_when_filtered_then_equals_brute_force(
    catalogue: Catalogue, rows: list[Row], query: dict[str, str], expect: Expect
) -> None:
    """A filter keeps exactly the films whose facts pass it; videos are out by default."""
    expected = {row["id"] for row in rows if not row.get("video") and expect(row)}
    assert {film.id for film in discover(catalogue, query)} == expected


def test_discover_when_people_are_given_then_equals_brute_force(
    catalogue: Catalogue, rows: list[Row]
) -> None:
    """Cast, crew and both together; a comma between people is "and", a pipe is "or"."""
    people = [p for p in catalogue.people.values() if len(p.acted_in) > 3 and len(p.directed) > 3]
    assert len(people) > 8
    for person in people[:8]:
        acted = {row["id"] for row in rows if person.name in cast(row)}
        directed = {row["id"] for row in rows if person.name in row.get("directors", [])}
        for name, expected in (
            ("with_cast", acted),
            ("with_crew", directed),
            ("with_people", acted | directed),
        ):
            query = {name: str(person.id), "include_video": "true"}
            assert {film.id for film in discover(catalogue, query)} == expected
    first, second = (member.person_id for member in catalogue.by_id[155].cast[:2])
    both = discover(catalogue, {"with_cast": f"{first},{second}"})
    assert catalogue.by_id[155] in both
    assert len(discover(catalogue, {"with_cast": f"{first}|{second}"})) > len(both)


def test_discover_when_keywords_are_given_then_equals_brute_force(
    catalogue: Catalogue, rows: list[Row]
) -> None:
    """Keywords can be asked for and excluded by id."""
    ids = {name: number for number, name in catalogue.keywords.items()}
    for word in ("superhero", "time travel", "based on novel or book"):
        expected = {row["id"] for row in rows if word in row.get("keywords", [])}
        every = {row["id"] for row in rows}
        with_word = {"with_keywords": str(ids[word]), "include_video": "true"}
        without = {"without_keywords": str(ids[word]), "include_video": "true"}
        assert {film.id for film in discover(catalogue, with_word)} == expected
        assert {film.id for film in discover(catalogue, without)} == every - expected


def test_discover_when_watch_filters_are_given_then_follow_the_offers(catalogue: Catalogue) -> None:
    """Services and kinds of offer count in the watch region only."""
    found = discover(catalogue, {"watch_region": "de", "with_watch_providers": "90001"})
    assert found
    assert all(90001 in offers(film, "DE").get("flatrate", []) for film in found)
    free = discover(catalogue, {"watch_region": "DE", "with_watch_monetization_types": "free|buy"})
    assert all({"free", "buy"} & offers(film, "DE").keys() for film in free)
    rest = discover(catalogue, {"watch_region": "DE", "without_watch_providers": "90001"})
    assert {f.id for f in found} | {f.id for f in rest} == {
        f.id for f in catalogue.films if not f.video
    }


SORT_VALUES: dict[str, Callable[[Row], Any]] = {
    "original_title": lambda row: row.get("original_title", row["title"]).casefold(),
    "title": lambda row: row["title"].casefold(),
    "popularity": lambda row: row.get("popularity", 0),
    "primary_release_date": released,
    "release_date": released,
    "revenue": lambda row: row.get("revenue", 0),
    "vote_average": lambda row: row.get("average", 0),
    "vote_count": lambda row: row.get("votes", 0),
}


@pytest.mark.parametrize("sort_by", SORTS)
def test_discover_when_sorted_then_equals_brute_force(
    catalogue: Catalogue, rows: list[Row], sort_by: str
) -> None:
    """Each order sorts every film by its fact, and equal films by popularity."""
    name, way = sort_by.split(".")
    usual = sorted(rows, key=lambda row: (-row.get("popularity", 0), row["id"]))
    expected = sorted(usual, key=SORT_VALUES[name], reverse=way == "desc")
    found = discover(catalogue, {"sort_by": sort_by, "include_video": "true"})
    assert [film.id for film in found] == [row["id"] for row in expected]


def test_discover_when_order_is_unknown_then_is_by_popularity(catalogue: Catalogue) -> None:
    """Every order of TMDB's document is known, and any other is ignored."""
    parameters = OPENAPI["paths"]["/3/discover/movie"]["get"]["parameters"]
    [values] = [p["schema"]["enum"] for p in parameters if p["name"] == "sort_by"]
    assert set(values) <= set(SORTS)
    assert discover(catalogue, {"sort_by": "mood.up"}) == discover(catalogue, {})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("primary_release_date__gte", "yesterday"),
        ("release_date__lte", "2020-13-01"),
        ("vote_average__gte", "high"),
        ("vote_count__lte", "nan"),
        ("year", "soon"),
    ],
)
def test_discover_when_a_value_is_wrong_then_422(get: Get, name: str, value: str) -> None:
    """A date or a number that is none is refused with TMDB's code 5."""
    assert get("/discover/movie", 422, **{name: value})["status_code"] == 5


def test_discover_when_paged_then_pages_join_to_the_whole(get: Get, catalogue: Catalogue) -> None:
    """The pages of a filter follow each other without a gap and end with an empty one."""
    query = {"with_genres": "37", "sort_by": "title.asc"}
    expected = [film.id for film in discover(catalogue, query)]
    first = get("/discover/movie", **query)
    pages = [get("/discover/movie", page=n + 1, **query) for n in range(first["total_pages"])]
    assert [entry["id"] for page in pages for entry in page["results"]] == expected
    assert first["total_results"] == len(expected)
    assert get("/discover/movie", page=first["total_pages"] + 1, **query)["results"] == []
