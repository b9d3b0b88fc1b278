"""Runs the calls of a plan side by side, under the one deadline of the request."""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

from bff import context
from bff.errors import NotFound, UpstreamError, from_outcome
from bff.model import Call, Failed, Missing, Ok, Outcome, Outcomes, Plan
from bff.observability import metrics
from bff.readiness import Checks, check
from bff.steps import Task, together

T = TypeVar("T")


class FanOut:
    """One pool of threads for the whole process.

    Thread-safe. Lives as long as the app; `close` ends it. The bulkheads of
    the upstreams have together no more slots than the pool has threads, and a
    call takes its slot before it takes a thread: so the pool's queue, which
    has no bound of its own, stays empty. Called from request threads only; a
    task never submits to its own pool and waits, which would deadlock it.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._closed = False
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="fan-out")
        metrics.POOL_THREADS.set(threads)

    def run(self, plan: Plan) -> Outcomes:
        """Make the calls and return an outcome for each name of the plan.

        What is in memory is taken as it is. This thread, which would only wait, makes
        the calls that it can make side by side; the pool makes the others. A call of
        the pool that is not done at the deadline is left to itself; its own timeout ends
        it and gives its slot back. An exception that is no upstream's failure is a bug
        and is raised.
        """
        outcomes: Outcomes = {}
        unknown: list[str] = []
        for name, call in plan.items():
            known = call.peek()
            if known is not None:
                outcomes[name] = known
            else:
                unknown.append(name)
        futures: dict[str, Future[Any]] = {}
        tasks: list[Task[Any]] = []
        try:
            for name in unknown:
                task = plan[name].here(last=name == unknown[-1] and not tasks)
                if task is not None:
                    tasks.append(task)
                futures[name] = task.future if task else plan[name].start()
        finally:  # others may wait for them by now
            together(tasks)
        for name, future in futures.items():
            if not future.done():
                # Cheaper than concurrent.futures.wait, and ends at the same moment.
                with suppress(TimeoutError, CancelledError):
                    future.exception(max(0.0, context.current().deadline.left_s()))
            outcomes[name] = _outcome(plan[name], future)
        return {name: outcomes[name] for name in plan}

    def one(self, call: Call[T]) -> Ok[T]:
        """Make one call under the deadline; raise what it raises."""
        outcome = self.run({"one": call})["one"]
        if isinstance(outcome, Failed):
            raise from_outcome(outcome)
        if isinstance(outcome, Missing):
            raise NotFound(outcome.upstream, outcome.what)
        return outcome

    def submit(self, task: Callable[..., T], *args: Any) -> Future[T]:
        """Start `task` in the pool, in a copy of the caller's context."""
        future = self._pool.submit(contextvars.copy_context().run, task, *args)
        metrics.POOL_TASKS.inc()
        future.add_done_callback(lambda _: metrics.POOL_TASKS.dec())
        return future

    def health(self) -> Checks:
        """Return what readiness tells; a pool that is closed can do no work any more."""
        if self._closed:
            closing = check("closed", False, kind="system", output="the process is ending")
            return {"pool:state": [{**closing, "status": "fail"}]}
        waiting = self._pool._work_queue.qsize()  # noqa: SLF001 - it has no other way to tell
        unit = f"tasks that wait for one of {self.threads} threads"
        return {"pool:waiting": [check(waiting, waiting == 0, kind="system", unit=unit)]}

    def close(self) -> None:
        """End the pool: what is queued is dropped, what runs is left to its own timeout."""
        self._closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)


def _outcome(call: Call[Any], future: Future[Any]) -> Outcome[Any]:
    try:
        return call.finish(future)
    except (UpstreamError, NotFound) as error:
        return error.outcome()
