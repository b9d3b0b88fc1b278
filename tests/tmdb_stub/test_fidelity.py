"""The stub's answers against TMDB's own: its OpenAPI document, and recorded answers.

TMDB's schemas are made from one example answer each. Taken at their word they would demand too
little (no key is required) and too much (what the example had is never null). So here every key
of a schema is required and every type holds, with the exceptions written down below. Recorded
answers are compared by the paths of their keys (`results[].title`).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from typing import Any

import jsonschema
import pytest

from tests.tmdb_stub.conftest import OPENAPI, Get

Recorded = Callable[[str], Any]

# -- TMDB's document ---------------------------------------------------------------------------

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
# What is asked for each parameter of a path.
PARAMETERS: dict[str, tuple[object, ...]] = {
    "movie_id": (155, 550, 13, 129, 680, 27205, 585083),
    "person_id": (819, 64),
    "time_window": ("day", "week"),
    "collection_id": (263,),
    "company_id": (4,),
    "external_id": ("tt1375666",),
    "keyword_id": ("KEYWORD",),
    "review_id": ("REVIEW",),
}
QUERIES = {"collection": "star", "company": "pictures", "keyword": "love", "movie": "the"}


def paths() -> Iterator[tuple[str, str]]:
    """Yield each template of the document with a path that fits it."""
    for template in OPENAPI["paths"]:
        names = re.findall(r"\{(\w+)\}", template)
        for values in itertools.product(*(PARAMETERS[name] for name in names)):
            filled = dict(zip(names, values, strict=True))
            yield template, template.removeprefix("/3").format(**filled)


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


def validator(template: str) -> jsonschema.Draft202012Validator:
    """Return what holds an answer against TMDB's document."""
    content = OPENAPI["paths"][template]["get"]["responses"]["200"]["content"]
    schema = content["application/json"]["schema"]
    return jsonschema.Draft202012Validator(strict(schema, OPTIONAL.get(template, set())))


@pytest.mark.parametrize(("template", "path"), list(paths()))
def test_answer_when_held_against_tmdbs_document_then_every_key_has_its_type(
    get: Get, template: str, path: str
) -> None:
    """Every key that TMDB's document names is there, with its type."""
    if "KEYWORD" in path:
        keyword = get("/movie/155/keywords")["keywords"][0]["id"]
        path = path.replace("KEYWORD", str(keyword))
    if "REVIEW" in path:
        reviews = itertools.chain.from_iterable(
            get(f"/movie/{film}/reviews")["results"] for film in (550, 13, 27205, 120)
        )
        path = path.replace("REVIEW", next(reviews)["id"])
    query = {}
    if template.startswith("/3/search"):
        query["query"] = QUERIES.get(template.rsplit("/", 1)[1], "tom")
    if template.startswith("/3/find"):
        query["external_source"] = "imdb_id"

    faults = [
        f"{error.json_path}: {error.message[:200]}"
        for error in validator(template).iter_errors(get(path, **query))
    ]
    assert not faults


def test_document_when_an_answer_is_wrong_then_it_is_noticed(get: Get) -> None:
    """The check sees a missing key and a wrong type."""
    judge = validator("/3/movie/popular")
    for change in ({"title": None}, {"vote_count": "1"}, {"genre_ids": ["18"]}):
        body = get("/movie/popular")
        body["results"][3] |= change
        assert not judge.is_valid(body)
    body = get("/movie/popular")
    del body["results"][3]["release_date"]
    assert not judge.is_valid(body)


# -- Recorded answers --------------------------------------------------------------------------

# Only the stub: `softcore` came to TMDB in 2026, `origin_country` and `original_name` in 2024, and
# some recordings are older.
NEWER = {"softcore", "origin_country", "original_language", "original_name"}
# A path of the stub, and the recorded answer of the same endpoint.
RECORDED = """
/movie/popular                 movie-popular__jdrouet-tmdb-api
/movie/top_rated               movie-top-rated__jdrouet-tmdb-api
/movie/now_playing             movie-now-playing__jdrouet-tmdb-api
/movie/upcoming                movie-upcoming__jdrouet-tmdb-api
/trending/movie/week           trending-movie-week__jellyfin-tmdblib
/trending/movie/day            trending-movie-day__kiwilan-php-tmdb
/trending/all/week             trending-all-week__jellyfin-tmdblib
/trending/person/week          trending-person-week__jellyfin-tmdblib
/search/movie?query=inception  search-movie_query-inception__krelinga-go-tmdb
/search/multi?query=tom        search-multi_include-adult-false-page-2-query-arrow__jellyfin-tmdblib
/search/person?query=buscemi   search-person_query-steve-buscemi__mikevallano-tmdb-moviequeue
/movie/155                     movie-id-348__krelinga-go-tmdb
/movie/550                     movie-id-550__jdrouet-tmdb-api
/movie/550/credits             movie-id-credits-550__jdrouet-tmdb-api
/movie/550/reviews             movie-id-reviews-550__jdrouet-tmdb-api
/movie/550/images              movie-id-images-550__jdrouet-tmdb-api
/movie/550/keywords            movie-id-keywords-550__jdrouet-tmdb-api
/movie/550/external_ids        movie-id-external-ids-550__jdrouet-tmdb-api
/movie/550/release_dates       movie-id-release-dates-550__jdrouet-tmdb-api
/movie/550/translations        movie-id-translations-550__jdrouet-tmdb-api
/movie/129/alternative_titles  movie-id-alternative-titles-550__jdrouet-tmdb-api
/movie/550/similar             movie-id-similar-550__jdrouet-tmdb-api
/movie/550/similar             movie-id-similar-47964_language-de__jellyfin-tmdblib
/movie/550/recommendations     movie-id-recommendations-550__jdrouet-tmdb-api
/movie/550/recommendations     movie-id-recommendations-47964_language-de__jellyfin-tmdblib
/movie/WITH-VIDEO/videos       movie-id-videos-550__jdrouet-tmdb-api
/movie/550?append_to_response=BLOCKS movie-id-550_append-to-response-BLOCKS-keywor__krelinga-go-tmdb
/collection/263                collection-id-8091__krelinga-go-tmdb
/configuration                 configuration__krelinga-go-tmdb
/configuration/countries       configuration-countries__krelinga-go-tmdb
/configuration/languages       configuration-languages__krelinga-go-tmdb
/genre/movie/list              genre-movie-list__krelinga-go-tmdb
/person/819                    person-id-884__mikevallano-tmdb-moviequeue
/person/DIRECTOR/movie_credits person-id-movie-credits-884__mikevallano-tmdb-moviequeue
"""
BLOCKS = "credits,release_dates,external_ids"
PAIRS = [line.split() for line in RECORDED.strip().splitlines()]
# What differs for another reason than age.
KNOWN = {
    # The recorded list mixes in series; the catalogue has none.
    "/trending/all/week": ("results[].name", "results[].first_air_date"),
    # The stub adds what people are known for, as TMDB's own document says.
    "/trending/person/week": ("results[].known_for",),
    "/search/person": ("results[].known_for[].popularity",),  # of 2021
    "/person/819": ("also_known_as[]",),
}


def key_paths(body: Any, prefix: str = "") -> Iterator[str]:
    """Yield the path of every key; the entries of a list are taken together."""
    if isinstance(body, dict):
        for key, value in body.items():
            path = f"{prefix}.{key}" if prefix else key
            yield path
            yield from key_paths(value, path)
    elif isinstance(body, list):
        for value in body:
            yield from key_paths(value, f"{prefix}[]")


@pytest.mark.parametrize(("path", "name"), PAIRS)
def test_keys_when_compared_then_they_equal_the_recorded_ones(
    get: Get, recorded: Recorded, path: str, name: str
) -> None:
    """The stub's answer has the keys of TMDB's, no more and no fewer, but for known reasons."""
    path, _, query = path.replace("BLOCKS", f"{BLOCKS},keywords,images").partition("?")
    name = name.replace("BLOCKS", BLOCKS.replace(",", "-").replace("_", "-"))
    options = dict([query.split("=", 1)]) if query else {}
    known = KNOWN.get(path, ())
    if "WITH-VIDEO" in path:
        ids = [film["id"] for film in get("/movie/top_rated")["results"]]
        film = next(n for n in ids if get(f"/movie/{n}/videos")["results"])
        path = path.replace("WITH-VIDEO", str(film))
    if "DIRECTOR" in path:  # an actor who also directs, so that both lists are filled
        person = get("/search/person", query="clint eastwood")["results"][0]
        path = path.replace("DIRECTOR", str(person["id"]))

    ours, theirs = set(key_paths(get(path, **options))), set(key_paths(recorded(name)))
    different = {
        key
        for key in ours ^ theirs
        if key.rsplit(".", 1)[-1].removesuffix("[]") not in NEWER
        and "logos[]" not in key  # the facts have no logos of films
        and not key.startswith(known)
    }
    assert not different


def test_watch_providers_when_compared_then_offers_have_the_recorded_keys(
    get: Get, recorded: Recorded
) -> None:
    """Countries and kinds of offer differ from film to film, but not what stands in them."""

    def inner(body: Any) -> set[str]:
        found = set()
        for country in body["results"].values():
            assert country["link"].startswith("https://www.themoviedb.org/movie/")
            kinds = {kind: value for kind, value in country.items() if kind != "link"}
            assert kinds.keys() <= OFFERS
            found |= {key for value in kinds.values() for key in key_paths(value)}
        return found

    ours = inner(get("/movie/550/watch/providers"))
    assert ours == inner(recorded("movie-id-watch-providers-550__jdrouet-tmdb-api"))


def test_reference_data_when_compared_then_only_the_address_differs(
    get: Get, recorded: Recorded
) -> None:
    """Genres, their order, sizes of pictures and change keys are TMDB's."""
    assert get("/genre/movie/list") == recorded("genre-movie-list__krelinga-go-tmdb")
    ours, theirs = get("/configuration"), recorded("configuration__krelinga-go-tmdb")
    assert ours["images"].pop("base_url") == "http://localhost/t/p/"
    assert ours["images"].pop("secure_base_url") == "http://localhost/t/p/"
    for name in ("base_url", "secure_base_url"):
        del theirs["images"][name]
    assert ours == theirs
