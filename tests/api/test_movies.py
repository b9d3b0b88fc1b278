"""TMDB's reads through the BFF: the question that goes out, and the answer that comes back."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from bff.reads import READS, Read
from tests.api.conftest import MakeClient
from tests.api.openapi import ContractClient
from tests.api.upstreams import Upstream, films

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures" / "tmdb"
PLACES = {"movie_id": "550", "person_id": "819", "window": "day"}


def parameters(row: Read) -> dict[str, str]:
    """Return the query parameters of a row, each with an example."""
    fields = row.query().fields.items()
    return {
        field.data_key or name: str(field.metadata.get("examples", ["true"])[0])
        for name, field in fields
    }


def ask(row: Read) -> tuple[str, str]:
    """Return our path and TMDB's of a row."""
    query = "?query=fight" if "query" in parameters(row) else ""
    return str(row.route).format(**PLACES) + query, row.path.format(**PLACES)


def test_read_when_it_is_asked_then_tmdbs_answer_comes_in_its_shape(
    make_client: MakeClient, tmdb: Upstream, subtests: pytest.Subtests
) -> None:
    """One call of TMDB's path; the answer is not empty and as documented."""
    for row in READS:
        with subtests.test(row=row.name):
            client = make_client()
            tmdb.calls.clear()
            ours, theirs = ask(row)

            response = client.get(ours)

            assert response.status_code == 200
            assert [call.path for call in tmdb.calls] == [theirs]
            body = response.json
            assert set(body) == set(row.schema().fields)
            if "results" in body and row.name != "videos":  # the stub has no video
                assert body["results"]


def test_read_when_tmdb_fails_then_it_is_502(
    make_client: MakeClient, tmdb: Upstream, subtests: pytest.Subtests
) -> None:
    """No read answers with something empty in place of what it could not get."""
    tmdb.answers("*", 500)

    for row in READS:
        with subtests.test(row=row.name):
            assert make_client().get(ask(row)[0]).status_code == 502


def test_read_when_tmdb_knows_no_such_thing_then_it_is_404(
    make_client: MakeClient, tmdb: Upstream, subtests: pytest.Subtests
) -> None:
    """404 with words that name what there is not."""
    tmdb.answers("*", 404, {"status_code": 34})

    for row in READS:
        if "_id}" not in row.path:
            continue
        with subtests.test(row=row.name):
            response = make_client().get(ask(row)[0])

            assert response.status_code == 404
            assert re.search(r"there is no such (film 550|person 819)", response.json["detail"])


def test_read_when_it_takes_parameters_then_each_reaches_tmdb(
    make_client: MakeClient, tmdb: Upstream, subtests: pytest.Subtests
) -> None:
    """The documented example of every parameter is accepted and handed on."""
    tmdb.answers("*", 400)  # what is sent is looked at, not what comes

    for row in READS:
        with subtests.test(row=row.name):
            client = make_client()
            tmdb.calls.clear()
            query = parameters(row)

            client.get(ask(row)[0].partition("?")[0], query_string=query)

            sent = dict(tmdb.calls[0].query)
            if row.name == "images":
                assert sent.pop("include_image_language") == "en,null"
            if not row.region:
                query.pop("region")
            assert sent == query


def test_trending_when_the_window_is_another_then_it_is_422(
    client: ContractClient, tmdb: Upstream
) -> None:
    """There are a day and a week."""
    response = client.get("/api/movies/trending/month")

    assert response.json["errors"] == {"window": ["Must be day or week."]}
    assert not tmdb.calls


def test_discover_when_a_filter_is_wrong_then_it_is_422_and_named(
    client: ContractClient, tmdb: Upstream, subtests: pytest.Subtests
) -> None:
    """A filter that TMDB would ignore without a word is refused."""
    for name, value in (
        ("sort_by", "popularity"),
        ("with_genres", "drama"),
        ("with_genres", "18;35"),
        ("with_genres", "18,"),
        ("with_genres", ",".join(["18"] * 51)),
        ("year", "1799"),
        ("year", "nineteen"),
        ("vote_average.gte", "11"),
        ("vote_average.gte", "nan"),
        ("vote_average.gte", "inf"),
        ("vote_count.gte", "-1"),
        ("primary_release_date.gte", "1999-13-01"),
        ("primary_release_date.gte", "1999-02-30"),
        ("release_date.lte", "yesterday"),
        ("watch_region", "DEU"),
        ("include_adult", "maybe"),
        ("with_original_language", "e/../n"),
        ("certification", "PG%0A13"),
    ):
        with subtests.test(name=name, value=value):
            response = client.get(f"/api/movies/discover?{name}={value}")

            assert response.status_code == 422
            assert list(response.json["errors"]) == [name]
            assert not tmdb.calls


def test_discover_when_tmdb_documents_a_filter_then_it_is_taken() -> None:
    """The filters are TMDB's, all of them."""
    told = json.loads((FIXTURES / "openapi.json").read_bytes())
    documented = told["paths"]["/3/discover/movie"]["get"]["parameters"]
    (row,) = (row for row in READS if row.name == "discover")

    assert {parameter["name"] for parameter in documented} == set(parameters(row))


def test_discover_when_the_filters_are_given_then_the_films_fit(client: ContractClient) -> None:
    """Filters work from the question to the films."""
    query = "with_genres=18&vote_average.gte=8&primary_release_date.gte=1990-01-01"
    body = client.get(f"/api/movies/discover?{query}&sort_by=vote_average.desc").json

    assert body["results"]
    for movie in body["results"]:
        assert 18 in movie["genre_ids"]
        assert movie["vote_average"] >= 8
        assert movie["release_date"] >= "1990"


@pytest.mark.parametrize(("text", "page"), [("one", "1_0"), ("plus", "+1"), ("wide", "%EF%BC%91")])
def test_page_when_python_would_read_it_but_it_is_no_number_then_it_is_not_sent_as_it_is(
    client: ContractClient, tmdb: Upstream, text: str, page: str
) -> None:
    """Whatever is accepted reaches TMDB as plain digits."""
    tmdb.answers("*", json=films())
    client.get(f"/api/movies/popular?page={page}")

    assert all(call.query["page"].isascii() and call.query["page"].isdigit() for call in tmdb.calls)


def test_multi_search_when_entries_differ_then_each_has_its_own_shape(
    client: ContractClient, tmdb: Upstream
) -> None:
    """Films, series and people; what is none of them is left out."""
    results = [
        {"id": 1, "media_type": "movie", "title": "A film"},
        {"id": 2, "media_type": "tv", "name": "A series"},
        {"id": 3, "media_type": "person", "name": "A person"},
        {"id": 4, "media_type": "collection", "name": "A collection"},
        {"id": 5},
    ]
    tmdb.answers("/search/multi", json={**films(), "results": results})

    body = client.get("/api/search/multi?query=a").json

    assert [entry["media_type"] for entry in body["results"]] == ["movie", "tv", "person"]


def test_images_when_a_language_is_given_then_pictures_without_text_come_as_well(
    client: ContractClient, tmdb: Upstream
) -> None:
    """TMDB filters pictures by language: those without any are always wanted."""
    client.get("/api/movies/550/images?language=de-DE")

    assert tmdb.calls[0].query["include_image_language"] == "de,null"


def test_cache_when_two_spellings_ask_the_same_then_tmdb_is_asked_once(
    client: ContractClient, tmdb: Upstream
) -> None:
    """Order, case and defaults make no difference to the question."""
    for query in (
        "language=de-de&region=us",
        "region=US&language=de-DE",
        "page=1&language=DE-DE&region=us",
    ):
        assert client.get(f"/api/movies/popular?{query}").status_code == 200

    assert len(tmdb.calls) == 1


def test_cache_when_the_feed_has_the_films_then_the_read_needs_no_call(
    client: ContractClient, tmdb: Upstream
) -> None:
    """Pages and reads share the answers of TMDB."""
    client.get("/api/dashboard/feed")
    client.get("/api/movies/popular")

    assert len(tmdb.calls) == 1
