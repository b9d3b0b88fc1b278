"""What changes rarely: configuration, genres, keywords, companies, series, ratings, services."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Blueprint, Response, request

from tmdb_stub.errors import TmdbError
from tmdb_stub.genres import MOVIE_GENRES, TV_GENRES
from tmdb_stub.providers import COUNTRIES, provider_list
from tmdb_stub.reference import (
    BACKDROP_SIZES,
    CERTIFICATIONS,
    LOGO_SIZES,
    POSTER_SIZES,
    PROFILE_SIZES,
    STILL_SIZES,
    reference,
)
from tmdb_stub.replies import DETAILS_AGE_S, language, page_number, reply, whole_number
from tmdb_stub.stub import Stub

_NOT_FOUND = 34


def blueprint(stub: Stub) -> Blueprint:
    """Return the routes over one stub."""
    routes = Blueprint("reference", __name__)
    _add_configuration(routes)
    _add_lists(routes)
    _add_entries(routes, stub)
    return routes


def _add_configuration(routes: Blueprint) -> None:
    @routes.get("/authentication")
    def authentication() -> Response:
        """Say that the credential is good; a wrong one does not come this far."""
        return reply({"success": True, "status_code": 1, "status_message": "Success."}, 0)

    @routes.get("/configuration")
    def configuration() -> Response:
        """Answer image sizes and the address of the images, which is this stub's own."""
        # The stub speaks no TLS, so the secure address is the same one.
        base_url = f"{request.host_url}t/p/"
        body = {
            "change_keys": reference()["change_keys"],
            "images": {
                "base_url": base_url,
                "secure_base_url": base_url,
                "backdrop_sizes": BACKDROP_SIZES,
                "logo_sizes": LOGO_SIZES,
                "poster_sizes": POSTER_SIZES,
                "profile_sizes": PROFILE_SIZES,
                "still_sizes": STILL_SIZES,
            },
        }
        return reply(body, DETAILS_AGE_S)

    @routes.get("/configuration/<any(countries,languages,jobs,timezones):name>")
    def configuration_list(name: str) -> Response:
        """Answer one of the lists of the configuration."""
        keys = _CONFIGURATION_KEYS[name]
        body = [dict(zip(keys, entry, strict=True)) for entry in reference()[name]]
        return reply(body, DETAILS_AGE_S)

    @routes.get("/configuration/primary_translations")
    def primary_translations() -> Response:
        """Answer the languages that TMDB is translated into."""
        return reply(reference()["primary_translations"], DETAILS_AGE_S)


_CONFIGURATION_KEYS: dict[str, tuple[str, ...]] = {
    "countries": ("iso_3166_1", "english_name", "native_name"),
    "languages": ("iso_639_1", "english_name", "name"),
    "jobs": ("department", "jobs"),
    "timezones": ("iso_3166_1", "zones"),
}


def _add_lists(routes: Blueprint) -> None:
    @routes.get("/genre/<any(movie,tv):kind>/list")
    def genres(kind: str) -> Response:
        """Answer the genres of films or of series."""
        names = MOVIE_GENRES if kind == "movie" else TV_GENRES
        body = {"genres": [{"id": number, "name": name} for number, name in names.items()]}
        return reply(body, DETAILS_AGE_S)

    @routes.get("/certification/movie/list")
    def certifications() -> Response:
        """Answer the age ratings of some countries."""
        body = {
            "certifications": {
                country: [
                    {"certification": name, "meaning": meaning, "order": order}
                    for order, (name, meaning) in enumerate(ratings)
                ]
                for country, ratings in CERTIFICATIONS.items()
            }
        }
        return reply(body, DETAILS_AGE_S)

    @routes.get("/watch/providers/movie")
    def watch_providers() -> Response:
        """Answer the (invented) services that show films."""
        return reply({"results": provider_list()}, DETAILS_AGE_S)

    @routes.get("/watch/providers/regions")
    def watch_regions() -> Response:
        """Answer the countries in which there are services."""
        keys = _CONFIGURATION_KEYS["countries"]
        results = [
            dict(zip(keys, entry, strict=True))
            for entry in reference()["countries"]
            if entry[0] in COUNTRIES
        ]
        return reply({"results": results}, DETAILS_AGE_S)


def _add_entries(routes: Blueprint, stub: Stub) -> None:
    catalogue = stub.catalogue

    @routes.get("/keyword/<keyword_id>")
    def keyword(keyword_id: str) -> Response:
        """Answer the name of a keyword."""
        number = _known(catalogue.keywords, keyword_id)
        return reply({"id": number, "name": catalogue.keywords[number]}, DETAILS_AGE_S)

    @routes.get("/keyword/<keyword_id>/movies")
    def keyword_movies(keyword_id: str) -> Response:
        """Answer the films with a keyword."""
        number = _known(catalogue.keywords, keyword_id)
        films = catalogue.films_with_keyword(number)
        return reply(
            {"id": number} | stub.shapes.movies(films, page_number(), language()), DETAILS_AGE_S
        )

    @routes.get("/collection/<collection_id>")
    def collection(collection_id: str) -> Response:
        """Answer a series of films."""
        number = _known(catalogue.collections, collection_id)
        body = stub.shapes.collection(catalogue.collections[number], language())
        return reply(body, DETAILS_AGE_S)

    @routes.get("/company/<company_id>")
    def company(company_id: str) -> Response:
        """Answer a company; the facts have its name only."""
        number = _known(catalogue.companies, company_id)
        body = {"description": "", "headquarters": "", "homepage": "", "parent_company": None}
        return reply(stub.shapes.company_entry(number) | body, DETAILS_AGE_S)


def _known(entries: Mapping[int, object], text: str) -> int:
    number = whole_number(text)
    if number not in entries:
        raise TmdbError(_NOT_FOUND)
    return number
