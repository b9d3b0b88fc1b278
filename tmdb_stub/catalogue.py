"""The catalogue: films, people, keywords, companies and collections, loaded once, never changed.

`catalogue.jsonl.gz` has one JSON object for each film, sorted by id: facts as TMDB knows them
under short keys, without empty ones. It has no descriptions; `tmdb_stub/prose.py` writes them.
The facts were taken in different years, so the popularity of a film older than a year was capped
by its votes. A language that was missing is the one of its only country, or English.
"""

from __future__ import annotations

import gzip
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from tmdb_stub.ids import hex_id, number_names

CATALOGUE_FILE = Path(__file__).resolve().parent / "catalogue.jsonl.gz"

Row = dict[str, Any]


class CastMember(NamedTuple):
    """A person in the cast of one film; `character` is empty where the facts do not say."""

    person_id: int
    character: str
    order: int
    credit_id: str


# Each film is one object: identity is equality, and a set does not hash it field by field.
@dataclass(frozen=True, slots=True, eq=False)
class Film:
    """The facts of one film. Unknown numbers are 0, unknown texts empty, unknown paths None."""

    id: int
    title: str
    original_title: str
    original_language: str
    release_date: str
    genre_ids: tuple[int, ...]
    runtime: int
    vote_average: float
    vote_count: int
    popularity: float
    poster_path: str | None
    backdrop_path: str | None
    video: bool
    budget: int
    revenue: int
    imdb_id: str | None
    status: str
    company_ids: tuple[int, ...]
    countries: tuple[str, ...]
    languages: tuple[str, ...]
    collection_id: int | None
    director_ids: tuple[int, ...]
    cast: tuple[CastMember, ...]
    keyword_ids: tuple[int, ...]

    @property
    def year(self) -> str:
        """The year of the release in four digits, or an empty string."""
        return self.release_date[:4]


@dataclass(slots=True)
class Person:
    """Somebody who acts in or directs films of the catalogue; films are in order of popularity."""

    id: int
    name: str
    profile_path: str | None = None
    popularity: float = 0.0
    acted_in: list[Film] = field(default_factory=list)
    directed: list[Film] = field(default_factory=list)

    @property
    def department(self) -> str:
        """TMDB's department that the person is known for."""
        return "Directing" if len(self.directed) > len(self.acted_in) else "Acting"

    @property
    def films(self) -> list[Film]:
        """Every film of the person once, the most popular first."""
        if not (self.acted_in and self.directed):
            return self.acted_in or self.directed
        known = {film.id: film for film in (*self.acted_in, *self.directed)}
        return sorted(known.values(), key=popularity_order)


@dataclass(frozen=True, slots=True)
class Collection:
    """A series of films, in order of release."""

    id: int
    name: str
    poster_path: str | None
    backdrop_path: str | None
    films: tuple[Film, ...]


def popularity_order(film: Film) -> tuple[float, int]:
    """Sort key: the most popular first, then the one that TMDB knew first."""
    return (-film.popularity, film.id)


class Catalogue:
    """All films and the indexes over them. Immutable after construction, so safe to share."""

    def __init__(self, rows: Iterable[Row]) -> None:
        rows = list(rows)
        self.keywords, keyword_ids = _named(rows, "keywords", "keyword")
        self._person_ids = _person_ids(rows)
        self.companies: dict[int, str] = {
            number: name for row in rows for number, name in row.get("companies", ())
        }
        self.films: tuple[Film, ...] = tuple(
            sorted((self._film(row, keyword_ids) for row in rows), key=popularity_order)
        )
        self.by_id: dict[int, Film] = {film.id: film for film in self.films}
        self.by_imdb: dict[str, Film] = {film.imdb_id: film for film in self.films if film.imdb_id}
        self.people: dict[int, Person] = self._people(rows)
        self.collections: dict[int, Collection] = self._collections(rows)

    @classmethod
    def load(cls, path: Path = CATALOGUE_FILE) -> Catalogue:
        """Read the compressed file of the project; takes about half a second."""
        lines = gzip.decompress(path.read_bytes()).splitlines()
        return cls(orjson.loads(line) for line in lines)

    @cached_property
    def people_by_popularity(self) -> tuple[Person, ...]:
        """Every person, the most popular first."""
        return tuple(sorted(self.people.values(), key=lambda p: (-p.popularity, p.id)))

    @cached_property
    def newest_release(self) -> str:
        """The latest release date of the catalogue (`YYYY-MM-DD`)."""
        return max(film.release_date for film in self.films)

    def films_with_keyword(self, keyword_id: int) -> list[Film]:
        """Return the films with the keyword, the most popular first."""
        return [film for film in self.films if keyword_id in film.keyword_ids]

    def _film(self, row: Row, keyword_ids: dict[str, int]) -> Film:
        collection = row.get("collection")
        ids = self._person_ids
        cast = tuple(_cast(row["id"], row.get("cast", ()), ids))
        return Film(
            id=row["id"],
            title=row["title"],
            original_title=row.get("original_title") or row["title"],
            original_language=row["language"],
            release_date=row.get("released", ""),
            genre_ids=tuple(row.get("genres", ())),
            runtime=row.get("runtime", 0),
            vote_average=row.get("average", 0),
            vote_count=row.get("votes", 0),
            popularity=row.get("popularity", 0),
            poster_path=row.get("poster"),
            backdrop_path=row.get("backdrop"),
            video=row.get("video", False),
            budget=row.get("budget", 0),
            revenue=row.get("revenue", 0),
            imdb_id=row.get("imdb"),
            status=row.get("status", "Released"),
            company_ids=tuple(number for number, _ in row.get("companies", ())),
            countries=tuple(row.get("countries", ())),
            languages=tuple(row.get("spoken", ())),
            collection_id=collection[0] if collection else None,
            director_ids=tuple(ids[name] for name in row.get("directors", ())),
            cast=cast,
            keyword_ids=tuple(keyword_ids[name] for name in row.get("keywords", ())),
        )

    def _people(self, rows: list[Row]) -> dict[int, Person]:
        people = {number: Person(number, name) for name, number in self._person_ids.items()}
        for row in rows:
            for member in row.get("cast", ()):
                if isinstance(member, list):
                    people[member[0]].profile_path = member[3]
        for film in self.films:
            for person_id in {member.person_id: None for member in film.cast}:
                people[person_id].acted_in.append(film)
            for person_id in film.director_ids:
                people[person_id].directed.append(film)
        for person in people.values():
            # A fifth of the five most popular films, which is about TMDB's scale for people.
            person.popularity = round(sum(film.popularity for film in person.films[:5]) / 5, 4)
            # The facts have few pictures of people. Who is in several films gets a path that only
            # this stub can serve (a drawing with the name); the others have none, as many at TMDB.
            if person.profile_path is None and len(person.acted_in) + len(person.directed) > 1:
                person.profile_path = f"/person-{person.id}.jpg"
        return people

    def _collections(self, rows: list[Row]) -> dict[int, Collection]:
        members: dict[int, list[Film]] = defaultdict(list)
        for film in self.films:
            if film.collection_id is not None:
                members[film.collection_id].append(film)
        facts = {row["collection"][0]: row["collection"] for row in rows if "collection" in row}
        return {
            number: Collection(
                id=number,
                name=fact[1],
                poster_path=fact[2],
                backdrop_path=fact[3],
                films=tuple(sorted(members[number], key=lambda f: (f.release_date, f.id))),
            )
            for number, fact in facts.items()
        }


def _named(rows: list[Row], key: str, kind: str) -> tuple[dict[int, str], dict[str, int]]:
    ids = number_names((name for row in rows for name in row.get(key, ())), kind)
    return {number: name for name, number in ids.items()}, ids


def _person_ids(rows: list[Row]) -> dict[str, int]:
    known: dict[str, int] = {}
    names: set[str] = set()
    for row in rows:
        names.update(row.get("directors", ()))
        for member in row.get("cast", ()):
            if isinstance(member, list):
                known.setdefault(member[1], member[0])
            else:
                names.add(member)
    return number_names(names - known.keys(), "person") | known


def _cast(film_id: int, members: Iterable[Any], ids: dict[str, int]) -> Iterable[CastMember]:
    for order, member in enumerate(members):
        if isinstance(member, list):
            yield CastMember(ids[member[1]], member[2] or "", order, member[4])
        else:
            yield CastMember(ids[member], "", order, hex_id(film_id, "cast", order))
