"""Values that travel between the layers: the outcome of a call, and what a call is."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from bff.errors import UpstreamError

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Reason(StrEnum):
    """Why an upstream could not say; the words stand in `sections` of every page."""

    TIMEOUT = "timeout"
    CIRCUIT_OPEN = "circuit_open"
    SATURATED = "saturated"
    UNREACHABLE = "unreachable"
    RATE_LIMITED = "rate_limited"
    UPSTREAM_ERROR = "upstream_error"
    BAD_RESPONSE = "bad_response"


_numbers = itertools.count(1)


def new_number() -> int:
    """Return a number that no value of this process had before. Thread-safe."""
    return next(_numbers)


@dataclass(frozen=True, slots=True)
class Failed:
    """The upstream could not say. `retry_after_s`: whole seconds, or None where unknown."""

    upstream: str
    reason: Reason
    retry_after_s: int | None = None


@dataclass(frozen=True, slots=True)
class Ok(Generic[T_co]):
    """An answer.

    `age_s` is the time since the upstream gave it, `fresh_s` how long it stays
    fresh. `stale_because` says why an old answer is served in place of a new
    one; None while the answer is good. `renew`: it is past its time and should be
    asked for anew behind the page. `number` is that of a value that is kept
    in memory (`new_number`): the same number, the same value. 0: it is not kept.
    """

    value: T_co
    age_s: float = 0.0
    fresh_s: float = 0.0
    stale_because: Failed | None = None
    renew: bool = False
    number: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Missing:
    """The upstream answered that there is no such thing: an answer, not a failure."""

    upstream: str
    what: str


@dataclass(frozen=True, slots=True)
class Intent:
    """A write as its caller means it.

    `key` has it done once, however often it is sent, by the caller or by us.
    `fingerprint` stands for what the caller sent, and tells a repetition from another write.
    `repeatable`: the key is the caller's, so that this may be a repetition.
    """

    key: str
    fingerprint: str
    repeatable: bool = False


Outcome = Ok[T] | Failed | Missing


class Call(Protocol[T_co]):
    """A call that is planned and not yet made. Its methods are thread-safe.

    `key` names what is asked for: calls with the same key share one flight.
    None: each caller asks for itself.
    """

    @property
    def upstream(self) -> str:
        """Name of the upstream that is asked."""

    @property
    def key(self) -> str | None:
        """Name of the answer, or None."""

    def cached(self) -> Ok[T_co] | None:
        """Return the answer from memory, or None; never blocks."""

    def load(self) -> Ok[T_co]:
        """Ask for the answer; blocks. Raise `NotFound` or `UpstreamError`."""

    def fallback(self, error: UpstreamError) -> Ok[T_co]:
        """Return an old answer in place of `error`, or raise it; never blocks."""


@dataclass(frozen=True)
class DirectCall:
    """A call that nobody shares; nothing old stands in for its answer."""

    upstream: str
    ask: Callable[[], Any]
    key: None = None

    def cached(self) -> Ok[Any] | None:
        """Know nothing."""
        return None

    def load(self) -> Ok[Any]:
        """Ask."""
        return Ok(self.ask())

    def fallback(self, error: UpstreamError) -> Ok[Any]:
        """Raise `error`."""
        raise error


Plan = dict[str, Call[Any]]
Outcomes = dict[str, Outcome[Any]]
