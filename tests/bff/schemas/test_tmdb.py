"""bff/schemas/tmdb.py: what becomes of TMDB's answers beyond the type of each field."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from bff.reads import ENRICHED, READS
from bff.schemas import tmdb
from bff.schemas.base import AnswerSchema
from bff.schemas.reading import reader


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

    assert names | {"recommendations", "similar"} == {row.name for row in LISTS}


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
