"""Calls that no cache stands before."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from bff.errors import UpstreamTimeout
from bff.model import Ok
from bff.upstream.guard import Guard


@dataclass(frozen=True)
class DirectCall:
    """A call that always goes out, in a slot of its upstream."""

    guard: Guard
    send: Callable[[], Any]

    @property
    def upstream(self) -> str:
        """Name of the upstream that is asked."""
        return self.guard.policy.name

    def peek(self) -> Ok[Any] | None:
        """Know nothing."""
        return None

    def start(self, *, here: bool = False) -> Future[Any]:
        """Begin to ask; `here`: ask in this thread."""
        return self.guard.start(self.send, here=here)

    def finish(self, future: Future[Any]) -> Ok[Any]:
        """Return the answer, or raise."""
        if not future.done():
            raise UpstreamTimeout(self.upstream)
        return Ok(future.result())
