"""bff/schemas/base.py: what holds for every answer."""

from __future__ import annotations

from typing import Any

import pytest

from bff.schemas import tmdb
from bff.schemas.base import AnswerSchema, Malformed
from bff.schemas.reading import reader
from tests.bff.schemas.validator import Validator


@pytest.mark.parametrize("tag", [None, "unknown", 5, [], {}])
def test_union_when_its_tag_is_unknown_then_it_is_malformed(tag: Any) -> None:
    """What is neither film, series nor person is not guessed at."""
    with pytest.raises(Malformed):
        reader(tmdb.MultiResultSchema)({"id": 1, "media_type": tag})


def test_answer_when_a_field_is_left_out_then_it_is_not_as_documented() -> None:
    """Every field is always present, so that a client need not ask whether it is."""

    class FilmSchema(AnswerSchema):
        """A film."""

        number = tmdb.tmdb_id("film")

    assert Validator(FilmSchema).is_valid({"number": 550})
    assert not Validator(FilmSchema).is_valid({})
