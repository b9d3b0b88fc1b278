"""The table of TMDB reads: one row makes the route, its documentation, its cache and its guard."""

from __future__ import annotations

from dataclasses import dataclass

from bff.schemas import tmdb
from bff.schemas.base import AnswerSchema
from bff.schemas.queries import (
    DiscoverQuerySchema,
    FilmQuerySchema,
    MovieSearchQuerySchema,
    MultiSearchQuerySchema,
    PageQuerySchema,
)

# How long an answer stays fresh, as a multiple of CACHE_TTL (300 s unless set). TMDB itself
# says about 600 s for search and discover and six to eight hours for details.
LISTS, SEARCHES, DETAILS, REFERENCE = 1, 1, 12, 288


@dataclass(frozen=True)
class Read:
    """One of TMDB's reads.

    `path`: TMDB's path, with its parameters in braces. `schema`: its answer. `operation`: the
    class of reads that share a circuit breaker. `ttl`: a multiple of CACHE_TTL. `operation_id`,
    `summary`, `route`: of our own operation; without a route, the read stays inside.
    `query`: what the route takes. `region`: whether TMDB's answer depends on it. `append`:
    TMDB's `append_to_response`.
    """

    name: str
    path: str
    schema: type[AnswerSchema]
    operation: str
    ttl: int
    operation_id: str = ""
    summary: str = ""
    route: str = ""
    query: type[FilmQuerySchema] = FilmQuerySchema
    region: bool = False
    append: tuple[str, ...] = ()


# A table: a row is a read, whatever its length.
# fmt: off
READS = (
    Read("popular", "/movie/popular", tmdb.FilmPageSchema, "lists", LISTS,
         "listPopularMovies", "List popular films",
         "/api/movies/popular", PageQuerySchema, region=True),
    Read("trending", "/trending/movie/{window}", tmdb.FilmPageSchema, "lists", LISTS,
         "listTrendingMovies", "List the films that trend",
         "/api/movies/trending/{window}", PageQuerySchema),
    Read("now_playing", "/movie/now_playing", tmdb.DatedFilmPageSchema, "lists", LISTS,
         "listNowPlayingMovies", "List the films that are in the cinemas",
         "/api/movies/now-playing", PageQuerySchema, region=True),
    Read("upcoming", "/movie/upcoming", tmdb.DatedFilmPageSchema, "lists", LISTS,
         "listUpcomingMovies", "List the films that will come to the cinemas",
         "/api/movies/upcoming", PageQuerySchema, region=True),
    Read("top_rated", "/movie/top_rated", tmdb.FilmPageSchema, "lists", LISTS,
         "listTopRatedMovies", "List the films with the best votes",
         "/api/movies/top-rated", PageQuerySchema, region=True),
    Read("search", "/search/movie", tmdb.FilmSearchPageSchema, "search", SEARCHES,
         "searchMovies", "Search films by title",
         "/api/movies/search", MovieSearchQuerySchema, region=True),
    Read("discover", "/discover/movie", tmdb.FilmSearchPageSchema, "discover", SEARCHES,
         "discoverMovies", "List films by TMDB's filters, all of which must hold",
         "/api/movies/discover", DiscoverQuerySchema, region=True),
    Read("genres", "/genre/movie/list", tmdb.GenresSchema, "reference", REFERENCE,
         "listGenres", "List the genres", "/api/movies/genres"),
    Read("movie", "/movie/{movie_id}", tmdb.MovieDetailsSchema, "details", DETAILS,
         "getMovie", "Get a film", "/api/movies/{movie_id}"),
    Read("credits", "/movie/{movie_id}/credits", tmdb.CreditsSchema, "details", DETAILS,
         "getMovieCredits", "List the cast and crew of a film",
         "/api/movies/{movie_id}/credits"),
    Read("reviews", "/movie/{movie_id}/reviews", tmdb.ReviewPageSchema, "details", LISTS,
         "listMovieReviews", "List the reviews of a film",
         "/api/movies/{movie_id}/reviews", PageQuerySchema),
    Read("recommendations", "/movie/{movie_id}/recommendations", tmdb.FilmPageSchema,
         "details", DETAILS,
         "listRecommendedMovies", "List what TMDB recommends to those who like a film",
         "/api/movies/{movie_id}/recommendations", PageQuerySchema),
    Read("similar", "/movie/{movie_id}/similar", tmdb.FilmPageSchema, "details", DETAILS,
         "listSimilarMovies", "List films of the same kind",
         "/api/movies/{movie_id}/similar", PageQuerySchema),
    Read("videos", "/movie/{movie_id}/videos", tmdb.VideosSchema, "details", DETAILS,
         "listMovieVideos", "List the trailers and clips of a film",
         "/api/movies/{movie_id}/videos"),
    Read("images", "/movie/{movie_id}/images", tmdb.ImagesSchema, "details", DETAILS,
         "listMovieImages", "List the pictures of a film", "/api/movies/{movie_id}/images"),
    Read("watch_providers", "/movie/{movie_id}/watch/providers", tmdb.WatchProvidersSchema,
         "details", DETAILS,
         "listWatchProviders", "List where a film can be watched, by country",
         "/api/movies/{movie_id}/watch-providers"),
    Read("multi_search", "/search/multi", tmdb.MultiPageSchema, "search", SEARCHES,
         "searchMulti", "Search films, series and people",
         "/api/search/multi", MultiSearchQuerySchema),
    Read("person", "/person/{person_id}", tmdb.PersonSchema, "people", DETAILS,
         "getPerson", "Get a person", "/api/people/{person_id}"),
    Read("person_credits", "/person/{person_id}/movie_credits", tmdb.PersonCreditsSchema,
         "people", DETAILS,
         "getPersonCredits", "List the films of a person", "/api/people/{person_id}/credits"),
)
# What pages are made of, and no route.
ENRICHED = Read("enriched", "/movie/{movie_id}", tmdb.FilmWithBlocksSchema, "details", DETAILS,
                append=("credits", "reviews", "similar", "recommendations"))
CONFIGURATION = Read("configuration", "/configuration", tmdb.TmdbConfigurationSchema,
                     "reference", REFERENCE)
# fmt: on
BY_NAME = {row.name: row for row in (*READS, ENRICHED, CONFIGURATION)}
POPULAR, TRENDING, SEARCH_MOVIES = BY_NAME["popular"], BY_NAME["trending"], BY_NAME["search"]
MOVIE, RECOMMENDATIONS = BY_NAME["movie"], BY_NAME["recommendations"]
