"""The blocks of a film: credits, keywords, images and so on, alone or appended to the details."""

from __future__ import annotations

from collections.abc import Callable

from tmdb_stub.ask import Ask
from tmdb_stub.catalogue import Film
from tmdb_stub.ids import hex_id
from tmdb_stub.providers import watch_providers
from tmdb_stub.reference import country_name, country_of_language, language_names
from tmdb_stub.related import Related
from tmdb_stub.reviews import reviews
from tmdb_stub.shapes import Body, Shapes, is_english
from tmdb_stub.videos import videos

Block = Callable[[Film, Ask], Body]


class MovieBlocks:
    """All blocks by their names in `append_to_response`. Safe for every thread."""

    def __init__(self, shapes: Shapes, related: Related) -> None:
        self._shapes = shapes
        self._related = related
        self._blocks: dict[str, Block] = {
            "alternative_titles": self._alternative_titles,
            "credits": self._credits,
            "external_ids": self._external_ids,
            "images": self._images,
            "keywords": self._keywords,
            "recommendations": self._recommendations,
            "release_dates": self._release_dates,
            "reviews": lambda film, ask: reviews(shapes.catalogue, film, ask),
            "similar": self._similar,
            "translations": self._translations,
            "videos": lambda film, ask: {"results": videos(film, ask.language)},
            "watch/providers": lambda film, ask: {"results": watch_providers(film)},
        }

    @property
    def names(self) -> list[str]:
        """The names that can be appended."""
        return list(self._blocks)

    def block(self, name: str, film: Film, ask: Ask) -> Body:
        """Return one block without the film's id, which only the block's own endpoint has."""
        return self._blocks[name](film, ask)

    def _alternative_titles(self, film: Film, ask: Ask) -> Body:
        country = _home(film)
        titles = []
        if film.original_title != film.title and ask.country in ("", country):
            titles.append({"iso_3166_1": country, "title": film.original_title, "type": ""})
        return {"titles": titles}

    def _credits(self, film: Film, ask: Ask) -> Body:
        people = self._shapes.catalogue.people
        cast = [
            self._shapes.person(people[member.person_id])
            | {
                "cast_id": member.order + 1,
                "character": member.character,
                "credit_id": member.credit_id,
                "order": member.order,
            }
            for member in film.cast
        ]
        crew = [
            self._shapes.person(people[person_id])
            | {
                "credit_id": hex_id(film.id, "director", person_id),
                "department": "Directing",
                "job": "Director",
            }
            for person_id in film.director_ids
        ]
        return {"cast": cast, "crew": crew}

    def _external_ids(self, film: Film, ask: Ask) -> Body:
        return {
            "imdb_id": film.imdb_id,
            "wikidata_id": None,
            "facebook_id": None,
            "instagram_id": None,
            "twitter_id": None,
        }

    def _images(self, film: Film, ask: Ask) -> Body:
        backdrops = image_entries(film.backdrop_path, 1920, 1080, None)
        posters = image_entries(film.poster_path, 1000, 1500, "en")
        wanted = image_languages(ask)
        return {
            "backdrops": [image for image in backdrops if _wanted(image, wanted)],
            "logos": [],
            "posters": [image for image in posters if _wanted(image, wanted)],
        }

    def _keywords(self, film: Film, ask: Ask) -> Body:
        names = self._shapes.catalogue.keywords
        return {"keywords": [{"id": number, "name": names[number]} for number in film.keyword_ids]}

    def _recommendations(self, film: Film, ask: Ask) -> Body:
        films = list(self._related.recommended(film))
        return self._shapes.movies(films, ask.page, ask.language, media_type=True)

    def _similar(self, film: Film, ask: Ask) -> Body:
        return self._shapes.movies(list(self._related.similar(film)), ask.page, ask.language)

    def _release_dates(self, film: Film, ask: Ask) -> Body:
        if not film.release_date:
            return {"results": []}
        entry = {
            "certification": "",
            "descriptors": [],
            "iso_639_1": "",
            "note": "",
            "release_date": f"{film.release_date}T00:00:00.000Z",
            "type": 3,
        }
        return {"results": [{"iso_3166_1": _home(film), "release_dates": [entry]}]}

    def _translations(self, film: Film, ask: Ask) -> Body:
        # The title stands in a translation only where it differs from the original one.
        entries = [_translation("en", "US", film, self._shapes.overview(film, "en"), film.title)]
        if film.original_language != "en":
            entries.append(_translation(film.original_language, _home(film), film, "", ""))
        entries += [
            _translation(language, country, film, "", "")
            for language, country in (("de", "DE"), ("es", "ES"), ("fr", "FR"))
            if language != film.original_language
        ]
        return {"translations": entries}


def _home(film: Film) -> str:
    return film.countries[0] if film.countries else country_of_language(film.original_language)


def _translation(language: str, country: str, film: Film, overview: str, title: str) -> Body:
    english, name = language_names(language)
    return {
        "iso_3166_1": country,
        "iso_639_1": language,
        "name": name or english or country_name(country),
        "english_name": english,
        "data": {
            "homepage": "",
            "overview": overview,
            "runtime": film.runtime if is_english(language) else 0,
            "tagline": "",
            "title": title if title != film.original_title else "",
        },
    }


def image_entries(path: str | None, width: int, height: int, language: str | None) -> list[Body]:
    """Return no image or the one that is known, with the size in which the stub draws it."""
    if path is None:
        return []
    return [
        {
            "aspect_ratio": round(width / height, 3),
            "height": height,
            "iso_639_1": language,
            "file_path": path,
            "vote_average": 0.0,
            "vote_count": 0,
            "width": width,
        }
    ]


def image_languages(ask: Ask) -> set[str] | None:
    """Return the image languages asked for, None for all; `language` filters images too."""
    if ask.image_language:
        return {code.strip()[:4] for code in ask.image_language.split(",")}
    return {ask.language[:2].lower()} if ask.language else None


def _wanted(image: Body, wanted: set[str] | None) -> bool:
    return wanted is None or (image["iso_639_1"] or "null") in wanted
