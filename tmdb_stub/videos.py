"""Videos of a film. The facts name none, so most films have none here.

A real key would play somebody else's video, and an invented one of YouTube's length might. The few
records that exist let a frontend draw its row of trailers; their keys are longer than YouTube's
eleven characters, so that they lead nowhere.
"""

from __future__ import annotations

from typing import Any

from tmdb_stub.catalogue import Film
from tmdb_stub.ids import draw, hex_id
from tmdb_stub.shapes import is_english


def videos(film: Film, language: str) -> list[dict[str, Any]]:
    """Return the entries of `results`: a trailer for one well-known film in four, in English."""
    if film.vote_count < 1000 or draw("video", film.id) % 4 or not is_english(language):
        return []
    return [
        {
            "iso_639_1": "en",
            "iso_3166_1": "US",
            "name": f"{film.title} (no video behind this record)",
            "key": f"stub-trailer-{film.id}",
            "site": "YouTube",
            "size": 1080,
            "type": "Trailer",
            "official": False,
            "published_at": f"{film.release_date or '2000-01-01'}T12:00:00.000Z",
            "id": hex_id(film.id, "video"),
        }
    ]
