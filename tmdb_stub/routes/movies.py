"""Films: lists, trending, discover, details with appended blocks, and each block alone."""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, Response, request

from tmdb_stub.ask import Ask
from tmdb_stub.catalogue import Film
from tmdb_stub.discover import discover
from tmdb_stub.errors import TmdbError
from tmdb_stub.replies import (
    DETAILS_AGE_S,
    LIST_AGE_S,
    SEARCH_AGE_S,
    ask,
    language,
    page_number,
    reply,
    whole_number,
)
from tmdb_stub.reviews import find_review
from tmdb_stub.stub import Stub

MAX_APPENDED = 20
_TOO_MANY_APPENDED = 27
_NOT_FOUND = 34
_PAGED_BLOCKS = ("recommendations", "reviews", "similar")


def blueprint(stub: Stub) -> Blueprint:
    """Return the routes over one stub."""
    routes = Blueprint("movies", __name__)
    _add_lists(routes, stub)
    _add_details(routes, stub)
    for name in stub.blocks.names:
        _add_block(routes, stub, name, name)
    # The older name, which TMDB still answers and tmdbsimple still asks for.
    _add_block(routes, stub, "similar_movies", "similar")

    @routes.get("/discover/movie")
    def discover_movie() -> Response:
        """Answer films that pass the filters of the query."""
        page = page_number()
        found = discover(stub.catalogue, request.args)
        return reply(stub.shapes.movies(found, page, language()), SEARCH_AGE_S)

    @routes.get("/review/<review_id>")
    def review(review_id: str) -> Response:
        """Answer one review with the film that it is about."""
        found = find_review(stub.catalogue, review_id, request.host_url.rstrip("/"))
        if found is None:
            raise TmdbError(_NOT_FOUND)
        film, entry = found
        about = {"media_id": film.id, "media_title": film.title, "media_type": "movie"}
        return reply(entry | about | {"iso_639_1": "en"}, DETAILS_AGE_S)

    return routes


def _add_lists(routes: Blueprint, stub: Stub) -> None:
    lists, shapes = stub.lists, stub.shapes

    @routes.get("/movie/popular")
    def popular() -> Response:
        """Answer every film, the most popular first."""
        return reply(shapes.movies(lists.popular, page_number(), language()), LIST_AGE_S)

    @routes.get("/movie/top_rated")
    def top_rated() -> Response:
        """Answer the films with enough votes, the best first."""
        return reply(shapes.movies(lists.top_rated, page_number(), language()), LIST_AGE_S)

    @routes.get("/movie/now_playing")
    def now_playing() -> Response:
        """Answer the films of the last weeks and the dates between which they came out."""
        body = shapes.movies(lists.now_playing, page_number(), language())
        return reply({"dates": lists.now_playing_dates} | body, LIST_AGE_S)

    @routes.get("/movie/upcoming")
    def upcoming() -> Response:
        """Answer the films of the next weeks and the dates between which they come out."""
        body = shapes.movies(lists.upcoming, page_number(), language())
        return reply({"dates": lists.upcoming_dates} | body, LIST_AGE_S)

    @routes.get("/movie/latest")
    def latest() -> Response:
        """Answer the details of the film that was added last."""
        return reply(shapes.details(lists.latest, language()), 0)

    @routes.get("/trending/<any(movie,all):kind>/<any(day,week):window>")
    def trending(kind: str, window: str) -> Response:
        """Answer trending films; `all` has the same, as there are no series here."""
        films = lists.trending[window]
        return reply(shapes.movies(films, page_number(), language(), media_type=True), SEARCH_AGE_S)

    @routes.get("/trending/tv/<any(day,week):window>")
    def trending_tv(window: str) -> Response:
        """Answer an empty list: the catalogue has no series."""
        return reply(shapes.movies([], page_number(), language()), SEARCH_AGE_S)


def _add_details(routes: Blueprint, stub: Stub) -> None:
    @routes.get("/movie/<movie_id>")
    def details(movie_id: str) -> Response:
        """Answer the details of a film with the blocks of `append_to_response`."""
        film = film_of(stub, movie_id)
        names = appended()
        asked = ask() if any(name in _PAGED_BLOCKS for name in names) else _without_page()
        body = stub.shapes.details(film, language())
        for name in names:
            # An unknown name is ignored, and the block has no id of its own.
            if name in stub.blocks.names:
                body[name] = stub.blocks.block(name, film, asked)
        return reply(body, DETAILS_AGE_S)


def _add_block(routes: Blueprint, stub: Stub, path: str, name: str) -> None:
    def view(movie_id: str) -> Response:
        film = film_of(stub, movie_id)
        paged = name in _PAGED_BLOCKS
        body = stub.blocks.block(name, film, ask() if paged else _without_page())
        # TMDB's two lists of films carry no id; every other block does.
        with_id = body if name in ("similar", "recommendations") else {"id": film.id} | body
        return reply(with_id, DETAILS_AGE_S)

    view.__doc__ = f"Answer the block `{name}` of a film."
    endpoint: Callable[[str], Response] = view
    routes.add_url_rule(f"/movie/<movie_id>/{path}", path.replace("/", "_"), endpoint)


def film_of(stub: Stub, movie_id: str) -> Film:
    """Return the film with TMDB's or IMDb's id; raise `TmdbError` (404) if there is none."""
    imdb = stub.catalogue.by_imdb.get(movie_id)
    film = imdb or stub.catalogue.by_id.get(whole_number(movie_id))
    if film is None:
        raise TmdbError(_NOT_FOUND)
    return film


def appended() -> list[str]:
    """Return the names of the blocks to append; raise `TmdbError` (400) for more than 20."""
    text = request.args.get("append_to_response", "")
    names = [name.strip() for name in text.split(",") if name.strip()]
    if len(names) > MAX_APPENDED:
        raise TmdbError(_TOO_MANY_APPENDED)
    return names


def _without_page() -> Ask:
    return Ask(
        language=request.args.get("language", ""),
        image_language=request.args.get("include_image_language", ""),
        country=request.args.get("country", ""),
        origin=request.host_url.rstrip("/"),
    )
