"""Similar and recommended films: that they make sense and differ."""

from __future__ import annotations

import pytest

from tests.tmdb_stub.conftest import Get
from tmdb_stub.catalogue import Catalogue
from tmdb_stub.related import RECOMMENDED_COUNT, SIMILAR_COUNT
from tmdb_stub.stub import Stub


@pytest.mark.parametrize(
    ("movie_id", "expected"),
    [
        (155, {"Batman Begins", "The Dark Knight Rises", "The Prestige"}),
        (680, {"Jackie Brown", "Kill Bill: Vol. 1", "Reservoir Dogs"}),
        (862, {"Toy Story 2", "Toy Story 3", "A Bug's Life"}),
        (238, {"The Godfather: Part II", "Apocalypse Now"}),
        (585083, {"Hotel Transylvania", "Hotel Transylvania 2"}),
    ],
)
def test_recommendations_when_film_is_known_then_hold_what_a_person_expects(
    get: Get, movie_id: int, expected: set[str]
) -> None:
    """The first page has the series, the director's other films and films of the same kind."""
    results = get(f"/movie/{movie_id}/recommendations")["results"]
    assert expected <= {film["title"] for film in results}


def test_related_when_asked_then_holds_others_once_and_the_series_first(
    stub: Stub, catalogue: Catalogue
) -> None:
    """Each other film once at most, never the film itself, its series before all others."""
    many = catalogue.by_id[27205]
    assert stub.related.similar(many)[:20] != stub.related.recommended(many)[:20]
    films = [s.films[0] for s in list(catalogue.collections.values())[::40]]
    for film in [*films, *catalogue.films[::400]]:
        series = catalogue.collections[film.collection_id].films if film.collection_id else ()
        others = {other.id for other in series} - {film.id}
        for found, limit in (
            (stub.related.similar(film), SIMILAR_COUNT),
            (stub.related.recommended(film), RECOMMENDED_COUNT),
        ):
            ids = [other.id for other in found]
            assert film.id not in ids
            assert len(ids) == len(set(ids)) <= limit
            assert set(ids[: len(others)]) == others or not others


def test_similar_when_film_has_facts_then_the_first_films_share_one(
    stub: Stub, catalogue: Catalogue
) -> None:
    """They share a keyword, a genre, a person or the series."""
    for film in [film for film in catalogue.films if film.keyword_ids][::200]:
        for other in stub.related.similar(film)[:5]:
            people = {m.person_id for m in film.cast} & {m.person_id for m in other.cast}
            assert (
                people
                or set(film.keyword_ids) & set(other.keyword_ids)
                or set(film.genre_ids) & set(other.genre_ids)
                or film.collection_id == other.collection_id
            ), (film.title, other.title)


def test_similar_when_film_has_only_genres_then_falls_back_to_them(
    stub: Stub, catalogue: Catalogue
) -> None:
    """A film without people and keywords still has similar films of its genres."""
    bare = next(
        film
        for film in catalogue.films
        if film.genre_ids and not (film.cast or film.keyword_ids or film.collection_id)
    )
    found = stub.related.similar(bare)[:20]
    assert len(found) == 20
    assert sum(bool(set(bare.genre_ids) & set(film.genre_ids)) for film in found) >= 15
