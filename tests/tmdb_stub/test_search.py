"""Search: what is folded, what matches, in which order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.tmdb_stub.conftest import Get
from tmdb_stub.search import SearchIndex, fold


def titles(body: Any) -> list[str]:
    """Return the titles or names of the results."""
    return [entry.get("title") or entry["name"] for entry in body["results"]]


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Amélie", "amelie"),
        ("WALL·E", "wall e"),
        ("Ocean\u2019s Eleven", "oceans eleven"),
        ("Spider-Man: Far  from Home!", "spider man far from home"),
        ("Straße", "strasse"),
        ("Łódź Ærø", "lodz aero"),
        ("\uff21\uff22\uff23", "abc"),
        ("千と千尋の神隠し", "千と千尋の神隠し"),
        ("?!", ""),
        ("", ""),
    ],
)
def test_fold_when_given_a_text_then_keeps_plain_words(text: str, folded: str) -> None:
    """Accents, case, width and punctuation disappear, letters of other scripts stay."""
    # Japanese voicing marks are taken off like accents; both sides of a comparison are folded.
    assert fold(text) == fold(folded)
    assert fold(text).isascii() is folded.isascii()


@pytest.mark.parametrize(
    ("query", "first"),
    [
        *((query, "Amélie") for query in ("amelie", "Amélie", "AMÉLIE", "  amelie  ", "amel")),
        ("the dark knight", "The Dark Knight"),
        ("dark kni", "The Dark Knight"),
        ("star wars", "Star Wars"),
        ("alien", "Alien"),
        ("wall e", "WALL·E"),
        ("walle", "WALL·E"),
        ("oceans eleven", "Ocean's Eleven"),
        ("ocean's eleven", "Ocean's Eleven"),
        ("godfather part ii", "The Godfather: Part II"),
    ],
)
def test_search_when_a_title_is_typed_then_it_comes_first(get: Get, query: str, first: str) -> None:
    """Accents and case do not matter; the exact title wins, then a beginning, then words inside."""
    assert titles(get("/search/movie", query=query))[0] == first


def test_search_when_words_are_joined_or_cut_then_only_beginnings_match(get: Get) -> None:
    """`spiderman` finds the films called Spider-Man; `atman` is no beginning of a word."""
    found = titles(get("/search/movie", query="spiderman"))
    assert "Spider-Man" in found
    assert all(title.startswith("Spider-Man") for title in found)
    assert "The Batman" not in titles(get("/search/movie", query="atman"))


def test_search_when_year_is_given_then_only_that_year(get: Get) -> None:
    """`year` and `primary_release_year` filter; a year that is no number is ignored."""
    for name in ("year", "primary_release_year"):
        body = get("/search/movie", query="batman", **{name: 1989})
        assert titles(body) == ["Batman"]
    everything = get("/search/movie", query="batman")["total_results"]
    assert get("/search/movie", query="batman", year="soon")["total_results"] == everything
    assert get("/search/movie", query="batman", year="")["total_results"] == everything


def test_search_when_nothing_matches_then_is_empty_like_tmdb(
    get: Get, recorded: Callable[[str], Any]
) -> None:
    """No match is a page with zero results and zero pages."""
    name = "search-movie_query-zasdlkjfasdlkjf__mikevallano-tmdb-moviequeue"
    assert get("/search/movie", query="zasdlkjfasdlkjf") == recorded(name)


@pytest.mark.parametrize("query", ["😀", "\x00", "%", "'; --", "\U0001d538" * 3000, "(", "\\"])
def test_search_when_query_is_odd_then_answers(get: Get, query: str) -> None:
    """Any text is a query."""
    assert get("/search/multi", query=query)["page"] == 1


@pytest.mark.parametrize(
    "path", ["movie", "multi", "person", "tv", "collection", "keyword", "company"]
)
def test_search_when_query_is_missing_then_422_like_tmdb(
    get: Get, recorded: Callable[[str], Any], path: str
) -> None:
    """Every search asks for a query, in TMDB's words."""
    for asked in ({}, {"query": ""}, {"query": "   "}):
        body = get(f"/search/{path}", 422, **asked)
        assert body == recorded("search-movie_422__jdrouet-tmdb-api")


def test_search_when_multi_then_mixes_films_and_people_by_rank(get: Get) -> None:
    """A person and a film of the same name say what they are; a person comes with films."""
    person = get("/search/person", query="tom hanks")["results"][0]
    assert (person["name"], len(person["known_for"])) == ("Tom Hanks", 3)
    results = get("/search/multi", query="quentin tarantino")["results"]
    assert (results[0]["media_type"], results[0]["name"]) == ("person", "Quentin Tarantino")
    assert {entry["media_type"] for entry in results} == {"person", "movie"}


def test_search_when_collection_keyword_or_company_then_finds_by_name(get: Get) -> None:
    """Series, keywords and companies are found and lead to their pages."""
    series = get("/search/collection", query="dark knight")["results"][0]
    assert get(f"/collection/{series['id']}")["name"] == series["name"]
    keyword = get("/search/keyword", query="time travel")["results"][0]
    assert get(f"/keyword/{keyword['id']}/movies")["total_results"] > 0
    company = get("/search/company", query="pixar")["results"][0]
    assert get(f"/company/{company['id']}")["name"] == company["name"]


def test_index_when_names_tie_then_keeps_the_given_order() -> None:
    """Equally good matches stay in the order of the entries."""
    index = SearchIndex(["Rain Man", "Rain", "The Rain", "Rainy Day"], lambda name: (name,))
    assert index.find("rain") == ["Rain", "Rain Man", "Rainy Day", "The Rain"]
