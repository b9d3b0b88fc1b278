"""W3C trace context: taken in, passed on, and exported where OpenTelemetry is set up.

Without an exporter only the ids travel: a caller's trace goes on through this
service, and the log lines can be found by it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from bff import context

# https://www.w3.org/TR/trace-context/#traceparent-header
_PARENT = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


class Tracer(Protocol):
    """What the service needs of a tracer. Thread-safe."""

    def incoming(self, traceparent: str | None, name: str) -> str:
        """Begin a request's span and return its trace id; empty where there is no trace."""

    def ended(self, route: str, status: int) -> None:
        """End the request's span."""

    def calling(self, upstream: str, operation: str) -> AbstractContextManager[dict[str, str]]:
        """Return what stands around a call; it yields the headers to send."""

    def close(self) -> None:
        """Send what is left."""


class Passing:
    """Passes the caller's trace on; makes no spans."""

    def incoming(self, traceparent: str | None, name: str) -> str:
        """Return the caller's trace id."""
        found = _PARENT.fullmatch(traceparent) if traceparent else None
        if found is None or set(found[1]) == {"0"} or set(found[2]) == {"0"}:
            return ""
        return found[1]

    def ended(self, route: str, status: int) -> None:
        """Do nothing."""

    @contextmanager
    def calling(self, upstream: str, operation: str) -> Iterator[dict[str, str]]:
        """Yield the header that goes on with the caller's trace, if there is one."""
        trace_id = context.current().trace_id
        if not trace_id:
            yield {}
            return
        yield {"traceparent": f"00-{trace_id}-{random.getrandbits(64) or 1:016x}-01"}

    def close(self) -> None:
        """Do nothing."""
