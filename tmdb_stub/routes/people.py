"""People: popular and trending ones, details with appended blocks, and each block alone."""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, Response

from tmdb_stub.blocks import image_entries
from tmdb_stub.catalogue import Person
from tmdb_stub.errors import TmdbError
from tmdb_stub.ids import hex_id
from tmdb_stub.replies import (
    DETAILS_AGE_S,
    LIST_AGE_S,
    SEARCH_AGE_S,
    language,
    page_number,
    reply,
    whole_number,
)
from tmdb_stub.routes.movies import appended
from tmdb_stub.shapes import Body, paged
from tmdb_stub.stub import Stub

_NOT_FOUND = 34

PersonBlock = Callable[[Stub, Person, str], Body]


def blueprint(stub: Stub) -> Blueprint:
    """Return the routes over one stub."""
    routes = Blueprint("people", __name__)
    _add_lists(routes, stub)
    for name, block in BLOCKS.items():
        _add_block(routes, stub, name, block)

    @routes.get("/person/<person_id>")
    def details(person_id: str) -> Response:
        """Answer the details of a person with the blocks of `append_to_response`."""
        person = _person_of(stub, person_id)
        body = stub.shapes.person_details(person, language())
        for name in appended():
            if name in BLOCKS:
                body[name] = BLOCKS[name](stub, person, language())
        return reply(body, DETAILS_AGE_S)

    return routes


def _add_lists(routes: Blueprint, stub: Stub) -> None:
    @routes.get("/person/popular")
    def popular() -> Response:
        """Answer every person, the most popular first."""
        found, body = paged(list(stub.catalogue.people_by_popularity), page_number())
        body["results"] = [stub.shapes.person_result(person, language()) for person in found]
        return reply(body, LIST_AGE_S)

    @routes.get("/trending/person/<any(day,week):window>")
    def trending(window: str) -> Response:
        """Answer trending people."""
        found, body = paged(stub.lists.trending_people[window], page_number())
        body["results"] = [
            stub.shapes.person_result(person, language(), media_type=True) for person in found
        ]
        return reply(body, SEARCH_AGE_S)


def _add_block(routes: Blueprint, stub: Stub, name: str, block: PersonBlock) -> None:
    def view(person_id: str) -> Response:
        person = _person_of(stub, person_id)
        return reply(block(stub, person, language()) | {"id": person.id}, DETAILS_AGE_S)

    view.__doc__ = f"Answer the block `{name}` of a person."
    routes.add_url_rule(f"/person/<person_id>/{name}", f"person_{name}", view)


def _person_of(stub: Stub, person_id: str) -> Person:
    person = stub.catalogue.people.get(whole_number(person_id))
    if person is None:
        raise TmdbError(_NOT_FOUND)
    return person


def _movie_credits(stub: Stub, person: Person, tongue: str, *, media_type: bool = False) -> Body:
    cast: list[Body] = []
    for film in person.acted_in:
        member = next(item for item in film.cast if item.person_id == person.id)
        cast.append(
            stub.shapes.movie(film, tongue, media_type=media_type)
            | {
                "character": member.character,
                "credit_id": member.credit_id,
                "order": member.order,
            }
        )
    crew = [
        stub.shapes.movie(film, tongue, media_type=media_type)
        | {
            "credit_id": hex_id(film.id, "director", person.id),
            "department": "Directing",
            "job": "Director",
        }
        for film in person.directed
    ]
    return {"cast": cast, "crew": crew}


def _combined_credits(stub: Stub, person: Person, tongue: str) -> Body:
    return _movie_credits(stub, person, tongue, media_type=True)


def _tv_credits(stub: Stub, person: Person, tongue: str) -> Body:
    # The catalogue has no series.
    return {"cast": [], "crew": []}


def _images(stub: Stub, person: Person, tongue: str) -> Body:
    return {"profiles": image_entries(person.profile_path, 1000, 1500, None)}


def _external_ids(stub: Stub, person: Person, tongue: str) -> Body:
    names = ("freebase_mid", "freebase_id", "imdb_id", "tvrage_id", "wikidata_id", "facebook_id")
    return dict.fromkeys((*names, "instagram_id", "tiktok_id", "twitter_id", "youtube_id"))


BLOCKS: dict[str, PersonBlock] = {
    "combined_credits": _combined_credits,
    "external_ids": _external_ids,
    "images": _images,
    "movie_credits": _movie_credits,
    "tv_credits": _tv_credits,
}
