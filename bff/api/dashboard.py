"""The dashboard: one call for each screen."""

from __future__ import annotations

from flask import Response

from bff.api.blueprint import UPSTREAM, Blueprint
from bff.api.schemas import answers
from bff.api.schemas.documents import Components
from bff.api.schemas.headers import RevisionSchema
from bff.api.schemas.queries import FilmQuerySchema, PageQuerySchema, SearchQuerySchema
from bff.api.services import Services
from bff.pages import complete, feed, movie, search

Query = dict[str, str]
PERSONAL: tuple[dict[str, list[str]], ...] = ({"bearer": []}, {})


def blueprint(services: Services, components: Components) -> Blueprint:
    """Return the routes under `/api/dashboard`."""
    blp = Blueprint("Dashboard", __name__, url_prefix="/api/dashboard")
    services.identity.guard(blp)
    tmdb, users, run = services.tmdb, services.users, services.fan_out.run
    who, page = services.identity.user, services.encoder.page

    @blp.route("/feed")
    @blp.doc(security=PERSONAL)
    @blp.query(PageQuerySchema)
    @blp.header(RevisionSchema)
    @blp.response(200, components.ref(answers.FEED))
    @blp.fails("NOT_MODIFIED", "UNAUTHORIZED", *UPSTREAM)
    def feed_page(query: Query) -> Response:
        """Get the feed: popular films with the user's marks"""
        outcomes = run(feed.plan(tmdb, users, who(), query))
        return page("feed", outcomes, lambda: feed.assemble(outcomes))

    @blp.route("/movie/<tmdb_id:movie_id>/enriched")
    @blp.doc(security=PERSONAL)
    @blp.query(FilmQuerySchema)
    @blp.header(RevisionSchema)
    @blp.response(200, components.ref(answers.ENRICHED))
    @blp.fails("NOT_MODIFIED", "UNAUTHORIZED", "NOT_FOUND", *UPSTREAM)
    def movie_page(query: Query, movie_id: int) -> Response:
        """Get a film with people, related films and the user's data"""
        outcomes = run(movie.plan(tmdb, users, who(), movie_id, query))
        return page("movie", outcomes, lambda: movie.assemble(outcomes))

    @blp.route("/complete")
    @blp.doc(security=PERSONAL)
    @blp.query(PageQuerySchema)
    @blp.header(RevisionSchema)
    @blp.response(200, components.ref(answers.COMPLETE))
    @blp.fails("NOT_MODIFIED", "UNAUTHORIZED", *UPSTREAM)
    def complete_page(query: Query) -> Response:
        """Get everything that the first screen shows"""
        outcomes = run(complete.plan(tmdb, users, who(), query))
        recommendations = run(complete.plan_recommended(tmdb, outcomes, query))
        return page(
            "complete",
            {**outcomes, **recommendations},
            lambda: complete.assemble(outcomes, recommendations),
        )

    @blp.route("/search/enriched")
    @blp.doc(security=PERSONAL)
    @blp.query(SearchQuerySchema)
    @blp.header(RevisionSchema)
    @blp.response(200, components.ref(answers.SEARCH))
    @blp.fails("NOT_MODIFIED", "UNAUTHORIZED", *UPSTREAM)
    def search_page(query: Query) -> Response:
        """Search films by title, with the user's marks"""
        outcomes = run(search.plan(tmdb, users, who(), query))
        words = query["query"]
        return page(f"search {words}", outcomes, lambda: search.assemble(outcomes, words))

    return blp
