"""Calls that no cache stands before."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from bff.errors import UpstreamTimeout
from bff.model import Ok
from bff.steps import Steps, Task, alone
from bff.upstream.guard import Guard


@dataclass(frozen=True)
class DirectCall:
    """A call that always goes out, in a slot of its upstream."""

    guard: Guard
    send: Callable[[], Steps[Any]]

    @property
    def upstream(self) -> str:
        """Name of the upstream that is asked."""
        return self.guard.policy.name

    def peek(self) -> Ok[Any] | None:
        """Know nothing."""
        return None

    def start(self) -> Future[Any]:
        """Have a thread of the pool ask."""
        return self.guard.start(lambda: alone(self.send()))

    def here(self, *, last: bool) -> Task[Any] | None:
        """Return the call as a task for this thread."""
        return self.guard.here(self.send, last=last)

    def finish(self, future: Future[Any]) -> Ok[Any]:
        """Return the answer, or raise."""
        if not future.done():
            raise UpstreamTimeout(self.upstream)
        return Ok(future.result())
