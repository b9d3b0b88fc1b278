"""Reviews of a film, written by the stub from the facts: up to four, none for many films."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from tmdb_stub import prose
from tmdb_stub.ask import Ask
from tmdb_stub.catalogue import Catalogue, Film
from tmdb_stub.ids import draw, hex_id
from tmdb_stub.shapes import is_english, paged

Entry = dict[str, Any]

_AUTHORS = (
    *("back row", "matinee", "paper ticket", "projector", "second reel", "late show", "aisle seat"),
    *("double bill", "intermission", "front row", "end credits", "popcorn stand"),
)


def reviews(catalogue: Catalogue, film: Film, ask: Ask) -> Entry:
    """Return one page of reviews in TMDB's shape; they are in English only."""
    everything = film_reviews(catalogue, film, ask.origin) if is_english(ask.language) else []
    found, body = paged(everything, ask.page)
    body["results"] = found
    return body


def film_reviews(catalogue: Catalogue, film: Film, origin: str) -> list[Entry]:
    """Return all reviews of the film; `origin` is the address under which they can be read."""
    if film.vote_count < 100 or not film.release_date:
        return []
    return [
        _review(catalogue, film, number, origin) for number in range(draw("reviews", film.id) % 5)
    ]


def find_review(catalogue: Catalogue, review_id: str, origin: str) -> tuple[Film, Entry] | None:
    """Return the film and the review with the id, which begins with the film's id."""
    try:
        film = catalogue.by_id.get(int(review_id[:8], 16))
    except ValueError:
        return None
    for entry in film_reviews(catalogue, film, origin) if film else []:
        if film and entry["id"] == review_id:
            return film, entry
    return None


def _review(catalogue: Catalogue, film: Film, number: int, origin: str) -> Entry:
    author = _AUTHORS[(draw("author", film.id) + 5 * number) % len(_AUTHORS)]
    username = author.replace(" ", "_")
    # Everybody is within two points of the average; a few people give no points.
    shift = draw("rating", film.id, number) % 5 - 2
    rating = min(10.0, max(1.0, float(round(film.vote_average) + shift)))
    released = date.fromisoformat(film.release_date)
    written = (released + timedelta(days=7 + draw("day", film.id, number) % 700)).isoformat()
    review_id = f"{film.id:08x}{hex_id(film.id, 'review', number)[8:]}"
    return {
        "author": author,
        "author_details": {
            "name": author.title(),
            "username": username,
            "avatar_path": None,
            "rating": None if draw("rated", film.id, number) % 6 == 0 else rating,
        },
        "content": _content(catalogue, film, shift, number),
        "created_at": f"{written}T18:30:00.000Z",
        "id": review_id,
        "updated_at": f"{written}T18:30:00.000Z",
        "url": f"{origin}/3/review/{review_id}",
    }


def _content(catalogue: Catalogue, film: Film, shift: int, number: int) -> str:
    noun = prose.genre_noun(film)
    sentences = [
        (
            f"{film.title} left me cold.",
            f"I wanted more from this {noun}.",
            f"A solid {noun}, no more and no less.",
            f"{film.title} is better than I expected.",
            f"One of the best evenings I had with {prose.with_article(noun)}.",
        )[shift + 2]
    ]
    names = [catalogue.people[member.person_id].name for member in film.cast]
    if names and shift >= 0:
        sentences.append(f"{names[number % len(names)]} is the reason to watch it.")
    words = prose.themes(catalogue, film)
    if words:
        word = words[(number + 1) % len(words)]
        sentences.append(
            f"What it has to say about {word} stays with you."
            if shift > 0
            else f"It could have made more of {word}."
        )
    if film.runtime:
        pace = "flew by" if shift > 0 else "felt long"
        sentences.append(f"Its {film.runtime} minutes {pace}.")
    return " ".join(sentences)
