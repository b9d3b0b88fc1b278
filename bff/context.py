"""The request at hand: its id, its deadline and what it waited for.

Held in a context variable, so that worker threads, which run in a copy of the
request's context, see the same values. Knows nothing of Flask.
"""

from __future__ import annotations

import time
from contextvars import ContextVar
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment of the monotonic clock (seconds) by which an answer must be there."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """Return the deadline that lies `seconds` from now."""
        return cls(time.monotonic() + seconds)

    def left_s(self) -> float:
        """Return the seconds that are left; negative once it has passed."""
        return self.at - time.monotonic()


@dataclass(frozen=True, slots=True)
class Timing:
    """One upstream call as `Server-Timing` shows it; `outcome` is `hit` for a cached answer."""

    upstream: str
    operation: str
    outcome: str
    duration_ms: float = 0.0


@dataclass(slots=True)
class RequestContext:
    """What belongs to one request. `timings` is appended to by worker threads (atomic).

    `arrived` is a moment of the monotonic clock. `user` and `revision` are set
    once, in the request's own thread: who asks, and the revision of their
    library that they know of (0: of none).
    """

    request_id: str
    deadline: Deadline
    timings: list[Timing] = field(default_factory=list)
    background: bool = False
    arrived: float = 0.0
    user: str | None = None
    revision: int = 0

    def within(self, seconds: float) -> RequestContext:
        """Return the same request with a deadline at most `seconds` from now."""
        at = min(self.deadline.at, time.monotonic() + seconds)
        return replace(self, deadline=Deadline(at))

    def apart(self, seconds: float) -> RequestContext:
        """Return work for others as well: it ends `seconds` from now, whoever asked first."""
        return replace(self, deadline=Deadline.after(seconds))

    def behind(self) -> RequestContext:
        """Return work in the background: no answer waits for it, so it has its own timings."""
        return replace(self, timings=[], background=True)


_NONE = RequestContext("-", Deadline(float("inf")))
_current: ContextVar[RequestContext] = ContextVar("bff_request", default=_NONE)


def current() -> RequestContext:
    """Return the context of the request at hand, or an endless one outside of any request."""
    return _current.get()


def enter(context: RequestContext) -> None:
    """Make `context` the current one, for this thread and for tasks that copy its context."""
    _current.set(context)
