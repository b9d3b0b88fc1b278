"""Similar and recommended films, found by what two films share.

Each shared fact counts by how rare it is in the catalogue (inverse document frequency): a keyword
that five films have says more than `Drama`. `similar` asks what a film is about (keywords, genres,
words of the title), `recommended` asks what its audience may want next (series, director, cast)
and prefers films that many people voted for. Films of the same series come first in both.
"""

from __future__ import annotations

import heapq
import math
import threading
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from tmdb_stub.catalogue import Catalogue, Film
from tmdb_stub.search import fold

Feature = tuple[str, int | str]

_STOP_WORDS = frozenset(
    (
        *("a", "an", "and", "at", "by", "de", "for", "from", "in", "la", "le", "my", "of", "on"),
        *("or", "part", "the", "to", "vs", "with"),
    )
)
SIMILAR_COUNT = 200
# TMDB recommends two pages at most for nearly every film.
RECOMMENDED_COUNT = 40


@dataclass(frozen=True)
class Weights:
    """How much one shared fact of each kind counts; `votes` is the pull of well-known films."""

    keyword: float
    genre: float
    title: float
    actor: float
    director: float
    language: float
    decade: float
    votes: float

    def of(self, kind: str) -> float:
        """Return the weight of a kind of feature."""
        return float(getattr(self, kind))


SIMILAR = Weights(
    keyword=1.0, genre=0.9, title=0.6, actor=0.25, director=0.4, language=0.2, decade=0.3, votes=0.3
)
RECOMMENDED = Weights(
    keyword=0.7, genre=0.6, title=0.5, actor=0.7, director=1.2, language=0.3, decade=0.5, votes=0.9
)


class Related:
    """Answers which films go with a film. Safe for every thread; results are kept (bounded)."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._lock = threading.Lock()
        # From 0 (no votes) to about 1 (30,000 votes).
        self._fame = [math.log10(film.vote_count + 1) / 4.5 for film in catalogue.films]
        self._postings: dict[Feature, list[int]] | None = None
        self._similar = lru_cache(maxsize=2048)(self._find_similar)
        self._recommended = lru_cache(maxsize=2048)(self._find_recommended)

    def similar(self, film: Film) -> tuple[Film, ...]:
        """Return up to 200 films about the same things, the closest first, without the film."""
        return self._similar(film.id)

    def recommended(self, film: Film) -> tuple[Film, ...]:
        """Return up to 40 films that somebody who liked the film may like, the best first."""
        return self._recommended(film.id)

    def warm(self) -> None:
        """Build the index now instead of at the first question."""
        self._index()

    def _find_similar(self, film_id: int) -> tuple[Film, ...]:
        return self._rank(self._catalogue.by_id[film_id], SIMILAR, SIMILAR_COUNT)

    def _find_recommended(self, film_id: int) -> tuple[Film, ...]:
        return self._rank(self._catalogue.by_id[film_id], RECOMMENDED, RECOMMENDED_COUNT)

    def _rank(self, film: Film, weights: Weights, count: int) -> tuple[Film, ...]:
        films = self._catalogue.films
        postings = self._index()
        scores = [0.0] * len(films)
        for feature in features(film):
            found = postings[feature]
            # What half of all films have (English) says nothing and would cost the most time.
            if 2 * len(found) > len(films):
                continue
            value = weights.of(feature[0]) * math.log(len(films) / len(found))
            for position in found:
                scores[position] += value
        base, pull = 1 - weights.votes, weights.votes
        # A tenth of a point for the most popular film decides between equals.
        slope = 0.1 / len(films)
        ranked = [
            (score * (base + pull * fame) - slope * position, position)
            for position, (score, fame) in enumerate(zip(scores, self._fame, strict=True))
            if score
        ]
        best = [films[position] for _, position in heapq.nlargest(count + 1, ranked)]
        series = self._catalogue.collections.get(film.collection_id or 0)
        together = dict.fromkeys((*(_by_rank(series.films, best) if series else ()), *best))
        together.pop(film, None)
        return tuple(together)[:count]

    def _index(self) -> dict[Feature, list[int]]:
        # Built at the first question, not at the start: most test runs never ask.
        with self._lock:
            if self._postings is None:
                postings: dict[Feature, list[int]] = defaultdict(list)
                for position, film in enumerate(self._catalogue.films):
                    for feature in features(film):
                        postings[feature].append(position)
                self._postings = dict(postings)
            return self._postings


def _by_rank(series: tuple[Film, ...], ranked: list[Film]) -> list[Film]:
    """Return the films of a series, the ones that are ranked first."""
    members = set(series)
    known = [film for film in ranked if film in members]
    return [*known, *(film for film in series if film not in known)]


def features(film: Film) -> Iterator[Feature]:
    """Yield what the film can share with another one, each feature once."""
    for keyword in dict.fromkeys(film.keyword_ids):
        yield "keyword", keyword
    for genre in dict.fromkeys(film.genre_ids):
        yield "genre", genre
    for person in {member.person_id: None for member in film.cast}:
        yield "actor", person
    for person in dict.fromkeys(film.director_ids):
        yield "director", person
    for word in dict.fromkeys(fold(film.title).split(" ")):
        if word and word not in _STOP_WORDS and not word.isdigit():
            yield "title", word
    yield "language", film.original_language
    yield "decade", film.year[:3]
