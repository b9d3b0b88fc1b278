"""The shipped catalogue: its size, its completeness and its ids."""

from __future__ import annotations

from typing import Any

from tmdb_stub.catalogue import CATALOGUE_FILE, Catalogue
from tmdb_stub.ids import number_names


def test_file_when_shipped_then_it_is_small_and_rich(catalogue: Catalogue) -> None:
    """At most 2 MB, and at least 1,000 films with runtime, cast, keywords and a poster."""
    full = [f for f in catalogue.films if f.runtime and f.cast and f.keyword_ids and f.poster_path]
    assert CATALOGUE_FILE.stat().st_size <= 2 * 1024 * 1024
    assert len(full) >= 1000


def test_people_when_loaded_then_ids_are_unique_and_tmdbs_where_known(
    catalogue: Catalogue,
) -> None:
    """Ids are positive, fit 32 bits and name one person each; facts with TMDB's id keep it."""
    assert all(0 < number < 2**31 for number in catalogue.people)
    names = [person.name for person in catalogue.people.values()]
    assert len(names) == len(set(names))
    assert catalogue.people[819].name == "Edward Norton"
    assert catalogue.by_id[550].cast[0].character == "Narrator"


def test_people_when_films_are_walked_then_they_point_back(catalogue: Catalogue) -> None:
    """Every mention of a person in a film is in that person's list, and nothing more."""
    people = catalogue.people.values()
    mentions = {(f.id, m.person_id) for f in catalogue.films for m in f.cast}
    assert mentions == {(f.id, p.id) for p in people for f in p.acted_in}
    directed = {(f.id, d) for f in catalogue.films for d in f.director_ids}
    assert directed == {(f.id, p.id) for p in people for f in p.directed}


def test_ids_when_the_set_of_names_grows_then_known_names_keep_theirs() -> None:
    """An id depends on the name, not on its neighbours."""
    small = number_names(["b", "a"], "person")
    assert small.items() <= number_names(["c", "a", "b", "d"], "person").items()


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
