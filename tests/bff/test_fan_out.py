"""The fan-out: side by side, under one deadline, and no upstream at the cost of another one."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from bff import context
from bff.context import Deadline, RequestContext, Timing
from bff.errors import CircuitOpen, NotFound, RateLimited, Saturated, Unreachable, UpstreamError
from bff.fan_out import FanOut
from bff.model import Failed, Missing, Ok, Reason
from bff.observability import metrics
from tests.bff.upstream.tools import together, until

PATIENCE_S = 20  # how long a test waits for what never comes, before it fails


@pytest.fixture
def pool() -> Iterator[FanOut]:
    """Return eight threads, four for each upstream."""
    made = FanOut(8, {"tmdb": 4, "users": 4})
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _request() -> Iterator[None]:
    """Each test is a request with time enough."""
    begin(PATIENCE_S)
    yield
    context.enter(RequestContext("-", Deadline(float("inf"))))


def begin(left_s: float) -> None:
    """Begin a request that has so much time."""
    context.enter(RequestContext("test-request", Deadline.after(left_s)))


@dataclass
class Work:
    """A call that does `action`; `known` is in memory, `old` stands in for a failure."""

    action: Callable[[], Any]
    upstream: str = "tmdb"
    key: str | None = None
    known: Ok[Any] | None = None
    old: Ok[Any] | None = None

    def cached(self) -> Ok[Any] | None:
        return self.known

    def load(self) -> Ok[Any]:
        return Ok(self.action())

    def fallback(self, error: UpstreamError) -> Ok[Any]:
        if self.old is None:
            raise error
        return self.old


class Held:
    """An action that begins, and ends when it is let go."""

    def __init__(self) -> None:
        self.begun, self._go = threading.Semaphore(0), threading.Event()

    def __call__(self) -> str:
        self.begun.release()
        assert self._go.wait(PATIENCE_S)
        return "done"

    def began(self, times: int = 1) -> bool:
        return all(self.begun.acquire(timeout=PATIENCE_S) for _ in range(times))

    def go(self) -> None:
        self._go.set()


@pytest.fixture
def held() -> Iterator[Held]:
    """Return an action that is let go at the end at the latest."""
    made = Held()
    yield made
    made.go()


def failing(error: BaseException) -> Callable[[], None]:
    """Return an action that raises."""

    def action() -> None:
        raise error

    return action


def in_flight(pool: FanOut) -> list[int]:
    """Return how many slots are taken."""
    return [bulkhead.in_flight for bulkhead in pool.bulkheads.values()]


def abandon(pool: FanOut, action: Held, times: int, upstream: str) -> None:
    """Have so many calls out that nobody waits for any more."""
    begin(0)
    pool.run({str(number): Work(action, upstream) for number in range(times)})
    assert action.began(times)
    begin(PATIENCE_S)


# -- side by side


def test_run_when_there_are_eight_calls_then_all_are_in_flight_at_once(pool: FanOut) -> None:
    """Each waits for the seven others. Nobody joins a call without a key: it is one user's."""
    barrier = threading.Barrier(8)
    plan = {
        str(number): Work(lambda: barrier.wait(PATIENCE_S), ("tmdb", "users")[number % 2])
        for number in range(8)
    }
    outcomes: dict[str, Any] = pool.run(plan)
    assert sorted(outcome.value for outcome in outcomes.values()) == list(range(8))
    assert in_flight(pool) == [0, 0]


def test_run_when_calls_end_in_another_order_then_outcomes_are_in_the_plans(
    pool: FanOut, held: Held
) -> None:
    """Memory answers where every slot is taken, and after the deadline; an empty plan is empty."""
    may_end = threading.Event()
    known = Work(failing(AssertionError("a known answer was asked for")), known=Ok("memory"))
    plan = {"slow": Work(lambda: may_end.wait(20)), "known": known, "quick": Work(may_end.set)}
    assert list(pool.run(plan)) == ["slow", "known", "quick"]
    abandon(pool, held, 4, "tmdb")
    begin(-1)
    assert pool.run({"known": known}) == {"known": Ok("memory")}
    assert in_flight(pool) == [4, 0]
    assert pool.run({}) == {}


def test_run_when_a_thread_works_then_it_sees_the_request_in_a_copy(pool: FanOut) -> None:
    """Id and timings are those of the request; what a task changes, the request does not notice."""

    def change() -> RequestContext:
        seen = context.current()
        begin(1)
        return seen

    before = context.current()
    seen: dict[str, Any] = pool.run({str(number): Work(change) for number in range(4)})
    assert all(outcome.value is before is context.current() for outcome in seen.values())


# -- the deadline


@pytest.mark.parametrize("left_s", [0.2, -1])
def test_run_when_the_deadline_passes_then_what_is_not_there_has_failed(
    pool: FanOut, held: Held, left_s: float
) -> None:
    """What was in memory is kept; what was left behind gives its slot back at its end."""
    begin(left_s)
    plan = {"slow": Work(held, "users"), "quick": Work(held, known=Ok(1))}
    assert pool.run(plan) == {"slow": Failed("users", Reason.TIMEOUT), "quick": Ok(1)}
    assert in_flight(pool) == [0, 1]
    held.go()
    assert until(lambda: in_flight(pool) == [0, 0])


# -- outcomes


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
    assert pool.run({"a": Work(failing(error)), "b": Work(lambda: 1)}) == {"a": outcome, "b": Ok(1)}


def test_run_when_there_is_an_old_answer_then_it_stands_in_for_any_failure_but_not_for_a_404(
    pool: FanOut, held: Held
) -> None:
    """Also where the call was refused, or is not back in time."""
    old = Ok("old")
    failed, missing = failing(Unreachable("tmdb")), failing(NotFound("tmdb", "film 5"))
    assert pool.run({"a": Work(failed, old=old), "b": Work(missing, old=old)}) == {
        "a": old,
        "b": Missing("tmdb", "film 5"),
    }
    abandon(pool, held, 4, "tmdb")
    assert pool.run({"full": Work(lambda: 1, old=old)}) == {"full": old}
    begin(0)
    assert pool.run({"late": Work(held, "users", old=old)}) == {"late": old}


@pytest.mark.parametrize("error", [KeyError("planted"), SystemExit("planted")])
def test_run_when_a_call_has_a_bug_then_it_is_raised_and_its_slot_is_back(
    pool: FanOut, error: BaseException
) -> None:
    """Only an upstream's own failure may hide in a section."""
    with pytest.raises(type(error), match="planted"):
        pool.run({"a": Work(lambda: 1), "b": Work(failing(error))})
    assert in_flight(pool) == [0, 0]


def test_one_when_it_works_then_it_is_the_answer_and_else_the_error(pool: FanOut) -> None:
    """A single call raises what a section would hold."""
    assert pool.one(Work(lambda: 7)) == Ok(7)
    with pytest.raises(NotFound) as missing:
        pool.one(Work(failing(NotFound("tmdb", "film 5"))))
    assert missing.value.what == "film 5"
    with pytest.raises(RateLimited) as limited:
        pool.one(Work(failing(RateLimited("tmdb", retry_after_s=4))))
    assert limited.value.retry_after_s == 4


# -- one flight per key


def joined() -> float:
    """Return how many calls joined a flight so far."""
    return float(metrics.CACHE.labels("joined")._value.get())


def test_run_when_twenty_requests_want_the_same_then_one_call_answers_all(held: Held) -> None:
    """Those who join it take neither slot nor thread: there is one of each."""
    pool, before = FanOut(1, {"tmdb": 1}), joined()

    def ask(number: int) -> Any:
        begin(PATIENCE_S)
        if number == 0:  # lets it go when all have joined
            assert held.began()
            assert until(lambda: joined() == before + 18, PATIENCE_S)
            held.go()
            return None
        return pool.run({"films": Work(held, key="page 1")})["films"]

    results = together(20, ask)
    assert results[1:] == [Ok("done")] * 19
    for number in range(100):  # who has a result may call again: its slot is back
        assert pool.one(Work(lambda n=number: n, key="page 1")) == Ok(number)
    pool.close()


def test_run_when_a_flight_fails_then_each_who_joined_it_has_the_failure_or_their_own_answer(
    pool: FanOut,
) -> None:
    """And the next one flies anew."""
    action = failing(Unreachable("tmdb"))
    plan = {name: Work(action, key="page 1") for name in ("a", "b")}
    plan["c"] = Work(action, key="page 1", old=Ok("old"))
    failed = Failed("tmdb", Reason.UNREACHABLE)
    assert pool.run(plan) == {"a": failed, "b": failed, "c": Ok("old")}
    assert pool.one(Work(lambda: 1, key="page 1")) == Ok(1)


# -- bulkheads


def test_bulkhead_when_its_slots_are_taken_then_the_next_call_is_refused_and_nothing_queues(
    pool: FanOut, held: Held
) -> None:
    """Fifty threads, four slots; the other upstream has all of its own."""
    results = together(
        50, lambda _: (begin(0), pool.run({"a": Work(held, "users", old=None)})["a"])[1]
    )
    assert results.count(Failed("users", Reason.SATURATED, 1)) == 46
    assert results.count(Failed("users", Reason.TIMEOUT)) == 4
    assert held.began(4)
    barrier = threading.Barrier(4)
    plan = {str(number): Work(lambda: barrier.wait(PATIENCE_S)) for number in range(4)}
    assert all(isinstance(outcome, Ok) for outcome in pool.run(plan).values())
    warned = pool.health()["users:in_flight"][0]
    assert (warned["observedValue"], warned["status"]) == (4, "warn")
    held.go()
    assert until(lambda: in_flight(pool) == [0, 0])


def test_close_when_calls_are_queued_then_they_are_dropped_and_give_their_slots_back(
    held: Held,
) -> None:
    """What runs ends by itself; after the end a call is refused; a second time does nothing."""
    pool = FanOut(1, {"tmdb": 3})
    begin(0)
    pool.run({str(number): Work(held) for number in range(3)})
    assert held.began()
    assert in_flight(pool) == [3]
    pool.close()
    assert in_flight(pool) == [1]
    held.go()
    assert until(lambda: in_flight(pool) == [0])
    pool.close()
    begin(PATIENCE_S)
    for _ in range(5):
        with pytest.raises(Saturated):
            pool.one(Work(lambda: 1))
    assert in_flight(pool) == [0]
    assert pool.health()["pool:state"][0]["status"] == "fail"


def test_run_when_the_system_gives_no_more_threads_then_the_call_is_refused_once(
    held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pool keeps it all the same, and its slot is given back once: when it was made."""

    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    pool, made = FanOut(2, {"tmdb": 2}), threading.Event()
    abandon(pool, held, 1, "tmdb")
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        with pytest.raises(Saturated):
            pool.one(Work(made.set))
    held.go()
    assert made.wait(PATIENCE_S)
    assert until(lambda: in_flight(pool) == [0])
    pool.close()


# -- behind the page


def test_run_when_an_answer_is_past_its_time_then_it_is_served_and_renewed_behind_the_page(
    pool: FanOut, held: Held
) -> None:
    """Once, whoever else is served it meanwhile; in a request's context, with its own timings."""
    seen: list[RequestContext] = []

    def renew() -> None:
        seen.append(context.current())
        context.current().timings.append(Timing("tmdb", "lists", "ok"))
        held()

    old = Ok("old", renew=True)
    for _ in range(5):
        assert pool.run({"films": Work(renew, key="page 1", known=old)}) == {"films": old}
    assert held.began()
    assert in_flight(pool) == [1, 0]
    held.go()
    assert until(lambda: in_flight(pool) == [0, 0])
    (behind,) = seen
    assert (behind.background, behind.request_id) == (True, "test-request")
    assert not context.current().background
    assert context.current().timings == []


class Records(logging.Handler):
    """Keeps the records of one logger, whatever other tests have set up above it."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def records() -> Iterator[Records]:
    """Return what the fan-out logs."""
    log, handler = logging.getLogger("bff.fan_out"), Records()
    log.addHandler(handler)
    yield handler
    log.removeHandler(handler)


def test_run_when_renewing_fails_then_nobody_hears_of_it_and_a_bug_is_logged(
    pool: FanOut, held: Held, records: Records
) -> None:
    """The old answer is served all the same, also where there is no slot to renew it."""
    old = Ok("old", renew=True)
    for error in (Unreachable("tmdb"), NotFound("tmdb", "film 5"), KeyError("planted")):
        assert pool.one(Work(failing(error), key=repr(error), known=old)) == old
    assert until(lambda: in_flight(pool) == [0, 0])
    abandon(pool, held, 4, "tmdb")
    assert pool.one(Work(failing(AssertionError()), key="page 1", known=old)) == old
    assert until(lambda: records.records)
    (record,) = records.records
    assert record.getMessage() == "cache.refresh_failed"
    assert vars(record)["fields"]["key"] == "KeyError('planted')"
