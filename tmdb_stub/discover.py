"""TMDB's discover: a table of filters and a table of orders over the films of the catalogue.

What the catalogue cannot know is answered honestly: it holds no age ratings, so a filter by
certification finds nothing, and one release date for each film, so `region` changes nothing and
only a theatrical release type finds something.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from tmdb_stub.catalogue import Catalogue, Film
from tmdb_stub.errors import TmdbError
from tmdb_stub.providers import offers

Test = Callable[[Film], bool]
Value = Callable[[Film], Any]

_INVALID_PARAMETERS = 5
_THEATRICAL = {"2", "3"}

_RANGES: dict[str, Value] = {
    "primary_release_date": lambda film: film.release_date,
    "release_date": lambda film: film.release_date,
    "vote_average": lambda film: film.vote_average,
    "vote_count": lambda film: film.vote_count,
    "with_runtime": lambda film: film.runtime,
}
_IDS: dict[str, Value] = {
    "genres": lambda film: film.genre_ids,
    "keywords": lambda film: film.keyword_ids,
    "companies": lambda film: film.company_ids,
}
_PEOPLE: dict[str, Value] = {
    "with_cast": lambda film: {member.person_id for member in film.cast},
    "with_crew": lambda film: film.director_ids,
    "with_people": lambda film: {*film.director_ids, *(m.person_id for m in film.cast)},
}
_ORDERS: dict[str, Value] = {
    "original_title": lambda film: film.original_title.casefold(),
    "popularity": lambda film: film.popularity,
    "primary_release_date": lambda film: film.release_date,
    "release_date": lambda film: film.release_date,
    "revenue": lambda film: film.revenue,
    "title": lambda film: film.title.casefold(),
    "vote_average": lambda film: film.vote_average,
    "vote_count": lambda film: film.vote_count,
}
SORTS = tuple(f"{name}.{way}" for name in _ORDERS for way in ("asc", "desc"))


def discover(catalogue: Catalogue, query: Mapping[str, str]) -> list[Film]:
    """Return the films that pass every filter of the query, in the order of `sort_by`.

    Equal films stay in the order of popularity. Unknown parameters and orders are ignored, as
    TMDB does. Raise `TmdbError` (422) for a date or a number that is none.
    """
    query = {name: value for name, value in query.items() if value}
    tests = [*_flags(query), *_ranges(query), *_memberships(query), *_texts(query)]
    tests += _watch(query)
    films = [film for film in catalogue.films if all(test(film) for test in tests)]
    name, _, way = query.get("sort_by", "").partition(".")
    if name in _ORDERS and way in ("asc", "desc"):
        films.sort(key=_ORDERS[name], reverse=way == "desc")
    return films


def _flags(query: Mapping[str, str]) -> list[Test]:
    tests: list[Test] = []
    if query.get("include_video", "false").lower() != "true":
        tests.append(lambda film: not film.video)
    if any(name in query for name in ("certification", "certification.gte", "certification.lte")):
        tests.append(lambda film: False)
    types = query.get("with_release_type")
    if types and not _THEATRICAL & set(types.replace("|", ",").split(",")):
        tests.append(lambda film: False)
    return tests


def _ranges(query: Mapping[str, str]) -> list[Test]:
    tests: list[Test] = []
    for name, value in _RANGES.items():
        read = _date if name.endswith("date") else _number
        if f"{name}.gte" in query:
            tests.append(_at_least(value, read(query[f"{name}.gte"])))
        if f"{name}.lte" in query:
            tests.append(_at_most(value, read(query[f"{name}.lte"])))
    for name in ("primary_release_year", "year"):
        if name in query:
            year = f"{int(_number(query[name])):04d}"
            tests.append(lambda film, year=year: film.year == year)  # type: ignore[misc]
    return tests


def _at_least(value: Value, low: Any) -> Test:
    # A film without the fact (no date, no runtime) is in no range.
    return lambda film: value(film) not in ("", None) and value(film) >= low


def _at_most(value: Value, high: Any) -> Test:
    return lambda film: value(film) not in ("", None) and value(film) <= high


def _memberships(query: Mapping[str, str]) -> list[Test]:
    tests: list[Test] = []
    for name, value in _IDS.items():
        if f"with_{name}" in query:
            tests.append(_has(value, query[f"with_{name}"]))
        if f"without_{name}" in query:
            tests.append(_has_none(value, query[f"without_{name}"]))
    tests += [_has(value, query[name]) for name, value in _PEOPLE.items() if name in query]
    return tests


def _has(value: Value, text: str) -> Test:
    """Return the test of a list of ids: a comma is AND, a pipe is OR within it."""
    groups = [_ids(part) for part in text.split(",")]
    return lambda film: all(not group.isdisjoint(value(film)) for group in groups)


def _has_none(value: Value, text: str) -> Test:
    excluded = _ids(text.replace(",", "|"))
    return lambda film: excluded.isdisjoint(value(film))


def _ids(text: str) -> set[int]:
    # A word instead of an id finds nothing, as the recorded answer to `with_genres=Action` shows.
    return {int(part) for part in text.split("|") if part.strip().isdecimal()}


def _texts(query: Mapping[str, str]) -> list[Test]:
    tests: list[Test] = []
    if "with_original_language" in query:
        languages = set(query["with_original_language"].split("|"))
        tests.append(lambda film: film.original_language in languages)
    if "with_origin_country" in query:
        countries = set(query["with_origin_country"].split("|"))
        tests.append(lambda film: not countries.isdisjoint(film.countries[:1]))
    return tests


def _watch(query: Mapping[str, str]) -> list[Test]:
    region = query.get("watch_region", "").upper()
    if not region:
        return []
    tests: list[Test] = []
    if "with_watch_providers" in query:
        tests.append(_has(lambda film: _services(film, region), query["with_watch_providers"]))
    if "without_watch_providers" in query:
        excluded = query["without_watch_providers"]
        tests.append(_has_none(lambda film: _services(film, region), excluded))
    if "with_watch_monetization_types" in query:
        kinds = set(query["with_watch_monetization_types"].replace(",", "|").split("|"))
        tests.append(lambda film: not kinds.isdisjoint(offers(film, region)))
    return tests


def _services(film: Film, region: str) -> set[int]:
    return {number for numbers in offers(film, region).values() for number in numbers}


def _date(text: str) -> str:
    try:
        # TMDB also takes a time behind the date.
        return date.fromisoformat(text[:10]).isoformat()
    except ValueError:
        raise TmdbError(_INVALID_PARAMETERS) from None


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise TmdbError(_INVALID_PARAMETERS) from None
    if number != number or number in (float("inf"), float("-inf")):
        raise TmdbError(_INVALID_PARAMETERS)
    return number
