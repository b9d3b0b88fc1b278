"""The shipped catalogue: its size, its completeness, its ids; and the script that builds it."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tmdb_stub.catalogue import CATALOGUE_FILE, Catalogue
from tmdb_stub.ids import number_names

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "build_catalogue.py"

FACT = {
    "id": 7,
    "title": "Ça",
    "original_title": "Ça",
    "release_date": "2001-02-03",
    "vote_average": 6.5,
    "vote_count": 100,
    "popularity": 900.0,
    "adult": False,
    "poster_path": None,
    "genres": [{"id": 18, "name": "Drama"}],
    "production_countries": [{"iso_3166_1": "FR", "name": "France"}],
    "cast": [{"name": "Second", "order": 1}, {"name": "First", "order": 0}],
}


@pytest.fixture(scope="module")
def build() -> Callable[[list[str]], bytes]:
    """The build function of the script."""
    function: Callable[[list[str]], bytes] = runpy.run_path(str(SCRIPT))["build"]
    return function


def test_file_when_shipped_then_is_at_most_two_megabytes() -> None:
    """The catalogue stays small enough for the repository."""
    assert CATALOGUE_FILE.stat().st_size <= 2 * 1024 * 1024


def test_films_when_counted_then_a_thousand_have_every_fact(catalogue: Catalogue) -> None:
    """At least 1,000 films have runtime, cast, keywords and a poster."""
    full = [f for f in catalogue.films if f.runtime and f.cast and f.keyword_ids and f.poster_path]
    assert len(full) >= 1000


def test_popular_when_paged_then_has_fifty_pages(get: Callable[..., Any]) -> None:
    """The fiftieth page of popular is full."""
    assert len(get("/movie/popular", page=50)["results"]) == 20


def test_people_when_loaded_then_ids_are_unique_and_fit_32_bits(catalogue: Catalogue) -> None:
    """Ids of people are positive, fit a signed 32-bit integer and name one person each."""
    assert all(0 < number < 2**31 for number in catalogue.people)
    names = [person.name for person in catalogue.people.values()]
    assert len(names) == len(set(names))


def test_people_when_facts_give_an_id_then_it_is_tmdbs(catalogue: Catalogue) -> None:
    """Where the facts know TMDB's id of a person, that id is used."""
    assert catalogue.people[819].name == "Edward Norton"
    assert catalogue.by_id[550].cast[0].character == "Narrator"


def test_ids_when_the_set_of_names_grows_then_known_names_keep_theirs() -> None:
    """An id depends on the name, not on its neighbours."""
    small = number_names(["b", "a"], "person")
    large = number_names(["c", "a", "b", "d"], "person")
    assert small.items() <= large.items()


def test_films_when_loaded_then_equal_the_lines_of_the_file(
    catalogue: Catalogue, rows: list[dict[str, Any]]
) -> None:
    """No film is lost or doubled, and the plain facts arrive as they stand in the file."""
    assert len(catalogue.films) == len(catalogue.by_id) == len(rows)
    for row in rows:
        film = catalogue.by_id[row["id"]]
        assert film.title == row["title"]
        assert film.release_date == row.get("released", "")
        assert [catalogue.keywords[k] for k in film.keyword_ids] == row.get("keywords", [])
        assert [catalogue.people[d].name for d in film.director_ids] == row.get("directors", [])
        assert len(film.cast) == len(row.get("cast", []))


def test_build_when_run_twice_then_gives_the_same_bytes(
    build: Callable[[list[str]], bytes],
) -> None:
    """The same facts in any order give the same file."""
    other = {**FACT, "id": 8}
    lines = [json.dumps(FACT), json.dumps(other)]
    assert build(lines) == build(lines[::-1])


def test_build_when_facts_are_missing_then_fills_in_defaults(
    build: Callable[[list[str]], bytes], tmp_path: Path
) -> None:
    """Language comes from the country, an old film's popularity is capped, the cast is ordered."""
    newer = {"id": 9, "title": "New", "release_date": "2020-01-01", "popularity": 900.0}
    path = tmp_path / "catalogue.gz"
    path.write_bytes(build([json.dumps(FACT), json.dumps(newer)]))
    small = Catalogue.load(path)
    film = small.by_id[7]
    assert film.original_language == "fr"
    assert film.popularity == pytest.approx(3 * (0.17 * 10 + 1))
    assert small.by_id[9].popularity == 900
    assert [small.people[member.person_id].name for member in film.cast] == ["First", "Second"]


def test_build_when_an_id_occurs_twice_then_refuses(build: Callable[[list[str]], bytes]) -> None:
    """Two films with one id are a fault of the facts."""
    with pytest.raises(ValueError, match="twice"):
        build([json.dumps(FACT), json.dumps(FACT)])
