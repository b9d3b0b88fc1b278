"""Recommended for you: what TMDB recommends to those who like the user's favourites."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Json = dict[str, Any]

BEST, LATEST = 3, 2  # favourites whose recommendations are asked for
# Reciprocal rank fusion (Cormack, Clarke, Buettcher 2009): a film's score is the sum of
# 1 / (60 + rank) over the lists it stands in, so that agreement beats one high place.
RANK_CONSTANT = 60


def seeds(favorites: list[Json]) -> list[Json]:
    """Return the best-rated favourites, then the latest that are not among them."""
    latest = sorted(favorites, key=lambda item: item["added_date"] or "", reverse=True)
    best = sorted(latest, key=lambda item: item["rating"] or 0, reverse=True)[:BEST]
    taken = {item["movie_id"] for item in best}
    return best + [item for item in latest if item["movie_id"] not in taken][:LATEST]


def merge(lists: Mapping[int, list[Json]], liked: list[Json], without: set[int]) -> list[Json]:
    """Merge recommended films by rank, each with the favourite that led to it the most.

    `lists`: films by the number of the favourite they are recommended for.
    """
    scores: dict[int, float] = {}
    led: dict[int, tuple[float, Json, Json]] = {}
    for seed in liked:
        for rank, film in enumerate(lists.get(seed["movie_id"], []), 1):
            number = film["id"]
            if number in without:
                continue
            part = 1 / (RANK_CONSTANT + rank)
            scores[number] = scores.get(number, 0.0) + part
            if number not in led or part > led[number][0]:
                led[number] = (part, film, seed)
    order = sorted(scores, key=lambda number: (-scores[number], number))
    return [{**led[number][1], "because": because(led[number][2])} for number in order]


def because(seed: Json) -> Json:
    """Name the favourite that led to a film."""
    return {"kind": "favorite", "id": seed["movie_id"], "title": seed["title"]}


def trending(films: Iterable[Json], without: set[int]) -> list[Json]:
    """Return trending films for a user without favourites, labelled as what they are."""
    label = {"kind": "trending", "id": None, "title": None}
    return [{**film, "because": label} for film in films if film["id"] not in without]
