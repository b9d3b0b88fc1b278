"""Runs the calls of a plan side by side in one thread pool, under the deadline of the request."""

from __future__ import annotations

import contextvars
import logging
import threading
from collections.abc import Mapping
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import Any, TypeVar

from bff import context
from bff.errors import NotFound, Saturated, UpstreamError, UpstreamTimeout, from_outcome
from bff.model import Call, Failed, Missing, Ok, Outcome, Outcomes, Plan
from bff.observability import logs, metrics
from bff.readiness import Checks, check

log = logging.getLogger(__name__)
T = TypeVar("T")


class Bulkhead:
    """At most `slots` calls to one upstream at once; one more is refused, it never queues."""

    def __init__(self, upstream: str, slots: int) -> None:
        self.upstream, self.slots, self.in_flight = upstream, slots, 0
        self._lock = threading.Lock()
        self._gauge = metrics.CALLS_IN_FLIGHT.labels(upstream)
        metrics.SLOTS.labels(upstream).set(slots)

    def take(self) -> None:
        """Take a slot, or raise `Saturated`."""
        with self._lock:
            if self.in_flight >= self.slots:
                raise Saturated(self.upstream, retry_after_s=1)
            self.in_flight += 1
            self._gauge.set(self.in_flight)

    def give(self) -> None:
        """Give a slot back."""
        with self._lock:
            self.in_flight -= 1
            self._gauge.set(self.in_flight)


class FanOut:
    """One pool of threads for the whole process.

    Thread-safe. Lives as long as the app; `close` ends it. `slots` bounds the calls of each
    upstream; together they have no more slots than the pool has threads. A call takes its
    slot before it takes a thread, so the pool's queue stays empty and a slow upstream
    cannot keep threads from another one. Calls with the same key share one flight, and
    those who join it take neither slot nor thread. Called from request threads only: a task
    that submits to its own pool and waits would deadlock it.
    """

    def __init__(self, threads: int, slots: Mapping[str, int]) -> None:
        self.bulkheads = {name: Bulkhead(name, count) for name, count in slots.items()}
        self._closed = False
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="fan-out")
        self._flights: dict[str, Future[Ok[Any]]] = {}
        self._lock = threading.Lock()
        metrics.POOL_THREADS.set(threads)

    def run(self, plan: Plan) -> Outcomes:
        """Make the calls and return an outcome for each name of the plan.

        A call that is not done at the deadline is left to itself: its own timeout ends it
        and gives its slot back. An exception that is no upstream's failure is a bug and is
        raised.
        """
        known = {name: call.cached() for name, call in plan.items()}
        futures = {name: self._flight(plan[name]) for name, ok in known.items() if ok is None}
        outcomes = {
            name: known[name] or _outcome(call, futures[name]) for name, call in plan.items()
        }
        for name, outcome in outcomes.items():
            if isinstance(outcome, Ok) and outcome.renew:
                self._refresh(plan[name])
        return outcomes

    def one(self, call: Call[T]) -> Ok[T]:
        """Make one call under the deadline; raise what it raises."""
        outcome = self.run({"one": call})["one"]
        if isinstance(outcome, Failed):
            raise from_outcome(outcome)
        if isinstance(outcome, Missing):
            raise NotFound(outcome.upstream, outcome.what)
        return outcome

    def _refresh(self, call: Call[Any]) -> None:
        """Have what is past its time asked for anew behind the page, if half of the slots are free.

        The others are left to those who wait for an answer.
        """
        bulkhead = self.bulkheads[call.upstream]
        if 2 * bulkhead.in_flight > bulkhead.slots:
            return

        def start() -> Future[Ok[Any]]:
            context.enter(context.current().behind())
            return self._flight(call)

        contextvars.copy_context().run(start)

    def _flight(self, call: Call[T]) -> Future[Ok[T]]:
        """Join the flight of the call's key, or start one."""
        if call.key is None:
            return self._start(call)
        with self._lock:
            flight = self._flights.get(call.key)
            if flight is not None and not flight.done():  # whoever has its result may ask again
                return _joined(flight, call)
            flight = self._flights[call.key] = self._start(call)
        flight.add_done_callback(lambda done: self._land(str(call.key), done))
        return flight

    def _land(self, key: str, flight: Future[Any]) -> None:
        with self._lock:
            if self._flights.get(key) is flight:
                del self._flights[key]

    def _start(self, call: Call[T]) -> Future[Ok[T]]:
        """Have a thread of the pool make the call, in a slot of its upstream."""
        bulkhead = self.bulkheads[call.upstream]
        try:
            bulkhead.take()
            future = self._pool.submit(contextvars.copy_context().run, self._make, call, bulkhead)
        except Saturated as error:
            return _turned_away(error)
        except RuntimeError:
            if self._closed:  # else the system gives no thread: one that is there makes the call
                bulkhead.give()
            return _turned_away(Saturated(call.upstream, "no thread", 1))
        metrics.POOL_TASKS.inc()
        future.add_done_callback(lambda done: self._done(done, bulkhead))
        return future

    def _make(self, call: Call[T], bulkhead: Bulkhead) -> Ok[T]:
        try:
            return call.load()
        except (UpstreamError, NotFound):
            raise
        except Exception as error:
            if context.current().background:  # nobody waits for it who would raise it
                logs.failure(log, "cache.refresh_failed", error, key=call.key)
            raise
        finally:  # before anybody sees the result: who has it may call again
            bulkhead.give()

    def _done(self, future: Future[Any], bulkhead: Bulkhead) -> None:
        metrics.POOL_TASKS.dec()
        if future.cancelled():  # it never ran
            bulkhead.give()

    def health(self) -> Checks:
        """Return what readiness tells: calls in flight; a closed pool can do no more work."""
        checks: Checks = {}
        for name, bulkhead in self.bulkheads.items():
            taken, slots = bulkhead.in_flight, bulkhead.slots
            unit = f"calls of {slots}"
            checks[f"{name}:in_flight"] = [check(taken, taken < slots, kind="component", unit=unit)]
        if self._closed:
            closing = check("closed", False, kind="system", output="the process is ending")
            checks["pool:state"] = [{**closing, "status": "fail"}]
        return checks

    def close(self) -> None:
        """End the pool: what is queued is dropped, what runs is left to its own timeout."""
        self._closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)


def _joined(flight: Future[Ok[T]], call: Call[T]) -> Future[Ok[T]]:
    """Join a flight, unless an answer has come that may be served while others renew it."""
    known = call.cached()
    if known is None:
        metrics.CACHE.labels("joined").inc()
        return flight
    done: Future[Ok[T]] = Future()
    done.set_result(known)
    return done


def _turned_away(error: Saturated) -> Future[Any]:
    metrics.UPSTREAM_CALLS.labels(error.upstream, "-", error.reason.value).inc()
    future: Future[Any] = Future()
    future.set_exception(error)
    return future


def _outcome(call: Call[T], future: Future[Ok[T]]) -> Outcome[T]:
    """Wait for a flight until the deadline and return what it brought."""
    try:
        try:
            return future.result(max(0.0, context.current().deadline.left_s()))
        except UpstreamError as error:
            return call.fallback(error)
        except (TimeoutError, CancelledError):
            return call.fallback(UpstreamTimeout(call.upstream))
    except (UpstreamError, NotFound) as error:
        return error.outcome()
