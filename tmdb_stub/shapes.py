"""Films and people in TMDB's shapes: the entry of a list and the page of details."""

from __future__ import annotations

from typing import Any

from tmdb_stub import prose
from tmdb_stub.catalogue import Catalogue, Collection, Film, Person
from tmdb_stub.genres import MOVIE_GENRES
from tmdb_stub.reference import country_name, language_names

Body = dict[str, Any]
PER_PAGE = 20


def paged(items: list[Any], page: int) -> tuple[list[Any], Body]:
    """Return the entries of the page and the keys of a list's body (`results` still empty)."""
    start = (page - 1) * PER_PAGE
    pages = -(-len(items) // PER_PAGE)
    body: Body = {"page": page, "results": [], "total_pages": pages, "total_results": len(items)}
    return items[start : start + PER_PAGE], body


class Shapes:
    """Makes TMDB's bodies from the catalogue; pure, so safe for every thread.

    `language` is a code such as `en` or `de-DE`. The texts are in English; TMDB answers a missing
    translation with an empty text and does not fall back, and so does this. No film of the facts
    is an adult one, so `adult` is always false and `include_adult` changes nothing.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue

    def title(self, film: Film, language: str) -> str:
        """Return the title in the language: the original one if that is its language."""
        code = language[:2].lower()
        own = code == film.original_language and code != "en"
        return film.original_title if own else film.title

    def overview(self, film: Film, language: str) -> str:
        """Return the overview, empty for any language but English."""
        return prose.overview(self.catalogue, film) if is_english(language) else ""

    def movie(self, film: Film, language: str, *, media_type: bool = False) -> Body:
        """Return a film as it stands in a list, with `media_type` where lists mix kinds."""
        body: Body = {
            "adult": False,
            "backdrop_path": film.backdrop_path,
            "genre_ids": list(film.genre_ids),
            "id": film.id,
            "title": self.title(film, language),
            "original_language": film.original_language,
            "original_title": film.original_title,
            "overview": self.overview(film, language),
            "popularity": film.popularity,
            "poster_path": film.poster_path,
            "release_date": film.release_date,
            "softcore": False,
            "video": film.video,
            "vote_average": film.vote_average,
            "vote_count": film.vote_count,
        }
        if media_type:
            body["media_type"] = "movie"
        return body

    def movies(self, films: list[Film], page: int, language: str, **options: bool) -> Body:
        """Return one page of films in the shape of TMDB's lists."""
        found, body = paged(films, page)
        body["results"] = [self.movie(film, language, **options) for film in found]
        return body

    def details(self, film: Film, language: str) -> Body:
        """Return the details of a film without appended blocks."""
        collection = self.catalogue.collections.get(film.collection_id or 0)
        return {
            "adult": False,
            "backdrop_path": film.backdrop_path,
            "belongs_to_collection": collection and self.collection_entry(collection),
            "budget": film.budget,
            "genres": [
                {"id": number, "name": MOVIE_GENRES[number]}
                for number in film.genre_ids
                if number in MOVIE_GENRES
            ],
            "homepage": "",
            "id": film.id,
            "imdb_id": film.imdb_id,
            "origin_country": list(film.countries[:1]),
            "original_language": film.original_language,
            "original_title": film.original_title,
            "overview": self.overview(film, language),
            "popularity": film.popularity,
            "poster_path": film.poster_path,
            "production_companies": [self.company_entry(number) for number in film.company_ids],
            "production_countries": [
                {"iso_3166_1": code, "name": country_name(code)} for code in film.countries
            ],
            "release_date": film.release_date,
            "revenue": film.revenue,
            "runtime": film.runtime,
            "softcore": False,
            "spoken_languages": [_language(code) for code in film.languages],
            "status": film.status,
            "tagline": "",
            "title": self.title(film, language),
            "video": film.video,
            "vote_average": film.vote_average,
            "vote_count": film.vote_count,
        }

    def company_entry(self, company_id: int) -> Body:
        """Return a company as it stands in a film; logo and country are not in the facts."""
        name = self.catalogue.companies[company_id]
        return {"id": company_id, "logo_path": None, "name": name, "origin_country": ""}

    def collection_entry(self, collection: Collection) -> Body:
        """Return a series as it stands in a film."""
        return {
            "id": collection.id,
            "name": collection.name,
            "poster_path": collection.poster_path,
            "backdrop_path": collection.backdrop_path,
        }

    def collection(self, collection: Collection, language: str) -> Body:
        """Return the details of a series with its films in order of release."""
        english = is_english(language)
        return self.collection_entry(collection) | {
            "original_language": collection.films[0].original_language,
            "original_name": collection.name,
            "overview": prose.collection_overview(collection) if english else "",
            "parts": [self.movie(film, language, media_type=True) for film in collection.films],
        }

    def collection_result(self, collection: Collection, language: str) -> Body:
        """Return a series as it stands in a search."""
        body = self.collection(collection, language)
        del body["parts"]
        return body | {"adult": False}

    def person(self, person: Person) -> Body:
        """Return the keys that every mention of a person has; the gender is not in the facts."""
        return {
            "adult": False,
            "gender": 0,
            "id": person.id,
            "known_for_department": person.department,
            "name": person.name,
            "original_name": person.name,
            "popularity": person.popularity,
            "profile_path": person.profile_path,
        }

    def person_result(self, person: Person, language: str, *, media_type: bool = False) -> Body:
        """Return a person as they stand in a list, with the films they are known for."""
        body = self.person(person)
        if media_type:
            body["media_type"] = "person"
        body["known_for"] = [
            self.movie(film, language, media_type=True) for film in person.films[:3]
        ]
        return body

    def person_details(self, person: Person, language: str) -> Body:
        """Return the details of a person; dates and places of birth are not in the facts."""
        return {
            "adult": False,
            "also_known_as": [],
            "biography": prose.biography(person) if is_english(language) else "",
            "birthday": None,
            "deathday": None,
            "gender": 0,
            "homepage": None,
            "id": person.id,
            "imdb_id": None,
            "known_for_department": person.department,
            "name": person.name,
            "place_of_birth": None,
            "popularity": person.popularity,
            "profile_path": person.profile_path,
        }


def is_english(language: str) -> bool:
    """Whether texts in English answer this language; TMDB's default is `en-US`."""
    return language[:2].lower() in ("", "en")


def _language(code: str) -> Body:
    english, name = language_names(code)
    return {"english_name": english, "iso_639_1": code, "name": name}
