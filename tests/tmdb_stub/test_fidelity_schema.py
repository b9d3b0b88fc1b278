"""Every answer of the stub against the response schema in TMDB's own OpenAPI document.

TMDB's schemas are made from one example answer each. Taken at their word they would demand too
little (no key is required) and too much (what the example had is never null). So here every key
of a schema is required and every type holds, with the exceptions written down below.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jsonschema
import pytest

from tmdb_stub.catalogue import Catalogue

Get = Callable[..., Any]

# Keys that are null in real answers although the example has a value, or that TMDB's facts about
# people and companies have and the catalogue does not, where TMDB sends null for the unknown.
NULLABLE = {
    *("avatar_path", "backdrop_path", "logo_path", "poster_path", "profile_path"),
    *("belongs_to_collection", "birthday", "deathday", "homepage", "imdb_id", "iso_639_1"),
    *("parent_company", "place_of_birth", "rating", "runtime"),
    *("facebook_id", "freebase_id", "freebase_mid", "instagram_id", "tiktok_id", "tvrage_id"),
    *("twitter_id", "wikidata_id", "youtube_id"),
}
# Schemas whose keys are codes of countries: which ones an answer has depends on the film.
MAPS = {"certifications", "display_priorities"}
# Kinds of offer: a country has those that there are.
OFFERS = {"ads", "buy", "flatrate", "free", "rent"}
# Keys of the example that TMDB does not always send.
OPTIONAL: dict[str, set[str]] = {
    # Parts of a series are films: `title`, as the recorded answer has; the example says `name`.
    "/3/collection/{collection_id}": {"name", "original_name"},
    # One example for films and people together: each kind has its own keys.
    "/3/search/multi": {
        *("backdrop_path", "title", "original_language", "original_title", "overview"),
        *("poster_path", "genre_ids", "release_date", "video", "vote_average", "vote_count"),
        *("name", "original_name"),
    },
    "/3/trending/all/{time_window}": {"name", "original_name", "first_air_date", "origin_country"},
}

PATHS: list[tuple[str, str, dict[str, str]]] = [
    ("/3/authentication", "/authentication", {}),
    ("/3/certification/movie/list", "/certification/movie/list", {}),
    ("/3/collection/{collection_id}", "/collection/263", {}),
    ("/3/company/{company_id}", "/company/4", {}),
    ("/3/configuration", "/configuration", {}),
    ("/3/configuration/countries", "/configuration/countries", {}),
    ("/3/configuration/jobs", "/configuration/jobs", {}),
    ("/3/configuration/languages", "/configuration/languages", {}),
    ("/3/configuration/primary_translations", "/configuration/primary_translations", {}),
    ("/3/configuration/timezones", "/configuration/timezones", {}),
    ("/3/discover/movie", "/discover/movie", {}),
    ("/3/find/{external_id}", "/find/tt1375666", {"external_source": "imdb_id"}),
    ("/3/genre/movie/list", "/genre/movie/list", {}),
    ("/3/genre/tv/list", "/genre/tv/list", {}),
    ("/3/keyword/{keyword_id}", "/keyword/KEYWORD", {}),
    ("/3/keyword/{keyword_id}/movies", "/keyword/KEYWORD/movies", {}),
    ("/3/movie/latest", "/movie/latest", {}),
    *(
        (f"/3/movie/{name}", f"/movie/{name}", {})
        for name in ("now_playing", "popular", "top_rated", "upcoming")
    ),
    *(
        ("/3/movie/{movie_id}", f"/movie/{number}", {})
        for number in (155, 550, 13, 680, 27205, 585083, 1226863)
    ),
    *(
        (f"/3/movie/{{movie_id}}/{name}", f"/movie/{number}/{name}", {})
        for name in (
            *("alternative_titles", "credits", "external_ids", "images", "keywords"),
            *("recommendations", "release_dates", "reviews", "similar", "translations", "videos"),
            "watch/providers",
        )
        for number in (155, 13, 129, 585083)
    ),
    ("/3/person/popular", "/person/popular", {}),
    ("/3/person/{person_id}", "/person/819", {}),
    *(
        (f"/3/person/{{person_id}}/{name}", f"/person/{number}/{name}", {})
        for name in ("combined_credits", "external_ids", "images", "movie_credits", "tv_credits")
        for number in (819, 64)
    ),
    ("/3/review/{review_id}", "/review/REVIEW", {}),
    ("/3/search/collection", "/search/collection", {"query": "star"}),
    ("/3/search/company", "/search/company", {"query": "pictures"}),
    ("/3/search/keyword", "/search/keyword", {"query": "love"}),
    ("/3/search/movie", "/search/movie", {"query": "the"}),
    ("/3/search/multi", "/search/multi", {"query": "tom"}),
    ("/3/search/person", "/search/person", {"query": "tom"}),
    ("/3/search/tv", "/search/tv", {"query": "tom"}),
    *(
        (f"/3/trending/{kind}/{{time_window}}", f"/trending/{kind}/{window}", {})
        for kind in ("all", "movie", "person", "tv")
        for window in ("day", "week")
    ),
    ("/3/watch/providers/movie", "/watch/providers/movie", {}),
    ("/3/watch/providers/regions", "/watch/providers/regions", {}),
]


def strict(schema: dict[str, Any], optional: set[str], name: str = "") -> dict[str, Any]:
    """Return the schema with every key required and nulls where TMDB sends them."""
    schema = dict(schema)
    kind = schema.get("type")
    if kind is None:
        # TMDB's example had null or an empty list here, which says nothing about the type.
        return {}
    if kind == "array":
        schema["items"] = strict(schema.get("items", {}), optional, name)
    if kind == "object":
        keys = schema.get("properties", {})
        schema["properties"] = {key: strict(value, optional, key) for key, value in keys.items()}
        codes = keys and all(len(key.replace("-", "")) <= 4 and key.isupper() for key in keys)
        if name not in MAPS and not codes:
            schema["required"] = sorted(keys.keys() - optional - OFFERS)
    if name in NULLABLE:
        schema["type"] = [kind, "null"]
    return schema


@pytest.mark.parametrize(("template", "path", "query"), PATHS, ids=[p for _, p, _ in PATHS])
def test_answer_when_asked_then_validates_against_tmdbs_schema(
    get: Get,
    openapi: dict[str, Any],
    catalogue: Catalogue,
    template: str,
    path: str,
    query: dict[str, str],
) -> None:
    """Every key that TMDB's document names is there, with its type."""
    keyword = catalogue.by_id[155].keyword_ids[0]
    path = path.replace("KEYWORD", str(keyword)).replace("REVIEW", _a_review(get))
    content = openapi["paths"][template]["get"]["responses"]["200"]["content"]
    schema = strict(content["application/json"]["schema"], OPTIONAL.get(template, set()))
    validator = jsonschema.Draft202012Validator(schema)
    faults = [
        f"{error.json_path}: {error.message[:200]}"
        for error in validator.iter_errors(get(path, **query))
    ]
    assert not faults


def test_paths_when_compared_then_every_kept_schema_is_used(openapi: dict[str, Any]) -> None:
    """The kept part of TMDB's document and the paths checked here are the same."""
    assert {template for template, _, _ in PATHS} == openapi["paths"].keys()


def test_schema_when_a_key_is_missing_or_of_another_type_then_is_a_fault(
    get: Get, openapi: dict[str, Any]
) -> None:
    """The check would notice a missing key and a wrong type."""
    content = openapi["paths"]["/3/movie/popular"]["get"]["responses"]["200"]["content"]
    schema = strict(content["application/json"]["schema"], set())
    validator = jsonschema.Draft202012Validator(schema)
    for change in ({"title": None}, {"vote_count": "1"}, {"genre_ids": ["18"]}):
        body = get("/movie/popular")
        body["results"][3] |= change
        assert not validator.is_valid(body)
    body = get("/movie/popular")
    del body["results"][3]["release_date"]
    assert not validator.is_valid(body)


def _a_review(get: Get) -> str:
    for number in (550, 13, 27205, 120):
        results = get(f"/movie/{number}/reviews")["results"]
        if results:
            return str(results[0]["id"])
    raise AssertionError("no film of these has a review")
