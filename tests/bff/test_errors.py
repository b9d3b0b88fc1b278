"""bff/errors.py: each reason has one error, and errors and outcomes are two forms of one thing."""

from __future__ import annotations

import pytest

from bff.errors import ERRORS, NotFound, RateLimited, UpstreamError, from_outcome
from bff.model import Failed, Missing, Reason


@pytest.mark.parametrize("reason", list(Reason))
def test_error_when_it_becomes_an_outcome_then_it_comes_back_the_same(reason: Reason) -> None:
    """Upstream, reason and wait survive the way there and back."""
    failed = ERRORS[reason]("tmdb", "detail", 2.2).outcome()

    assert failed == Failed("tmdb", reason, 3)
    assert from_outcome(failed).outcome() == failed
    assert from_outcome(Failed("tmdb", reason)).retry_after_s is None


@pytest.mark.parametrize(("wait", "told"), [(None, None), (0.0, 1), (0.2, 1), (1.0, 1), (1.01, 2)])
def test_error_when_it_knows_a_wait_then_it_is_rounded_up(
    wait: float | None, told: int | None
) -> None:
    """Nobody is told to come back too early, or at once."""
    assert RateLimited("tmdb", retry_after_s=wait).outcome().retry_after_s == told


def test_errors_when_they_are_counted_then_each_reason_has_one() -> None:
    """No reason is without its error, and no error without its reason; a 404 is no failure."""
    assert set(ERRORS) == set(Reason)
    assert len(UpstreamError.__subclasses__()) == len(Reason)
    assert NotFound("tmdb", "film 5").outcome() == Missing("tmdb", "film 5")
