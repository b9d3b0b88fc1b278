"""What each section of a page says about itself."""

from __future__ import annotations

from typing import Any

from bff.errors import NotFound, from_outcome
from bff.model import Failed, Missing, Ok, Outcome, Outcomes, Reason

Json = dict[str, Any]


def required(outcome: Outcome[Any]) -> Any:
    """Return the value; raise the error of a section that the page cannot do without."""
    if isinstance(outcome, Failed):
        raise from_outcome(outcome)
    if isinstance(outcome, Missing):
        raise NotFound(outcome.upstream, outcome.what)
    return outcome.value


def optional(outcome: Outcome[Any]) -> Any:
    """Return the value, or None where the upstream could not say."""
    return outcome.value if isinstance(outcome, Ok) else None


def section(outcome: Outcome[Any]) -> Json:
    """Return {status, reason, age, retry_after} of one outcome; times in whole seconds."""
    if isinstance(outcome, Failed):
        return _section("unavailable", outcome)
    if isinstance(outcome, Missing):  # a part of a page that is always there
        return _section("unavailable", Failed(outcome.upstream, Reason.BAD_RESPONSE))
    if isinstance(outcome, Ok) and outcome.stale_because:
        return _section("stale", outcome.stale_because, int(outcome.age_s))
    return {"status": "ok", "reason": None, "age": None, "retry_after": None}


def sections(outcomes: Outcomes) -> Json:
    """Return the `sections` of a page, in the order of its plan."""
    return {name: section(outcome) for name, outcome in outcomes.items()}


def _section(status: str, failed: Failed, age: int | None = None) -> Json:
    return {
        "status": status,
        "reason": failed.reason.value,
        "age": age,
        "retry_after": failed.retry_after_s,
    }
