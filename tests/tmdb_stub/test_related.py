"""Similar and recommended films: that they make sense, differ, and come fast."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from tmdb_stub.catalogue import Catalogue
from tmdb_stub.related import RECOMMENDED_COUNT, SIMILAR_COUNT
from tmdb_stub.stub import Stub

Get = Callable[..., Any]


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


def test_related_when_film_is_in_a_series_then_the_series_comes_first(
    stub: Stub, catalogue: Catalogue
) -> None:
    """All other films of a series stand before any other film, in both lists."""
    for series in list(catalogue.collections.values())[::20]:
        film = series.films[0]
        others = {other.id for other in series.films[1:]}
        for found in (stub.related.similar(film), stub.related.recommended(film)):
            assert {other.id for other in found[: len(others)]} == others


def test_related_when_asked_then_never_holds_the_film_itself_or_one_twice(
    stub: Stub, catalogue: Catalogue
) -> None:
    """A list has each other film once at most, within its length."""
    for film in catalogue.films[::300]:
        for found, limit in (
            (stub.related.similar(film), SIMILAR_COUNT),
            (stub.related.recommended(film), RECOMMENDED_COUNT),
        ):
            ids = [other.id for other in found]
            assert film.id not in ids
            assert len(ids) == len(set(ids)) <= limit


def test_related_when_film_has_facts_then_similar_films_share_one(
    stub: Stub, catalogue: Catalogue
) -> None:
    """The first similar films share a keyword, a genre, a person or the series."""
    for film in [film for film in catalogue.films if film.keyword_ids][::200]:
        for other in stub.related.similar(film)[:5]:
            people = {m.person_id for m in film.cast} & {m.person_id for m in other.cast}
            shared = (
                people
                or set(film.keyword_ids) & set(other.keyword_ids)
                or set(film.genre_ids) & set(other.genre_ids)
                or film.collection_id == other.collection_id
            )
            assert shared, (film.title, other.title)


def test_related_when_weights_differ_then_lists_differ(stub: Stub, catalogue: Catalogue) -> None:
    """Similar and recommended are two answers for a film with many facts."""
    film = catalogue.by_id[27205]
    similar, recommended = stub.related.similar(film), stub.related.recommended(film)
    assert similar[:20] != recommended[:20]


def test_related_when_film_has_only_genres_then_falls_back_to_them(
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


def test_related_when_asked_for_the_first_time_then_takes_less_than_30_ms(
    stub: Stub, catalogue: Catalogue
) -> None:
    """One answer is fast enough to be made within a request (best of several: CI is slow)."""
    stub.related.warm()
    times = []
    for film in catalogue.films[1000:1010]:
        begin = time.perf_counter()
        stub.related.similar(film)
        times.append(time.perf_counter() - begin)
    assert min(times) < 0.03
