"""The way out to one upstream: bulkhead, retry budget, probe gate, breaker, timeout, socket.

Every call to the upstream passes here, and every way it can fail leaves here
as one of the errors of `bff.errors`.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import requests

from bff import context
from bff.context import Timing
from bff.errors import (
    BadResponse,
    RateLimited,
    Saturated,
    Unreachable,
    UpstreamError,
    UpstreamFailed,
    UpstreamTimeout,
)
from bff.observability import metrics
from bff.observability.logs import event
from bff.readiness import Checks, check
from bff.steps import Steps, Task, Wait, alone
from bff.tracing import Passing, Tracer
from bff.upstream.answers import Answer, BadAnswer
from bff.upstream.board import Board, NoBoard
from bff.upstream.breaker import Breaker, BreakerPolicy, CutShort, NoBreaker
from bff.upstream.governor import Governor
from bff.upstream.retry import RetryBudget
from bff.upstream.wire import Wire

log = logging.getLogger(__name__)
T = TypeVar("T")

RETRYABLE_STATUS = (502, 503, 504)
RETRY_PAUSE_S = 0.1
PAUSE_S = 1.0  # after a 429 that does not say how long
MOST_PAUSE_S = 86_400  # what a Retry-After is taken for at the most


@dataclass(frozen=True)
class Policy:
    """How one upstream is treated. `breaker` None: no circuit breaker."""

    name: str
    timeout_s: float
    slots: int
    breaker: BreakerPolicy | None


Reply = Answer  # one below 500


class _Unavailable(UpstreamFailed):
    """The upstream answered that it cannot just now, so that asking again may help."""


class Bulkhead:
    """At most `slots` calls to one upstream at once; one more is refused, it never queues."""

    def __init__(self, upstream: str, slots: int) -> None:
        self.slots = slots
        self.in_flight = 0
        self._upstream = upstream
        self._lock = threading.Lock()
        self._gauge = metrics.CALLS_IN_FLIGHT.labels(upstream)
        metrics.SLOTS.labels(upstream).set(slots)

    def take(self) -> None:
        """Take a slot, or raise `Saturated`."""
        with self._lock:
            if self.in_flight >= self.slots:
                raise Saturated(self._upstream, retry_after_s=1)
            self.in_flight += 1
            self._gauge.set(self.in_flight)

    def give(self) -> None:
        """Give a slot back."""
        with self._lock:
            self.in_flight -= 1
            self._gauge.set(self.in_flight)


class Guard:
    """Sends requests to one upstream. Thread-safe; lives as long as the app.

    `submit` starts a task in the pool. `governor` keeps the calls below the
    upstream's ceiling, where it has one; `board` shares open circuits; the
    calls go through `proxy`, where there is one.
    """

    def __init__(
        self,
        policy: Policy,
        submit: Callable[..., Future[Any]],
        governor: Governor | None = None,
        board: Board | None = None,
        tracer: Tracer | None = None,
        proxy: str = "",
    ) -> None:
        self.policy = policy
        self._tracer = tracer or Passing()
        self._submit, self._governor, self._board = submit, governor, board or NoBoard()
        self._wire = Wire(policy.slots, proxy)
        self.bulkhead = Bulkhead(policy.name, policy.slots)
        self._budget = RetryBudget()
        self._breakers: dict[str, Breaker] = {}
        self._lock = threading.Lock()
        self.last_success: datetime | None = None

    def breakers(self) -> list[Breaker]:
        """Return the circuits, one for each class of operation that was called."""
        return list(self._breakers.values())

    def health(self) -> Checks:
        """Return what readiness tells: circuits, last success and calls in flight."""
        name, bulkhead, moment = self.policy.name, self.bulkhead, self.last_success
        circuits = [
            check(state, state == "closed", of=breaker.operation, kind="component")
            for breaker in self.breakers()
            for state in (breaker.state,)
        ]
        return {
            f"{name}:circuit": circuits,
            f"{name}:last_success": [
                check(moment and moment.strftime("%Y-%m-%dT%H:%M:%SZ"), kind="component")
            ],
            f"{name}:in_flight": [
                check(
                    bulkhead.in_flight,
                    bulkhead.in_flight < bulkhead.slots,
                    kind="component",
                    unit=f"calls of {bulkhead.slots}",
                )
            ],
        }

    def close(self) -> None:
        """Close the connections."""
        self._wire.close()

    def start(self, task: Callable[..., T], *args: Any) -> Future[T]:
        """Have a thread of the pool do `task`, in a slot of the bulkhead.

        Everything that the task does has the upstream's timeout, and not more
        than is left of the request's deadline. Without a slot, or without a
        thread because the process ends, the future has failed with `Saturated`.
        """
        try:
            self.bulkhead.take()
        except Saturated as error:
            return self._turned_away(error)
        try:
            future = self._submit(self._within, task, *args)
        except RuntimeError:  # the pool is closed, or the system gives no more threads
            self.bulkhead.give()
            return self._turned_away(Saturated(self.policy.name, "no thread", 1))
        except BaseException:
            self.bulkhead.give()
            raise
        future.add_done_callback(self._never_ran)
        return future

    def _turned_away(self, error: Saturated) -> Future[Any]:
        self._count_away(error)
        future: Future[Any] = Future()
        future.set_exception(error)
        return future

    def _count_away(self, error: Saturated) -> None:
        metrics.call_of(self.policy.name, "-", error.reason.value).inc()

    def _within(self, task: Callable[..., T], *args: Any) -> T:
        # The slot is given back before anybody sees the result: who has it may call again.
        try:
            context.enter(context.current().within(self.policy.timeout_s))
            return task(*args)
        finally:
            self.bulkhead.give()

    def _never_ran(self, future: Future[Any]) -> None:
        if future.cancelled():
            self.bulkhead.give()

    def here(self, steps: Callable[[], Steps[T]], *, last: bool) -> Task[T] | None:
        """Return a task that does `steps` as `start` would, in the thread that drives it.

        None where it would hold up the tasks beside it, because it has to connect;
        as the `last` one it may.
        """
        return Task(self._in_slot(steps)) if last or self._wire.idle() else None

    def _in_slot(self, steps: Callable[[], Steps[T]]) -> Steps[T]:
        try:
            self.bulkhead.take()
        except Saturated as error:
            self._count_away(error)
            raise
        try:
            context.enter(context.current().within(self.policy.timeout_s))
            return (yield from steps())
        finally:
            self.bulkhead.give()

    def send(
        self, operation: str, request: requests.PreparedRequest, read: Callable[[Reply], T]
    ) -> T:
        """Do the steps of `sending` in this thread."""
        return alone(self.sending(operation, request, read))

    def sending(
        self, operation: str, request: requests.PreparedRequest, read: Callable[[Reply], T]
    ) -> Steps[T]:
        """Send `request`, and return what `read` makes of the answer.

        `read` sees answers below 500 only and raises `BadResponse` where one
        is not what was asked for. A GET may be sent twice, anything else never.
        Raises `UpstreamError`. Done inside of a task of `start` or of `here`.
        """
        try:
            return (yield from self._attempt(operation, request, read, self._budget.call))
        except (Unreachable, _Unavailable) as error:
            pause_s = random.uniform(0, RETRY_PAUSE_S)  # full jitter
            if (
                request.method != "GET"
                or error.retry_after_s is not None
                or context.current().deadline.left_s() <= pause_s
                or not self._budget.retry()
            ):
                raise
        yield Wait(time.monotonic() + pause_s)
        return (yield from self._attempt(operation, request, read))

    def _attempt(
        self,
        operation: str,
        request: requests.PreparedRequest,
        read: Callable[[Reply], T],
        goes_out: Callable[[], None] = lambda: None,
    ) -> Steps[T]:
        started, name = time.monotonic(), self.policy.name
        outcome = "ok"
        try:
            breaker = self._breaker(operation)
            breaker.check()
            ticket = None if self._governor is None else (yield from self._governor.turn())
            try:
                with breaker.calling(), self._tracer.calling(name, operation) as headers:
                    request.headers.update(headers)
                    goes_out()
                    reply = yield from self._exchange(request)
                    value = read(reply) if reply.status < 400 else None
            finally:
                if self._governor is not None and ticket is not None:
                    self._governor.done(ticket)
            self.last_success = datetime.now(UTC)
            if reply.status >= 400:
                # An answer that concerns the request, not the upstream's health: it is
                # looked at outside the breaker.
                value = self._refused(reply, read)
        except Exception as error:
            outcome = error.reason.value if isinstance(error, UpstreamError) else "refused"
            raise
        else:
            return value  # type: ignore[return-value]
        finally:
            self._note(operation, outcome, (time.monotonic() - started) * 1000)

    def _refused(self, reply: Reply, read: Callable[[Reply], T]) -> T:
        if reply.status == 429:
            wait_s = _retry_after_s(reply.headers) or PAUSE_S
            if self._governor is not None:
                self._governor.pause(wait_s)
            raise RateLimited(self.policy.name, retry_after_s=wait_s)
        if reply.status in (401, 403):
            raise UpstreamFailed(self.policy.name, "credential refused")
        return read(reply)

    def _breaker(self, operation: str) -> Breaker | NoBreaker:
        if self.policy.breaker is None:
            return NoBreaker()
        breaker = self._breakers.get(operation)
        if breaker is None:
            made = Breaker(self.policy.name, operation, self.policy.breaker, self._board)
            with self._lock:
                breaker = self._breakers.setdefault(operation, made)
        return breaker

    def _exchange(self, request: requests.PreparedRequest) -> Steps[Reply]:
        """Send and read to the end, inside the deadline; translate what goes wrong."""
        name = self.policy.name
        timeout_s = min(self.policy.timeout_s, context.current().deadline.left_s())
        if timeout_s <= 0:
            raise CutShort(name, "no time left")
        try:
            answer = yield from self._wire.sending(request, timeout_s=self.policy.timeout_s)
        except TimeoutError as error:
            raise self._late(timeout_s) from error
        except OSError as error:
            raise Unreachable(name) from error
        except BadAnswer as error:
            raise BadResponse(name, str(error)) from error
        if answer.status >= 500:
            kind = _Unavailable if answer.status in RETRYABLE_STATUS else UpstreamFailed
            raise kind(name, f"status {answer.status}", _retry_after_s(answer.headers))
        return answer

    def _late(self, timeout_s: float) -> UpstreamTimeout:
        """Return what a timeout after `timeout_s` means."""
        # A request that came with little time left proves nothing against the upstream.
        kind = CutShort if timeout_s < self.policy.timeout_s / 2 else UpstreamTimeout
        return kind(self.policy.name)

    def _note(self, operation: str, outcome: str, duration_ms: float) -> None:
        name = self.policy.name
        context.current().timings.append(Timing(name, operation, outcome, duration_ms))
        metrics.call_of(name, operation, outcome).inc()
        metrics.call_seconds_of(name).observe(duration_ms / 1000)
        event(
            log,
            logging.DEBUG if outcome in ("ok", "refused") else logging.WARNING,
            "upstream.call",
            upstream=name,
            operation=operation,
            outcome=outcome,
            duration_ms=round(duration_ms, 1),
        )


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Read Retry-After (RFC 9110 section 10.2.3), in seconds or as a date; None where unclear."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(min(int(text[:9]), MOST_PAUSE_S))
    try:
        moment = parsedate_to_datetime(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        wait_s = (moment - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError, IndexError, OverflowError):  # the parser raises all of them
        return None
    return max(0.0, min(wait_s, MOST_PAUSE_S))
