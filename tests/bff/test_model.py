"""bff/model.py: outcomes are values that can be compared and shared between threads."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest

from bff.model import Failed, Missing, Ok, Reason


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Ok({"a": 1}, 1.0, 2.0), Ok({"a": 1}, 1.0, 2.0)),
        (Failed("tmdb", Reason.TIMEOUT, 3), Failed("tmdb", Reason.TIMEOUT, 3)),
        (Missing("tmdb", "film 5"), Missing("tmdb", "film 5")),
    ],
)
def test_outcome_when_it_is_made_twice_then_it_is_equal_and_frozen(one: Any, other: Any) -> None:
    """Pages that share an outcome cannot change it."""
    assert one == other
    with pytest.raises(FrozenInstanceError):
        setattr(one, fields(one)[0].name, None)


def test_reason_when_it_is_written_then_it_is_the_word_of_the_contract() -> None:
    """The words stand in `sections`, in problem documents and in metrics."""
    assert {str(reason) for reason in Reason} == {
        *("timeout", "circuit_open", "saturated", "unreachable", "rate_limited"),
        *("upstream_error", "bad_response"),
    }
