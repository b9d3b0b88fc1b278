"""bff/schemas/queries.py: which parameters are accepted, and in which spelling they reach TMDB."""

from __future__ import annotations

import pytest
from marshmallow import Schema, ValidationError

from bff.schemas.queries import (
    DiscoverQuerySchema,
    FilmQuerySchema,
    MovieSearchQuerySchema,
    MultiSearchQuerySchema,
    NoQuerySchema,
    PageQuerySchema,
)


@pytest.mark.parametrize(
    ("schema", "name", "given", "sent"),
    [
        (FilmQuerySchema, "language", "de", "de"),
        (FilmQuerySchema, "language", "pt-br", "pt-BR"),
        (FilmQuerySchema, "language", "zh-hans-cn", "zh-Hans-CN"),
        (FilmQuerySchema, "language", "es-419", "es-419"),
        (FilmQuerySchema, "region", "de", "DE"),
        (PageQuerySchema, "page", "007", "7"),
        (PageQuerySchema, "page", "500", "500"),
        (MultiSearchQuerySchema, "query", " 東京 ", "東京"),
        (MultiSearchQuerySchema, "include_adult", "True", "true"),
        (MovieSearchQuerySchema, "year", "1999", "1999"),
        (DiscoverQuerySchema, "vote_average.gte", "7.50", "7.5"),
        (DiscoverQuerySchema, "release_date.lte", "1999-10-15", "1999-10-15"),
        (DiscoverQuerySchema, "with_genres", "18|35,80", "18|35,80"),
    ],
)
def test_parameter_when_it_is_valid_then_it_has_one_spelling(
    schema: type[Schema], name: str, given: str, sent: str
) -> None:
    """One question has one spelling, and so one place in the cache."""
    query = {"query": "x"} if "query" in schema().fields else {}

    assert schema().load({**query, name: given})[name] == sent


BAD: list[tuple[type[Schema], str, tuple[str, ...]]] = [
    (FilmQuerySchema, "language", ("english", "d", "de_DE", "de-DE-x", "", "1")),
    (FilmQuerySchema, "region", ("DEU", "1", "", "D\u00c9", "DE ")),
    (
        PageQuerySchema,
        "page",
        ("0", "501", "-1", "1.5", "", "9" * 30, "1_0", "+1", "\uff11"),
    ),
    (MultiSearchQuerySchema, "query", ("", "  ", "x" * 201, "a\x00b", "a\r\nb")),
    (DiscoverQuerySchema, "sort_by", ("popularity",)),
    (DiscoverQuerySchema, "with_genres", ("drama", "18;35", "18,", ",".join(["18"] * 51))),
    (DiscoverQuerySchema, "year", ("1799", "nineteen")),
    (DiscoverQuerySchema, "vote_average.gte", ("11", "nan", "inf")),
    (DiscoverQuerySchema, "vote_count.gte", ("-1",)),
    (DiscoverQuerySchema, "primary_release_date.gte", ("1999-13-01", "1999-02-30")),
    (DiscoverQuerySchema, "release_date.lte", ("yesterday",)),
    (DiscoverQuerySchema, "watch_region", ("DEU",)),
    (DiscoverQuerySchema, "include_adult", ("maybe",)),
    (DiscoverQuerySchema, "with_original_language", ("e/../n",)),
    (NoQuerySchema, "planted", ("1",)),
]


@pytest.mark.parametrize(("schema", "name", "values"), BAD)
def test_parameter_when_it_is_invalid_then_it_is_refused_and_named(
    schema: type[Schema], name: str, values: tuple[str, ...]
) -> None:
    """Whatever TMDB would ignore without a word, or could misread, never reaches it."""
    for value in values:
        with pytest.raises(ValidationError) as caught:
            schema().load({**({"query": "x"} if "query" in schema().fields else {}), name: value})
        assert list(caught.value.messages_dict) == [name], value


def test_search_when_it_has_no_words_then_it_is_refused() -> None:
    """There is nothing to search for."""
    with pytest.raises(ValidationError):
        MultiSearchQuerySchema().load({})
