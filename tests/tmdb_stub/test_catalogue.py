"""The shipped catalogue: its size, its completeness and its ids."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tmdb_stub.catalogue import CATALOGUE_FILE, Catalogue
from tmdb_stub.ids import number_names


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
