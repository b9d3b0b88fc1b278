"""What is asked for: users with libraries and tokens, films, pages, titles."""

from __future__ import annotations

import gzip
import itertools
import json
import random
import sqlite3
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import jwt

from scripts.processes import ROOT

SECRET = "a-secret-of-the-benchmark-alone-32-bytes"  # noqa: S105 - opens nothing
FAVORITES, WATCHLIST, HISTORY = 6, 3, 1
FEED = "/api/dashboard/feed"
LANGUAGES = ("en", "de", "fr", "es", "it", "pt", "nl", "sv", "da", "fi", "pl", "cs", "ja", "ko")
REGIONS = ("US", "DE", "FR", "ES", "IT", "PT", "NL", "SE", "DK", "FI", "PL", "CZ", "JP", "KR")


@cache
def films() -> list[tuple[int, str]]:
    """Return id and title of the stub's films, the popular ones first."""
    with gzip.open(ROOT / "tmdb_stub" / "catalogue.jsonl.gz", "rt") as lines:
        found = [json.loads(line) for line in lines]
    found.sort(key=lambda film: -film.get("popularity", 0))
    return [(film["id"], film["title"]) for film in found]


def seed(database: Path, users: int) -> None:
    """Give each of `user-0`, `user-1`, ... a library; straight into the user service's file."""
    known = [film for film, _ in films()]
    numbers = random.Random(4)
    genres = json.dumps([{"id": 18, "name": "Drama"}, {"id": 80, "name": "Crime"}])
    at = "2026-01-01 12:00:00.000000"

    def rows(count: int, *more: object) -> Iterator[tuple[object, ...]]:
        for user in range(users):
            for film in numbers.sample(known, count):
                name = f"user-{user}"
                yield (name, film, f"Film {film}", "/p.jpg", "2001-01-01", genres, *more)

    film = "user_id, movie_id, title, poster_path, release_date, genres"
    with sqlite3.connect(database, timeout=30) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        connection.executemany(
            "INSERT INTO libraries (user_id, revision) VALUES (?, 1)",
            ((f"user-{user}",) for user in range(users)),
        )
        for table, more, values, count in (
            ("favorites", "rating, added_date", (4, at), FAVORITES),
            ("watchlist", "added_date", (at,), WATCHLIST),
            ("history", "progress, watched_date, updated_date", (0.5, None, at), HISTORY),
        ):
            marks = ", ".join("?" * (6 + len(values)))
            connection.executemany(
                f"INSERT INTO {table} ({film}, {more}) VALUES ({marks})",  # noqa: S608 - no input
                rows(count, *values),
            )
    connection.close()


@cache
def tokens(users: int) -> list[str]:
    """Return a token for each user."""
    return [jwt.encode({"sub": f"user-{user}"}, SECRET, "HS256") for user in range(users)]


class Inputs:
    """Requests to one server that it has not had before, as far as that matters.

    Not thread-safe.
    """

    def __init__(self, users: int) -> None:
        self._films = films()
        self._tokens = itertools.cycle(tokens(users))
        numbers = random.Random(9)
        pages = [
            f"page={page}&language={language}&region={region}"
            for page in range(1, 301)  # all of the stub's that are full
            for language in LANGUAGES
            for region in REGIONS
        ]
        numbers.shuffle(pages)
        self._pages = iter(pages)
        titles = [
            (title, language)
            for language in LANGUAGES
            for _, title in self._films
            if title.isascii() and title.replace(" ", "").isalnum()
        ]
        self._titles = iter(titles)

    def new_users(self, count: int) -> list[str]:
        """Return feeds of users that were not seen before; the films are the usual ones."""
        return [f"{FEED}\t{next(self._tokens)}" for _ in range(count)]

    def cold(self, count: int) -> list[str]:
        """Return feeds whose films and user were not seen before."""
        return [f"{FEED}?{page}\t{next(self._tokens)}" for page in self._next_pages(count)]

    def lists(self, count: int) -> list[str]:
        """Return lists of TMDB itself, as a cold feed asks for them."""
        return [f"/3/movie/popular?{page}\tany" for page in self._next_pages(count)]

    def _next_pages(self, count: int) -> list[str]:
        pages = list(itertools.islice(self._pages, count))
        if len(pages) < count:
            raise SystemExit("no more pages of films to ask for: fewer --rounds or --seconds")
        return pages

    def searches(self, count: int) -> list[str]:
        """Return searches that were not made before, by one user."""
        path = "/api/dashboard/search/enriched?query="
        return [
            f"{path}{title.replace(' ', '+')}&language={language}"
            for title, language in itertools.islice(self._titles, count)
        ]

    def wide(self, count: int, films: int, users: int, number: int) -> list[str]:
        """Return film pages over many films and users, in random order; `number` is the seed."""
        numbers = random.Random(number)
        some = list(itertools.islice(self._tokens, users))
        known = [film for film, _ in self._films[:films]]
        return [
            f"/api/dashboard/movie/{numbers.choice(known)}/enriched\t{numbers.choice(some)}"
            for _ in range(count)
        ]
