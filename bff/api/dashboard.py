"""The dashboard: one call for each screen."""

from __future__ import annotations

from flask import Response

from bff.api import identity
from bff.api.blueprint import Blueprint, Query
from bff.api.services import services
from bff.pages import complete, feed, movie, search
from bff.schemas import pages
from bff.schemas.queries import FilmQuerySchema, PageQuerySchema, SearchQuerySchema

blp = Blueprint("Dashboard", __name__, url_prefix="/api/dashboard")
identity.guard(blp)


@blp.route("/feed")
@blp.doc(operationId="getFeed")
@blp.arguments(PageQuerySchema, location="query")
@blp.response(200, pages.FeedSchema)
def feed_page(query: Query) -> Response:
    """Get the feed: popular films with the user's marks

    Required: `movies`. Where the user service does not answer, the marks are null.
    """
    parts = services()
    outcomes = parts.fan_out.run(feed.plan(parts.tmdb, parts.users, parts.user(), query))
    return parts.encoder.page("feed", outcomes, lambda: feed.assemble(outcomes))


@blp.route("/movie/<tmdb_id:movie_id>/enriched")
@blp.doc(operationId="getEnrichedMovie")
@blp.arguments(FilmQuerySchema, location="query")
@blp.response(200, pages.EnrichedMovieSchema)
def movie_page(query: Query, movie_id: int) -> Response:
    """Get a film with people, related films and the user's data

    Required: `movie`. It takes one call of TMDB.
    """
    parts = services()
    outcomes = parts.fan_out.run(movie.plan(parts.tmdb, parts.users, parts.user(), movie_id, query))
    return parts.encoder.page("movie", outcomes, lambda: movie.assemble(outcomes))


@blp.route("/complete")
@blp.doc(operationId="getCompleteDashboard")
@blp.arguments(PageQuerySchema, location="query")
@blp.response(200, pages.CompleteDashboardSchema)
def complete_page(query: Query) -> Response:
    """Get everything that the first screen shows

    No part is required: it fails only where every part is unavailable. `page` turns the pages of
    the popular films; the rest stays as it is.
    """
    parts = services()
    outcomes = parts.fan_out.run(complete.plan(parts.tmdb, parts.users, parts.user(), query))
    more = parts.fan_out.run(complete.plan_recommended(parts.tmdb, outcomes, query))
    return parts.encoder.page(
        "complete", {**outcomes, **more}, lambda: complete.assemble(outcomes, more)
    )


@blp.route("/search/enriched")
@blp.doc(operationId="searchEnriched")
@blp.arguments(SearchQuerySchema, location="query")
@blp.response(200, pages.EnrichedSearchSchema)
def search_page(query: Query) -> Response:
    """Search films by title, with the user's marks

    Required: `results`. A search that failed is an error, never an empty list.
    """
    parts, words = services(), query["query"]
    outcomes = parts.fan_out.run(search.plan(parts.tmdb, parts.users, parts.user(), query))
    return parts.encoder.page(f"search {words}", outcomes, lambda: search.assemble(outcomes, words))
