"""What a fault is, and how one is read from JSON."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

LONGEST_MS = 600_000


class FaultError(ValueError):
    """A fault's description is wrong; `errors` says per key what is wrong with it."""

    def __init__(self, errors: dict[str, list[str]]) -> None:
        self.errors = errors
        super().__init__("; ".join(f"{key}: {' '.join(texts)}" for key, texts in errors.items()))


@dataclass(frozen=True)
class Fault:
    """What happens to the calls that match. Immutable, so safe for every thread.

    A failure is one of `reset`, `garbage`, `status`, `truncate` (the first that is set, in this
    order), before it `hang`. `error_rate` is the share of matching calls that fail (all without
    it); without any failure named, they are answered 500. `latency_ms` and `slow_body_ms` concern
    every matching call. `after` lets the application act before the failure, so that only its
    answer is lost. `times` bounds the matching calls that the fault concerns.
    """

    profile: str = ""
    match: str = ""
    method: str = ""
    times: int | None = None
    latency_ms: float = 0
    error_rate: float | None = None
    status: int | None = None
    retry_after: int | None = None
    hang: bool = False
    reset: bool = False
    garbage: bool = False
    truncate: bool = False
    slow_body_ms: float = 0
    after: bool = False

    @property
    def failure_status(self) -> int | None:
        """The status that failing calls are answered with, None where they fail otherwise."""
        if self.status is not None:
            return self.status
        named = self.hang or self.reset or self.garbage or self.truncate
        return 500 if self.error_rate is not None and not named else None

    def concerns(self, method: str, path: str, base: str) -> bool:
        """Whether a call matches. `/health` does only where `match` names it."""
        if path == "/health" and not self.match.startswith("/health"):
            return False
        if self.method and method != self.method:
            return False
        if path.startswith(self.match):
            return True
        inside = path == base or path.startswith(f"{base}/")
        return bool(base) and inside and path[len(base) :].startswith(self.match)

    def as_json(self) -> dict[str, Any]:
        """Return the keys that differ from a fault that does nothing."""
        nothing = Fault()
        return {key: value for key, value in vars(self).items() if value != getattr(nothing, key)}


PROFILES: dict[str, dict[str, Any]] = {
    "slow": {"latency_ms": 800},
    "flaky": {"error_rate": 0.3},
    "rate_limited": {"status": 429, "retry_after": 2},
    "down": {"status": 503},
    "garbage": {"garbage": True},
}


def _is_number(value: Any) -> bool:
    # JSON's true is an int in Python; NaN and infinity fail the range checks that follow.
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= 500


def _is_path(value: Any) -> bool:
    return _is_text(value) and (value == "" or value.startswith("/"))


def _is_time(value: Any) -> bool:
    return _is_number(value) and 0 <= value <= LONGEST_MS


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


_A_TIME = f"must be a number of milliseconds from 0 to {LONGEST_MS}"
_A_FLAG = "must be true or false"

_CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "profile": (
        lambda value: isinstance(value, str) and value in PROFILES,
        "must be one of " + ", ".join(PROFILES),
    ),
    "match": (_is_path, "must be empty or a path that starts with /"),
    "method": (
        lambda value: isinstance(value, str) and value.isascii() and value.isupper(),
        "must be an HTTP method such as POST",
    ),
    "times": (
        lambda value: _is_integer(value) and 1 <= value <= 1_000_000,
        "must be an integer from 1 to 1000000",
    ),
    "latency_ms": (_is_time, _A_TIME),
    "error_rate": (
        lambda value: _is_number(value) and 0 <= value <= 1,
        "must be a number from 0 to 1",
    ),
    "status": (
        lambda value: _is_integer(value) and 400 <= value <= 599,
        "must be an integer from 400 to 599",
    ),
    "retry_after": (
        lambda value: _is_integer(value) and 0 <= value <= 86_400,
        "must be an integer number of seconds from 0 to 86400",
    ),
    "hang": (_is_flag, _A_FLAG),
    "reset": (_is_flag, _A_FLAG),
    "garbage": (_is_flag, _A_FLAG),
    "truncate": (_is_flag, _A_FLAG),
    "slow_body_ms": (_is_time, _A_TIME),
    "after": (_is_flag, _A_FLAG),
}


def parse(document: object) -> Fault:
    """Read a fault from decoded JSON; raise `FaultError` naming every wrong key.

    A `profile` sets the keys of its kind; keys that stand beside it win.
    """
    if not isinstance(document, dict):
        raise FaultError({"body": ["must be a JSON object"]})
    errors = {
        str(key)[:100]: ["unknown key" if key not in _CHECKS else _CHECKS[key][1]]
        for key, value in document.items()
        if key not in _CHECKS or not _CHECKS[key][0](value)
    }
    if errors:
        raise FaultError(errors)
    fault = Fault(**{**PROFILES.get(document.get("profile", ""), {}), **document})
    if fault.retry_after is not None and fault.failure_status is None:
        raise FaultError({"retry_after": ["needs status or error_rate"]})
    return fault
