"""bff/api/movies.py: what each read asks TMDB, and what comes back."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from bff.reads import READS, Read
from tests.bff.fake_upstreams import Upstream, films
from tests.contract.client import ContractClient

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures" / "tmdb"
PLACES = {"movie_id": "550", "person_id": "819", "window": "day"}
each_read = pytest.mark.parametrize("row", READS, ids=lambda row: row.name)


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


@each_read
def test_read_when_it_is_asked_then_tmdbs_answer_comes_in_its_shape(
    client: ContractClient, tmdb: Upstream, row: Read
) -> None:
    """One call of TMDB's path; the answer is not empty and as documented."""
    ours, theirs = ask(row)

    response = client.get(ours)

    assert [call.path for call in tmdb.calls] == [theirs]
    assert set(response.json) == set(row.schema().fields)
    if row.name != "videos":  # the stub has no video
        assert response.json.get("results", True)


@each_read
@pytest.mark.parametrize("status", [500, 404])
def test_read_when_tmdb_fails_then_it_is_no_empty_answer(
    client: ContractClient, tmdb: Upstream, row: Read, status: int
) -> None:
    """502 for a failure; 404 names what does not exist."""
    if status == 404 and "_id}" not in row.path:
        return
    tmdb.answers("*", status, {"status_code": 34})

    response = client.get(ask(row)[0])

    assert response.status_code == (404 if status == 404 else 502)
    if status == 404:
        assert re.search(r"there is no such (film 550|person 819)", response.json["detail"])


@each_read
def test_read_when_it_takes_parameters_then_each_reaches_tmdb(
    client: ContractClient, tmdb: Upstream, row: Read
) -> None:
    """The documented example of every parameter is accepted and passed on."""
    tmdb.answers("*", 400)  # only what is sent matters
    query = parameters(row)

    client.get(ask(row)[0].partition("?")[0], query_string=query)

    sent = dict(tmdb.calls[0].query)
    if row.name == "images":
        assert sent.pop("include_image_language") == "en,null"
    if not row.region:
        query.pop("region")
    assert sent == query


def test_trending_when_the_window_is_neither_day_nor_week_then_it_is_422(
    client: ContractClient, tmdb: Upstream
) -> None:
    """TMDB knows no other window."""
    response = client.get("/api/movies/trending/month")

    assert response.json["errors"] == {"window": ["Must be day or week."]}
    assert not tmdb.calls


def test_discover_when_tmdb_documents_a_filter_then_it_is_accepted() -> None:
    """The filters are TMDB's, all of them."""
    told = json.loads((FIXTURES / "openapi.json").read_bytes())
    documented = told["paths"]["/3/discover/movie"]["get"]["parameters"]
    (row,) = (row for row in READS if row.name == "discover")

    assert {parameter["name"] for parameter in documented} == set(parameters(row))


def test_discover_when_filters_are_given_then_the_films_fit(client: ContractClient) -> None:
    """Filters work from the request to the films."""
    query = "with_genres=18&vote_average.gte=8&primary_release_date.gte=1990-01-01"
    body = client.get(f"/api/movies/discover?{query}&sort_by=vote_average.desc").json

    assert body["results"]
    for movie in body["results"]:
        assert 18 in movie["genre_ids"]
        assert movie["vote_average"] >= 8
        assert movie["release_date"] >= "1990"


def test_page_when_it_is_500_then_tmdb_is_asked_and_totals_are_clamped(
    client: ContractClient, tmdb: Upstream
) -> None:
    """500 is the last page that may be asked for; the number of results is TMDB's."""
    tmdb.answers("*", json=films(1, page=500, total_pages=48_000, total_results=960_000))

    for path in ("movies/popular?", "dashboard/feed?", "dashboard/search/enriched?query=a&"):
        body = client.get(f"/api/{path}page=500").json
        assert tmdb.calls[-1].query["page"] == "500"
        assert (body["total_pages"], body["total_results"]) == (500, 960_000)


def test_multi_search_when_entries_differ_then_each_has_its_own_shape(
    client: ContractClient, tmdb: Upstream
) -> None:
    """Films, series and people; anything else is left out."""
    kinds = ("movie", "tv", "person", "collection", None)
    results = [{"id": 1, "media_type": kind, "title": "A", "name": "A"} for kind in kinds]
    tmdb.answers("/search/multi", json={**films(), "results": results})

    body = client.get("/api/search/multi?query=a").json

    assert [entry["media_type"] for entry in body["results"]] == ["movie", "tv", "person"]


def test_images_when_a_language_is_given_then_pictures_without_text_come_as_well(
    client: ContractClient, tmdb: Upstream
) -> None:
    """TMDB filters pictures by language; those without any are always wanted."""
    client.get("/api/movies/550/images?language=de-DE")

    assert tmdb.calls[0].query["include_image_language"] == "de,null"


def test_cache_when_requests_mean_the_same_then_tmdb_is_asked_once(
    fresh: ContractClient, tmdb: Upstream
) -> None:
    """Order, case and defaults make no difference; pages and reads share answers."""
    for path in (
        "movies/popular?language=de-de&region=us",
        "movies/popular?region=US&language=de-DE",
        "movies/popular?page=1&language=DE-DE&region=us",
        "dashboard/feed?language=de-DE&region=US",
    ):
        assert fresh.get(f"/api/{path}").status_code == 200

    assert len(tmdb.calls) == 1


def test_cache_when_tmdb_does_not_know_the_film_then_404_is_remembered(
    fresh: ContractClient, tmdb: Upstream
) -> None:
    """An unknown film is asked for once, up to the largest number there is."""
    for _ in range(3):
        response = fresh.get("/api/movies/2147483647")
        assert response.status_code == 404
        assert response.headers["Cache-Control"] == "no-store"

    assert len(tmdb.calls) == 1
