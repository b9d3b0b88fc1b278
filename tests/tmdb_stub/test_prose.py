"""Texts of the project's own: readable, and not TMDB's."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.tmdb_stub.conftest import Get
from tmdb_stub import prose
from tmdb_stub.catalogue import Catalogue


def test_overview_when_composed_for_every_film_then_is_readable(catalogue: Catalogue) -> None:
    """Full sentences, no gaps, the same at every call; empty only where little is known."""
    texts = {film.id: prose.overview(catalogue, film) for film in catalogue.films}
    for film in catalogue.films:
        text = texts[film.id]
        assert bool(text) == bool(film.genre_ids and film.release_date)
        assert not re.search(r"  |\bNone\b|,,|, \.|\ba [aeiou]|[{}]| of \.| in \.", text), text
        assert not text or (text[-1] in ".!?…" and text[0] == text[0].upper()), text
        if film.director_ids and text:
            assert catalogue.people[film.director_ids[0]].name in text
    assert len({text.split(" ")[0] for text in texts.values()}) > 50
    assert texts[155] == prose.overview(catalogue, catalogue.by_id[155])


@pytest.mark.parametrize(
    ("film", "name"),
    [
        (550, "movie-id-550__jdrouet-tmdb-api"),
        (348, "movie-id-348__krelinga-go-tmdb"),
        (120, "movie-id-120_append-to-response-many__kiwilan-php-tmdb"),
    ],
)
def test_overview_when_compared_then_is_not_tmdbs(
    get: Get, recorded: Callable[[str], Any], film: int, name: str
) -> None:
    """Where TMDB's own text is recorded, ours shares no run of six words with it."""

    def runs(text: str) -> set[tuple[str, ...]]:
        words = text.lower().split()
        return {tuple(words[start : start + 6]) for start in range(len(words) - 5)}

    ours = get(f"/movie/{film}")["overview"]
    assert ours
    assert not runs(ours) & runs(recorded(name)["overview"])
