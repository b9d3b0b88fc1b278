"""The keys of the stub's answers against the keys of recorded answers of the same endpoint.

Two answers are compared by the paths of their keys (`results[].title`). What only one of them has
must be written down here, with its reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

Get = Callable[..., Any]
Recorded = Callable[[str], Any]

# Only the stub: `softcore` came to TMDB in 2026, `origin_country` and `original_name` in 2024, and
# some recordings are older. `id` stands in a block's own answer, not in an older fixture of it.
NEWER = {"softcore", "origin_country", "original_language", "original_name"}
# Only TMDB: the stub's lists behind these keys are always empty, so that nothing is below them.
#  - logos: the facts have no logos of films.
#  - production_companies of a film may be unknown.
EMPTY = {"logos[]"}

PAIRS: list[tuple[str, str, set[str]]] = [
    ("/movie/popular", "movie-popular__jdrouet-tmdb-api", set()),
    ("/movie/top_rated", "movie-top-rated__jdrouet-tmdb-api", set()),
    ("/movie/now_playing", "movie-now-playing__jdrouet-tmdb-api", set()),
    ("/movie/upcoming", "movie-upcoming__jdrouet-tmdb-api", set()),
    ("/trending/movie/week", "trending-movie-week__jellyfin-tmdblib", set()),
    ("/trending/movie/day", "trending-movie-day__kiwilan-php-tmdb", set()),
    # The recorded list mixes in series; the catalogue has none.
    (
        "/trending/all/week",
        "trending-all-week__jellyfin-tmdblib",
        {"results[].name", "results[].first_air_date", "results[].origin_country[]"},
    ),
    # The stub adds what people are known for, as TMDB's own document says; this recording has none.
    ("/trending/person/week", "trending-person-week__jellyfin-tmdblib", {"results[].known_for"}),
    ("/search/movie?query=inception", "search-movie_query-inception__krelinga-go-tmdb", set()),
    (
        "/search/multi?query=tom",
        "search-multi_include-adult-false-page-2-query-arrow__jellyfin-tmdblib",
        set(),
    ),
    # The person recording is of 2021.
    (
        "/search/person?query=steve buscemi",
        "search-person_query-steve-buscemi__mikevallano-tmdb-moviequeue",
        {"results[].known_for[].popularity"},
    ),
    ("/movie/155", "movie-id-348__krelinga-go-tmdb", set()),
    ("/movie/550", "movie-id-550__jdrouet-tmdb-api", set()),
    ("/movie/550/credits", "movie-id-credits-550__jdrouet-tmdb-api", set()),
    ("/movie/550/reviews", "movie-id-reviews-550__jdrouet-tmdb-api", set()),
    ("/movie/550/images", "movie-id-images-550__jdrouet-tmdb-api", set()),
    ("/movie/550/keywords", "movie-id-keywords-550__jdrouet-tmdb-api", set()),
    ("/movie/550/external_ids", "movie-id-external-ids-550__jdrouet-tmdb-api", set()),
    ("/movie/550/release_dates", "movie-id-release-dates-550__jdrouet-tmdb-api", set()),
    ("/movie/550/translations", "movie-id-translations-550__jdrouet-tmdb-api", set()),
    ("/movie/129/alternative_titles", "movie-id-alternative-titles-550__jdrouet-tmdb-api", set()),
    ("/movie/550/similar", "movie-id-similar-550__jdrouet-tmdb-api", set()),
    ("/movie/550/similar", "movie-id-similar-47964_language-de__jellyfin-tmdblib", set()),
    ("/movie/550/recommendations", "movie-id-recommendations-550__jdrouet-tmdb-api", set()),
    (
        "/movie/550/recommendations",
        "movie-id-recommendations-47964_language-de__jellyfin-tmdblib",
        set(),
    ),
    ("/movie/VIDEO/videos", "movie-id-videos-550__jdrouet-tmdb-api", set()),
    (
        "/movie/550?append_to_response=credits,release_dates,external_ids,keywords,images",
        "movie-id-550_append-to-response-credits-release-dates-external-ids-keywor__krelinga-go-tmdb",
        set(),
    ),
    ("/collection/263", "collection-id-8091__krelinga-go-tmdb", set()),
    ("/configuration", "configuration__krelinga-go-tmdb", set()),
    ("/configuration/countries", "configuration-countries__krelinga-go-tmdb", set()),
    ("/configuration/languages", "configuration-languages__krelinga-go-tmdb", set()),
    ("/genre/movie/list", "genre-movie-list__krelinga-go-tmdb", set()),
    ("/person/819", "person-id-884__mikevallano-tmdb-moviequeue", {"also_known_as[]"}),
    # An actor who also directs, so that both lists are filled.
    (
        "/person/DIRECTOR/movie_credits",
        "person-id-movie-credits-884__mikevallano-tmdb-moviequeue",
        set(),
    ),
]


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


@pytest.mark.parametrize(("path", "name", "allowed"), PAIRS, ids=[path for path, _, _ in PAIRS])
def test_keys_when_compared_then_equal_the_recorded_ones(
    get: Get, recorded: Recorded, path: str, name: str, allowed: set[str]
) -> None:
    """The stub's answer has the keys of TMDB's, no more and no fewer, but for known reasons."""
    path, _, query = _filled_in(get, path).partition("?")
    options = dict(part.split("=", 1) for part in query.split("&") if part)
    ours, theirs = set(key_paths(get(path, **options))), set(key_paths(recorded(name)))
    different = {
        key
        for key in ours ^ theirs
        if key.rsplit(".", 1)[-1] not in NEWER
        and not any(part in key for part in EMPTY)
        and not any(key.startswith(part) for part in allowed)
    }
    assert not different


def test_watch_providers_when_compared_then_countries_and_offers_have_the_recorded_keys(
    get: Get, recorded: Recorded
) -> None:
    """Countries and kinds of offer differ from film to film, but not what stands in them."""

    def inner(body: Any) -> set[str]:
        paths = set()
        for country in body["results"].values():
            assert country["link"].startswith("https://www.themoviedb.org/movie/")
            kinds = {kind: value for kind, value in country.items() if kind != "link"}
            assert kinds.keys() <= {"ads", "buy", "flatrate", "free", "rent"}
            paths |= {key for value in kinds.values() for key in key_paths(value)}
        return paths

    ours = inner(get("/movie/550/watch/providers"))
    assert ours == inner(recorded("movie-id-watch-providers-550__jdrouet-tmdb-api"))


def test_genres_when_compared_then_equal_tmdbs(get: Get, recorded: Recorded) -> None:
    """The genres are TMDB's, in its order."""
    assert get("/genre/movie/list") == recorded("genre-movie-list__krelinga-go-tmdb")


def test_configuration_when_compared_then_differs_in_the_address_only(
    get: Get, recorded: Recorded
) -> None:
    """Sizes and change keys are TMDB's."""
    ours, theirs = get("/configuration"), recorded("configuration__krelinga-go-tmdb")
    for body in (ours, theirs):
        del body["images"]["base_url"], body["images"]["secure_base_url"]
    assert ours == theirs


def _filled_in(get: Get, path: str) -> str:
    if "VIDEO" in path:
        ids = [film["id"] for film in get("/movie/top_rated")["results"]]
        number = next(n for n in ids if get(f"/movie/{n}/videos")["results"])
        return path.replace("VIDEO", str(number))
    if "DIRECTOR" in path:
        person = get("/search/person", query="clint eastwood")["results"][0]
        return path.replace("DIRECTOR", str(person["id"]))
    return path
