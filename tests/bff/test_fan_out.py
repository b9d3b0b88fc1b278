"""bff/fan_out.py: side by side, under one deadline, with nothing hidden."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import pytest

from bff import context
from bff.context import Deadline, RequestContext
from bff.errors import CircuitOpen, NotFound, RateLimited, Unreachable, UpstreamTimeout
from bff.fan_out import FanOut
from bff.model import Failed, Missing, Ok, Reason
from bff.steps import Steps, Task, Wait

PATIENCE_S = 10  # how long a test waits for what never comes, before it fails


@pytest.fixture
def pool() -> Iterator[FanOut]:
    """A pool of eight threads."""
    made = FanOut(8)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _request() -> Iterator[None]:
    """Each test is a request with time enough."""
    context.enter(RequestContext("test-request", Deadline.after(PATIENCE_S)))
    yield
    context.enter(RequestContext("-", Deadline(float("inf"))))


@dataclass
class Work:
    """A call that does `action`, in the pool or, with `shares`, in the caller's thread.

    `known` is what is in memory.
    """

    pool: FanOut
    action: Callable[[], Any]
    known: Ok[Any] | None = None
    upstream: str = "tmdb"
    shares: bool = False
    asked: list[bool] = field(default_factory=list)

    def peek(self) -> Ok[Any] | None:
        return self.known

    def here(self, *, last: bool) -> Task[Any] | None:
        self.asked.append(last)
        return Task(self._steps()) if self.shares else None

    def _steps(self) -> Steps[Any]:
        yield Wait(0)
        return self.action()

    def start(self) -> Future[Any]:
        return self.pool.submit(self.action)

    def finish(self, future: Future[Any]) -> Ok[Any]:
        if not future.done():
            raise UpstreamTimeout(self.upstream)
        return Ok(future.result())


def failing(error: Exception) -> Callable[[], None]:
    """Return an action that raises."""

    def action() -> None:
        raise error

    return action


def test_run_when_there_are_eight_calls_then_all_are_in_flight_at_once(pool: FanOut) -> None:
    """Each call waits for the seven others: one after the other, none would ever return."""
    together = threading.Barrier(8)
    plan = {str(n): Work(pool, lambda: together.wait(PATIENCE_S)) for n in range(8)}

    outcomes: dict[str, Any] = pool.run(plan)

    assert sorted(outcome.value for outcome in outcomes.values()) == list(range(8))


def test_run_when_calls_end_in_another_order_then_outcomes_are_in_the_plans(pool: FanOut) -> None:
    """The order of sections is that of the plan, not of the upstreams."""
    first_may_end = threading.Event()
    plan = {
        "slow": Work(pool, lambda: first_may_end.wait(PATIENCE_S)),
        "known": Work(pool, lambda: None, known=Ok("memory")),
        "quick": Work(pool, first_may_end.set),
    }

    assert list(pool.run(plan)) == ["slow", "known", "quick"]


def test_run_when_the_answer_is_in_memory_then_no_thread_is_used(pool: FanOut) -> None:
    """A hit is taken where it is found."""
    action = failing(AssertionError("a known answer was asked for"))

    assert pool.run({"known": Work(pool, action, known=Ok("memory"))}) == {"known": Ok("memory")}
    assert not pool._pool._threads


def test_run_when_calls_can_share_a_thread_then_it_is_that_of_the_request(pool: FanOut) -> None:
    """The pool makes the others; each call is told whether it would have the thread to itself."""
    plan = {
        "first": Work(pool, threading.get_ident),
        "known": Work(pool, failing(AssertionError()), known=Ok(3)),
        "second": Work(pool, threading.get_ident, shares=True),
        "third": Work(pool, threading.get_ident, shares=True),
    }
    outcomes: dict[str, Any] = pool.run(plan)
    own = threading.get_ident()
    assert outcomes["first"].value != own
    assert [outcomes[name].value for name in ("second", "third")] == [own, own]
    assert [work.asked for work in plan.values()] == [[False], [], [False], [False]]


def test_run_when_nothing_else_is_done_in_this_thread_then_the_last_call_may_hold_it_up(
    pool: FanOut,
) -> None:
    """The others are out by then; what is in memory is no call."""
    plan = {
        "first": Work(pool, lambda: 1),
        "last": Work(pool, lambda: 2),
        "known": Work(pool, failing(AssertionError()), known=Ok(3)),
    }
    assert pool.run(plan) == {"first": Ok(1), "last": Ok(2), "known": Ok(3)}
    assert [work.asked for work in plan.values()] == [[False], [True], []]


def test_run_when_the_deadline_passes_then_what_is_not_there_has_failed(pool: FanOut) -> None:
    """A slow call costs the deadline; the quick ones beside it are kept."""
    context.enter(RequestContext("r", Deadline.after(0.2)))
    go = threading.Event()
    plan = {
        "slow": Work(pool, lambda: go.wait(PATIENCE_S), upstream="users"),
        "quick": Work(pool, lambda: 1),
    }
    started = time.monotonic()
    try:
        outcomes = pool.run(plan)
    finally:
        go.set()

    assert time.monotonic() - started < PATIENCE_S / 2
    assert outcomes == {"slow": Failed("users", Reason.TIMEOUT), "quick": Ok(1)}


def test_run_when_a_call_was_abandoned_then_its_thread_serves_again(pool: FanOut) -> None:
    """What was left behind ends by itself and gives its thread back."""
    go, ended = threading.Event(), threading.Event()

    def slow() -> None:
        go.wait(PATIENCE_S)
        ended.set()

    context.enter(RequestContext("r", Deadline.after(0.01)))
    pool.run({"slow": Work(pool, slow)})
    go.set()
    assert ended.wait(PATIENCE_S)

    context.enter(RequestContext("r", Deadline.after(PATIENCE_S)))
    together = threading.Barrier(8)
    plan = {str(n): Work(pool, lambda: together.wait(PATIENCE_S)) for n in range(8)}
    assert all(isinstance(outcome, Ok) for outcome in pool.run(plan).values())


def test_run_when_no_time_is_left_then_it_does_not_wait(pool: FanOut) -> None:
    """A request that came too late is told so at once."""
    context.enter(RequestContext("r", Deadline.after(-1)))
    go = threading.Event()
    try:
        outcomes = pool.run({"late": Work(pool, lambda: go.wait(PATIENCE_S))})
    finally:
        go.set()

    assert outcomes == {"late": Failed("tmdb", Reason.TIMEOUT)}


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (CircuitOpen("tmdb", retry_after_s=2.1), Failed("tmdb", Reason.CIRCUIT_OPEN, 3)),
        (Unreachable("users"), Failed("users", Reason.UNREACHABLE)),
        (NotFound("tmdb", "film 5"), Missing("tmdb", "film 5")),
    ],
)
def test_run_when_an_upstream_fails_then_it_is_an_outcome(
    pool: FanOut, error: Exception, outcome: Failed | Missing
) -> None:
    """A missing part of a page is data."""
    plan = {"a": Work(pool, failing(error)), "b": Work(pool, lambda: 1)}

    assert pool.run(plan) == {"a": outcome, "b": Ok(1)}


def test_run_when_a_call_has_a_bug_then_it_is_raised(pool: FanOut) -> None:
    """Only an upstream's own failure may hide in a section."""
    plan = {"a": Work(pool, lambda: 1), "b": Work(pool, failing(KeyError("planted")))}

    with pytest.raises(KeyError, match="planted"):
        pool.run(plan)


def test_run_when_a_thread_works_then_it_sees_the_request(pool: FanOut) -> None:
    """Request id and timings are those of the request, in each thread, and of no other."""
    seen: dict[str, Any] = pool.run({str(n): Work(pool, context.current) for n in range(4)})

    assert all(outcome.value is context.current() for outcome in seen.values())


def test_run_when_a_task_changes_its_context_then_the_request_does_not_notice(
    pool: FanOut,
) -> None:
    """Each task has a copy of its own."""

    def change() -> None:
        context.enter(RequestContext("another", Deadline.after(1)))

    pool.run({"a": Work(pool, change)})

    assert context.current().request_id == "test-request"


def test_run_when_the_plan_is_empty_then_so_are_the_outcomes(pool: FanOut) -> None:
    """A second stage without favourites asks nothing."""
    assert pool.run({}) == {}


def test_one_when_it_works_then_it_is_the_answer_and_else_the_error(pool: FanOut) -> None:
    """A single call raises what a section would hold."""
    assert pool.one(Work(pool, lambda: 7)) == Ok(7)
    with pytest.raises(NotFound) as missing:
        pool.one(Work(pool, failing(NotFound("tmdb", "film 5"))))
    assert missing.value.what == "film 5"
    with pytest.raises(RateLimited) as limited:
        pool.one(Work(pool, failing(RateLimited("tmdb", retry_after_s=4))))
    assert limited.value.retry_after_s == 4


def test_close_when_it_is_called_twice_then_nothing_starts_any_more() -> None:
    """After the end a task is refused, not queued for ever."""
    pool = FanOut(1)
    pool.close()
    pool.close()

    with pytest.raises(RuntimeError):
        pool.submit(lambda: 1)
