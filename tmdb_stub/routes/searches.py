"""Searches by name, and find by an id of another database."""

from __future__ import annotations

from flask import Blueprint, Response, request

from tmdb_stub.catalogue import Film, Person
from tmdb_stub.replies import SEARCH_AGE_S, language, page_number, reply, search_query
from tmdb_stub.shapes import Body, paged
from tmdb_stub.stub import Stub


def blueprint(stub: Stub) -> Blueprint:
    """Return the routes over one stub."""
    routes = Blueprint("searches", __name__)
    _add_films_and_people(routes, stub)
    _add_names(routes, stub)

    @routes.get("/find/<external_id>")
    def find(external_id: str) -> Response:
        """Answer the film with an IMDb id; other databases are not in the facts."""
        film = stub.catalogue.by_imdb.get(external_id)
        by_imdb = request.args.get("external_source", "imdb_id") == "imdb_id"
        body: Body = {
            "movie_results": [stub.shapes.movie(film, language(), media_type=True)]
            if film and by_imdb
            else [],
            "person_results": [],
            "tv_results": [],
            "tv_episode_results": [],
            "tv_season_results": [],
        }
        return reply(body, SEARCH_AGE_S)

    return routes


def _add_films_and_people(routes: Blueprint, stub: Stub) -> None:
    @routes.get("/search/movie")
    def search_movie() -> Response:
        """Answer films by title, of one year if the query says so."""
        query, page = search_query(), page_number()
        found = [film for film in stub.film_index.find(query) if _is_of_year(film)]
        return reply(stub.shapes.movies(found, page, language()), SEARCH_AGE_S)

    @routes.get("/search/person")
    def search_person() -> Response:
        """Answer people by name."""
        query, page = search_query(), page_number()
        found, body = paged(stub.person_index.find(query), page)
        body["results"] = [stub.shapes.person_result(person, language()) for person in found]
        return reply(body, SEARCH_AGE_S)

    @routes.get("/search/multi")
    def search_multi() -> Response:
        """Answer films and people by name, the best matches of both first."""
        query, page = search_query(), page_number()
        ranked: list[tuple[int, Film | Person]] = [
            *stub.film_index.find_ranked(query),
            *stub.person_index.find_ranked(query),
        ]
        ranked.sort(key=lambda match: (match[0], -match[1].popularity))
        found, body = paged([entry for _, entry in ranked], page)
        body["results"] = [
            stub.shapes.movie(entry, language(), media_type=True)
            if isinstance(entry, Film)
            else stub.shapes.person_result(entry, language(), media_type=True)
            for entry in found
        ]
        return reply(body, SEARCH_AGE_S)

    @routes.get("/search/tv")
    def search_tv() -> Response:
        """Answer an empty list: the catalogue has no series."""
        search_query()
        return reply(stub.shapes.movies([], page_number(), language()), SEARCH_AGE_S)


def _add_names(routes: Blueprint, stub: Stub) -> None:
    @routes.get("/search/collection")
    def search_collection() -> Response:
        """Answer series of films by name."""
        query, page = search_query(), page_number()
        found, body = paged(stub.collection_index.find(query), page)
        body["results"] = [stub.shapes.collection_result(item, language()) for item in found]
        return reply(body, SEARCH_AGE_S)

    @routes.get("/search/keyword")
    def search_keyword() -> Response:
        """Answer keywords by name."""
        query, page = search_query(), page_number()
        found, body = paged(stub.keyword_index.find(query), page)
        body["results"] = [{"id": number, "name": name} for number, name in found]
        return reply(body, SEARCH_AGE_S)

    @routes.get("/search/company")
    def search_company() -> Response:
        """Answer companies by name."""
        query, page = search_query(), page_number()
        found, body = paged(stub.company_index.find(query), page)
        body["results"] = [stub.shapes.company_entry(number) for number, _ in found]
        return reply(body, SEARCH_AGE_S)


def _is_of_year(film: Film) -> bool:
    """Whether the film is of the year asked for; a year that is no number is ignored."""
    years = [request.args.get(name, "") for name in ("year", "primary_release_year")]
    return all(film.year == year for year in years if year.isdecimal())
