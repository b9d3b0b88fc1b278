"""The table of TMDB reads: one row makes the route, its documentation, cache and guard.

To hand on one more of TMDB's reads, add a row (and a shape, if it is a new one).
"""

from __future__ import annotations

from dataclasses import dataclass

from bff import tmdb_shapes as tmdb
from bff.shapes import Record

# How long an answer stays fresh, as a multiple of CACHE_TTL (300 s unless set). TMDB itself
# says about 600 s for search and discover and six to eight hours for details.
LISTS, SEARCHES, DETAILS, REFERENCE = 1, 1, 12, 288

PAGE = ("page",)
SEARCH = ("query", "page", "include_adult")
DISCOVER = (
    "page",
    "sort_by",
    "include_adult",
    "include_video",
    "with_genres",
    "without_genres",
    "with_keywords",
    "without_keywords",
    "with_people",
    "with_cast",
    "with_crew",
    "with_companies",
    "without_companies",
    "with_original_language",
    "with_origin_country",
    "year",
    "primary_release_year",
    "primary_release_date.gte",
    "primary_release_date.lte",
    "release_date.gte",
    "release_date.lte",
    "vote_average.gte",
    "vote_average.lte",
    "vote_count.gte",
    "vote_count.lte",
    "with_runtime.gte",
    "with_runtime.lte",
    "with_release_type",
    "with_watch_providers",
    "without_watch_providers",
    "with_watch_monetization_types",
    "watch_region",
    "certification",
    "certification.gte",
    "certification.lte",
    "certification_country",
)


@dataclass(frozen=True)
class Read:
    """One of TMDB's reads.

    `path`: TMDB's path, with its path parameters in braces. `operation`: the
    class of reads that share a circuit breaker. `ttl`: a multiple of CACHE_TTL.
    `params`: query parameters beside `language` and `region`. `region`: whether
    TMDB's answer depends on it. `route`: our path; None keeps the read inside.
    """

    name: str
    path: str
    shape: Record
    operation: str
    ttl: int
    summary: str = ""
    route: str | None = None
    params: tuple[str, ...] = ()
    region: bool = False
    append: tuple[str, ...] = ()


POPULAR = Read(
    "popular",
    "/movie/popular",
    tmdb.FILMS,
    "lists",
    LISTS,
    "List popular films",
    "/api/movies/popular",
    PAGE,
    region=True,
)
TRENDING = Read(
    "trending",
    "/trending/movie/{window}",
    tmdb.FILMS,
    "lists",
    LISTS,
    "List the films that trend",
    "/api/movies/trending/{window}",
    PAGE,
)
SEARCH_MOVIES = Read(
    "search",
    "/search/movie",
    tmdb.FILMS,
    "search",
    SEARCHES,
    "Search films by title",
    "/api/movies/search",
    (*SEARCH, "year", "primary_release_year"),
    region=True,
)
MOVIE = Read(
    "movie",
    "/movie/{movie_id}",
    tmdb.MOVIE,
    "details",
    DETAILS,
    "Get a film",
    "/api/movies/{movie_id}",
)
RECOMMENDATIONS = Read(
    "recommendations",
    "/movie/{movie_id}/recommendations",
    tmdb.FILMS,
    "details",
    DETAILS,
    "List films that TMDB recommends to those who liked this one",
    "/api/movies/{movie_id}/recommendations",
    PAGE,
)
ENRICHED = Read(
    "enriched",
    "/movie/{movie_id}",
    tmdb.ENRICHED,
    "details",
    DETAILS,
    append=("credits", "reviews", "similar", "recommendations"),
)
CONFIGURATION = Read("configuration", "/configuration", tmdb.CONFIGURATION, "reference", REFERENCE)

READS: tuple[Read, ...] = (
    POPULAR,
    TRENDING,
    Read(
        "now_playing",
        "/movie/now_playing",
        tmdb.DATED_FILMS,
        "lists",
        LISTS,
        "List the films that are in the cinemas",
        "/api/movies/now-playing",
        PAGE,
        region=True,
    ),
    Read(
        "upcoming",
        "/movie/upcoming",
        tmdb.DATED_FILMS,
        "lists",
        LISTS,
        "List the films that will come to the cinemas",
        "/api/movies/upcoming",
        PAGE,
        region=True,
    ),
    Read(
        "top_rated",
        "/movie/top_rated",
        tmdb.FILMS,
        "lists",
        LISTS,
        "List the films with the best votes",
        "/api/movies/top-rated",
        PAGE,
        region=True,
    ),
    SEARCH_MOVIES,
    Read(
        "discover",
        "/discover/movie",
        tmdb.FILMS,
        "discover",
        SEARCHES,
        "List films by filters",
        "/api/movies/discover",
        DISCOVER,
        region=True,
    ),
    Read(
        "genres",
        "/genre/movie/list",
        tmdb.GENRES,
        "reference",
        REFERENCE,
        "List the genres",
        "/api/movies/genres",
    ),
    MOVIE,
    Read(
        "credits",
        "/movie/{movie_id}/credits",
        tmdb.CREDITS,
        "details",
        DETAILS,
        "List who made a film",
        "/api/movies/{movie_id}/credits",
    ),
    Read(
        "reviews",
        "/movie/{movie_id}/reviews",
        tmdb.REVIEWS,
        "details",
        LISTS,
        "List a film's reviews",
        "/api/movies/{movie_id}/reviews",
        PAGE,
    ),
    RECOMMENDATIONS,
    Read(
        "similar",
        "/movie/{movie_id}/similar",
        tmdb.FILMS,
        "details",
        DETAILS,
        "List films of the same kind",
        "/api/movies/{movie_id}/similar",
        PAGE,
    ),
    Read(
        "videos",
        "/movie/{movie_id}/videos",
        tmdb.VIDEOS,
        "details",
        DETAILS,
        "List a film's trailers and clips",
        "/api/movies/{movie_id}/videos",
    ),
    Read(
        "images",
        "/movie/{movie_id}/images",
        tmdb.IMAGES,
        "details",
        DETAILS,
        "List a film's pictures",
        "/api/movies/{movie_id}/images",
    ),
    Read(
        "watch_providers",
        "/movie/{movie_id}/watch/providers",
        tmdb.WATCH_PROVIDERS,
        "details",
        DETAILS,
        "List where a film can be watched, by country",
        "/api/movies/{movie_id}/watch-providers",
    ),
    Read(
        "multi_search",
        "/search/multi",
        tmdb.MULTI,
        "search",
        SEARCHES,
        "Search films, series and people",
        "/api/search/multi",
        SEARCH,
    ),
    Read(
        "person",
        "/person/{person_id}",
        tmdb.PERSON,
        "people",
        DETAILS,
        "Get a person",
        "/api/people/{person_id}",
    ),
    Read(
        "person_credits",
        "/person/{person_id}/movie_credits",
        tmdb.PERSON_CREDITS,
        "people",
        DETAILS,
        "List the films of a person",
        "/api/people/{person_id}/credits",
    ),
)
BY_NAME: dict[str, Read] = {row.name: row for row in (*READS, ENRICHED, CONFIGURATION)}
