"""The cache: fresh, grace, stale, expired and missing; one flight per key; nothing left behind."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bff import context, reads
from bff.context import Deadline, RequestContext
from bff.errors import (
    BadResponse,
    CircuitOpen,
    NotFound,
    RateLimited,
    Saturated,
    Unreachable,
    UpstreamError,
    UpstreamFailed,
    UpstreamTimeout,
)
from bff.fan_out import FanOut
from bff.model import Failed, Ok
from bff.steps import Steps, Task
from bff.steps import together as did
from bff.upstream import cache as cache_module
from bff.upstream.cache import Cache, CachePolicy, Loaded, Request
from bff.upstream.guard import Guard, Policy
from bff.upstream.store import FileStore, NoStore, Store, Stored
from bff.upstream.tmdb import Credential, TmdbClient
from tests.upstream.tools import Clock, inline, together, until

TTL, GRACE, STALE = 100, 600, 86_400
OLD, NEW = b"old", b"new"
numbers = itertools.count()
ERRORS = (UpstreamTimeout, CircuitOpen, Saturated, RateLimited, Unreachable, UpstreamFailed)


class Source:
    """The upstream: gives what it was told to give, and counts how often it was asked."""

    def __init__(self) -> None:
        self.gives: bytes | Exception = NEW
        self.loads = 0
        self.seen: list[tuple[str, bool]] = []
        self.ready: Callable[[], Any] = lambda: None
        self.request = Request(
            f"key {next(numbers)}", "tmdb", "popular", "answer", self._load, self._decode
        )

    def _load(self) -> Steps[Loaded[str]]:
        self.loads += 1
        self.seen.append((threading.current_thread().name, context.current().background))
        self.ready()
        if isinstance(self.gives, Exception):
            raise self.gives
        return Loaded(self.gives, self._decode(self.gives), TTL)
        yield  # what makes steps of it

    def _decode(self, body: bytes) -> str:
        if body == b"garbage":
            raise BadResponse("tmdb", "garbage")
        return body.decode()


@pytest.fixture
def source() -> Source:
    """Return an upstream that answers."""
    return Source()


@pytest.fixture(scope="module")
def shared_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FileStore]:
    """Return a file that all tests share; each has its own keys."""
    store = FileStore(tmp_path_factory.mktemp("cache") / "cache.sqlite", 10_000)
    yield store
    store.close()


@pytest.fixture
def _exact_ttl(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module.random, "uniform", lambda low, high: high)


def never(_steps: Callable[[], Any], *, last: bool) -> None:
    """Offer no task for the caller's thread."""


def make(
    clock: Clock,
    store: Store | None = None,
    begin: Callable[..., Any] = inline,
    here: Callable[..., Any] = never,
    **more: Any,
) -> Cache:
    """Return a cache; its calls are made at once unless `begin` says otherwise."""
    return Cache(CachePolicy(GRACE, STALE, **more), store or NoStore(), begin, here, 5, clock)


def ask(cache: Cache, source: Source) -> Ok[Any] | Exception:
    """Ask as the fan-out does: from memory, else by a flight."""
    known = cache.peek(source.request)
    if known is not None:
        return known
    try:
        flight = cache.start(source.request)
        wait([flight], timeout=10)
        return cache.finish(source.request, flight)
    except (UpstreamError, NotFound) as error:
        return error


def value(outcome: Ok[Any] | Exception) -> Any:
    """Return the value of an answer."""
    assert isinstance(outcome, Ok), outcome
    return outcome.value


# -- the states of an entry


def zone(age: float, ttl: float) -> str:
    """Return the state of an entry by its age, as the design says."""
    if age < ttl:
        return "fresh"
    if age < ttl + GRACE:
        return "grace"
    return "stale" if age < ttl + STALE else "expired"


FAILURES: dict[str, bytes | Exception] = {
    "answers": NEW,
    "says there is none": NotFound("tmdb", "answer"),
    "gives garbage": b"garbage",
    **{kind.__name__: kind("tmdb") for kind in ERRORS},
}


def expected(had: str, age: float, gives: bytes | Exception) -> Any:
    """Return what an answer must be: a value and why it is old, or the kind of an error."""
    state = zone(age, 60 if had == "missing" else TTL) if had != "nothing" else "expired"
    if had == "missing":
        if state == "fresh":
            return NotFound
        state = "expired"
    if state in ("fresh", "grace"):
        return "old", None
    if gives == NEW:
        return "new", None
    if isinstance(gives, NotFound):
        return NotFound
    kind = type(gives) if isinstance(gives, Exception) else BadResponse
    return ("old", kind.reason) if state == "stale" else kind  # type: ignore[attr-defined]


@pytest.mark.usefixtures("_exact_ttl")
@pytest.mark.parametrize("gives", FAILURES.values(), ids=FAILURES.keys())
@pytest.mark.parametrize("had", ["nothing", "answer", "missing"])
@pytest.mark.parametrize("place", ["memory", "store"])
def test_cache_when_asked_at_any_age_then_answers_as_its_state_says(
    shared_store: FileStore, place: str, had: str, gives: bytes | Exception
) -> None:
    """Every age, every content, every way the upstream can answer; from memory or from the file."""
    for age in (0, 59, 60, 99, 100, 699, 700, 86_499, 86_500, 200_000):
        answers_as_its_state_says(shared_store, place, had, age, gives)


def answers_as_its_state_says(
    shared_store: FileStore, place: str, had: str, age: float, gives: bytes | Exception
) -> None:
    """Ask once for an entry of this age."""
    clock, source = Clock(), Source()
    cache = make(clock, shared_store)
    if had != "nothing":
        source.gives = OLD if had == "answer" else NotFound("tmdb", "answer")
        ask(cache, source)
    if place == "store":
        cache = make(clock, shared_store)
    clock.move(age)
    source.gives, source.loads = gives, 0
    outcome = ask(cache, source)
    want = expected(had, age, gives)
    if isinstance(want, tuple):
        assert isinstance(outcome, Ok)
        because = outcome.stale_because
        assert (outcome.value, because and because.reason) == want
        assert outcome.age_s == (0 if outcome.value == "new" else age)
        assert outcome.fresh_s == max(0, TTL - outcome.age_s)
    else:
        assert type(outcome) is want
    state = zone(age, 60 if had == "missing" else TTL)
    kept = had != "nothing" and (
        state == "fresh" or (state == "grace" and place == "store" and had == "answer")
    )
    assert source.loads == (0 if kept else 1)
    assert cache._flights == {}


@pytest.mark.usefixtures("_exact_ttl")
@pytest.mark.parametrize("kind", [*ERRORS, BadResponse])
def test_cache_when_a_refresh_fails_then_the_old_answer_says_why(
    clock: Clock, source: Source, kind: type[UpstreamError]
) -> None:
    """Within grace the first one is served as it is, the next ones with the reason."""
    cache = make(clock)
    source.gives = OLD
    ask(cache, source)
    clock.move(TTL + 1)
    source.gives = kind("tmdb", "x", 3)
    first, second = ask(cache, source), ask(cache, source)
    assert isinstance(first, Ok)
    assert first.stale_because is None
    assert isinstance(second, Ok)
    assert second.stale_because == Failed("tmdb", kind.reason, 3)
    assert source.loads == 2  # and not a third time within the next half a second
    source.gives = NEW
    clock.move(0.6)
    ask(cache, source)
    assert ask(cache, source) == Ok("new", 0, TTL)


@pytest.mark.usefixtures("_exact_ttl")
@pytest.mark.parametrize("kind", [*ERRORS, BadResponse])
def test_cache_when_everything_is_down_then_serves_old_answers_for_a_day(
    clock: Clock, source: Source, kind: type[UpstreamError]
) -> None:
    """Hour by hour for 24 h labelled, and then the error; back at once when the upstream is."""
    cache = make(clock)
    source.gives = OLD
    ask(cache, source)
    clock.move(TTL)
    source.gives = kind("tmdb")
    ask(cache, source)
    for hour in range(24):
        outcome = ask(cache, source)
        assert isinstance(outcome, Ok), hour
        assert outcome.stale_because is not None
        assert outcome.age_s == TTL + hour * 3600
        clock.move(3600)
    assert type(ask(cache, source)) is kind
    source.gives = NEW
    assert value(ask(cache, source)) == "new"


@pytest.mark.usefixtures("_exact_ttl")
def test_cache_when_a_film_is_gone_then_it_is_gone_for_a_minute(
    clock: Clock, source: Source
) -> None:
    """A 404 after a cached 200 is a 404, kept for 60 s; then the film may be back."""
    cache = make(clock)
    ask(cache, source)
    clock.move(TTL + GRACE)
    source.gives = NotFound("tmdb", "answer")
    for _ in range(3):
        assert isinstance(ask(cache, source), NotFound)
    clock.move(59.9)
    assert isinstance(ask(cache, source), NotFound)
    assert source.loads == 2
    source.gives = NEW
    clock.move(0.1)
    assert value(ask(cache, source)) == "new"


def test_cache_when_garbage_comes_then_it_is_kept_nowhere(
    clock: Clock, shared_store: FileStore, source: Source
) -> None:
    """Neither in memory nor in the file."""
    cache = make(clock, shared_store)
    source.gives = b"garbage"
    assert isinstance(ask(cache, source), BadResponse)
    assert shared_store.get(source.request.key) is None
    assert len(cache._entries) == 0


def test_cache_when_the_file_holds_garbage_then_asks(
    clock: Clock, shared_store: FileStore, source: Source
) -> None:
    """What another version has left there is as good as nothing."""
    shared_store.put(source.request.key, Stored(b"garbage", clock.now, TTL), 60)
    assert value(ask(make(clock, shared_store), source)) == "new"


def test_cache_when_it_keeps_answers_then_their_ttl_is_spread_by_a_tenth(clock: Clock) -> None:
    """So that what was asked for together does not end together; never longer than it may."""
    cache = make(clock)
    sources = [Source() for _ in range(200)]
    for one in sources:
        ask(cache, one)
    times = [cache._entries[one.request.key].ttl_s for one in sources]
    assert all(TTL * 0.9 <= ttl_s <= TTL for ttl_s in times)
    assert max(times) - min(times) > TTL * 0.05


@pytest.mark.parametrize("back_s", [3600, 86_400 * 365])
def test_cache_when_the_clock_is_set_back_then_answers_are_renewed(
    clock: Clock, shared_store: FileStore, source: Source, back_s: float
) -> None:
    """An answer from the future is served and asked for anew, instead of being fresh for a year."""
    cache = make(clock, shared_store)
    source.gives = OLD
    ask(cache, source)
    clock.move(-back_s)
    source.gives = NEW
    assert value(ask(cache, source)) == "old"
    assert value(ask(cache, source)) == "new"
    assert source.loads == 2


def test_cache_when_clocks_of_two_machines_differ_a_little_then_answers_are_fresh(
    clock: Clock, source: Source
) -> None:
    """A few seconds in the future are no jump."""
    cache = make(clock)
    ask(cache, source)
    clock.move(-3)
    outcome = ask(cache, source)
    assert isinstance(outcome, Ok)
    assert (outcome.age_s, source.loads) == (0, 1)


# -- single flight


@pytest.fixture
def pooled(fan_out: FanOut) -> Iterator[Guard]:
    """Return a way into a real pool with four slots."""
    guard = Guard(Policy("tmdb", 5, 4, None), fan_out.submit)
    yield guard
    guard.close()


def test_cache_when_fifty_ask_at_once_then_one_call_goes_out(
    clock: Clock, pooled: Guard, source: Source
) -> None:
    """All of them are in the flight before it lands, and all get its answer."""
    cache = make(clock, begin=pooled.start)
    joined = threading.Semaphore(0)

    def all_joined() -> None:
        for _ in range(50):
            assert joined.acquire(timeout=10)

    source.ready = all_joined

    def run(_: int) -> Any:
        assert cache.peek(source.request) is None
        flight = cache.start(source.request)
        joined.release()
        return cache.finish(source.request, _done(flight))

    assert [value(outcome) for outcome in together(50, run)] == ["new"] * 50
    assert source.loads == 1
    assert cache._flights == {}
    assert pooled.bulkhead.in_flight == 0


def _done(flight: Future[Any]) -> Future[Any]:
    wait([flight], timeout=10)
    return flight


def test_cache_when_the_answer_lands_between_look_and_start_then_no_second_call_goes_out(
    clock: Clock, pooled: Guard
) -> None:
    """Twenty threads race an upstream that answers at once, twenty times."""
    cache = make(clock, begin=pooled.start)
    for _ in range(20):
        source = Source()
        outcomes = together(20, lambda _, one=source: ask(cache, one))
        assert {value(outcome) for outcome in outcomes} == {"new"}
        assert source.loads == 1


def test_cache_when_an_answer_has_landed_since_the_look_then_it_is_taken(
    clock: Clock, source: Source
) -> None:
    """Who found nothing and comes to the flights when the answer is there begins none."""
    cache = make(clock)
    ask(cache, source)
    assert cache._fly(source.request, None).result().value == "new"
    assert source.loads == 1
    assert cache._flights == {}


def test_cache_when_fifty_meet_a_failure_then_all_hear_of_it_after_one_call(
    clock: Clock, pooled: Guard, source: Source
) -> None:
    """One failing call is one failure for everybody who waits."""
    cache = make(clock, begin=pooled.start)
    source.gives = UpstreamFailed("tmdb")
    joined = threading.Semaphore(0)
    source.ready = lambda: [joined.acquire(timeout=10) for _ in range(50)]

    def run(_: int) -> Any:
        flight = cache.start(source.request)
        joined.release()
        return cache.finish(source.request, _done(flight))

    outcomes = together(50, run)
    assert all(type(outcome) is UpstreamFailed for outcome in outcomes)
    assert source.loads == 1
    assert cache._flights == {}


@pytest.mark.usefixtures("_exact_ttl")
def test_cache_when_fifty_ask_for_an_old_answer_then_it_is_renewed_once_behind(
    clock: Clock, pooled: Guard, source: Source
) -> None:
    """All are served at once while the one refresh is still out, in a thread of the pool."""
    cache = make(clock, begin=pooled.start)
    source.gives = OLD
    ask(cache, source)
    clock.move(TTL)
    go_on = threading.Event()
    source.gives, source.ready = NEW, lambda: go_on.wait(10)
    outcomes = together(50, lambda _: cache.peek(source.request))
    assert [value(outcome) for outcome in outcomes] == ["old"] * 50
    assert not go_on.is_set()
    go_on.set()
    assert until(lambda: value(cache.peek(source.request)) == "new")  # type: ignore[arg-type]
    assert source.loads == 2
    name, background = source.seen[1]
    assert name.startswith("fan-out")
    assert background
    assert until(lambda: cache._flights == {})


def test_cache_when_two_workers_share_a_file_then_one_call_goes_out(
    clock: Clock, shared_store: FileStore, fan_out: FanOut, tmp_path: Path
) -> None:
    """The second worker waits for the first one's answer, and takes it from the file."""
    path = tmp_path / "cache.sqlite"
    stores = [FileStore(path, 100) for _ in range(2)]
    source = Source()
    caches = [make(clock, store, fan_out.submit) for store in stores]
    inside, go_on = threading.Event(), threading.Event()
    source.ready = lambda: (inside.set(), go_on.wait(10))
    first = caches[0].start(source.request)
    assert inside.wait(5)
    second = caches[1].start(source.request)
    polled = threading.Event()
    held_s = stores[1].held_s
    stores[1].held_s = lambda key: (polled.set(), held_s(key))[1]  # type: ignore[method-assign]
    assert polled.wait(5)
    go_on.set()
    assert [_done(flight).result().value for flight in (first, second)] == ["new", "new"]
    assert source.loads == 1
    for store in stores:
        store.close()


def test_cache_when_the_leading_worker_fails_then_the_next_one_asks(
    clock: Clock, fan_out: FanOut, tmp_path: Path
) -> None:
    """Its lease is given back with the failure, not held until it runs out."""
    stores = [FileStore(tmp_path / "cache.sqlite", 100) for _ in range(2)]
    source = Source()
    source.gives = UpstreamFailed("tmdb")
    assert isinstance(ask(make(clock, stores[0]), source), UpstreamFailed)
    source.gives = NEW
    assert value(ask(make(clock, stores[1]), source)) == "new"
    for store in stores:
        store.close()


def test_cache_when_who_asked_first_gives_up_then_the_others_get_the_answer(
    clock: Clock, pooled: Guard, source: Source
) -> None:
    """The flight has a call's time, not what is left to the request that began it."""
    cache = make(clock, begin=pooled.start)
    go_on = threading.Event()
    source.ready = lambda: go_on.wait(10)
    context.enter(RequestContext("first", Deadline.after(0.01)))
    flight = cache.start(source.request)
    with pytest.raises(UpstreamTimeout):
        cache.finish(source.request, flight)
    context.enter(RequestContext("second", Deadline.after(10)))
    late = cache.start(source.request)
    assert late is flight
    go_on.set()
    assert value(cache.finish(source.request, _done(late))) == "new"
    assert source.loads == 1


@pytest.mark.usefixtures("_exact_ttl")
def test_cache_when_a_new_answer_comes_while_a_failure_is_noted_then_the_new_one_stays(
    clock: Clock, source: Source
) -> None:
    """The label of the old answer does not take its successor's place."""
    cache = make(clock)
    source.gives = OLD
    ask(cache, source)
    clock.move(TTL + GRACE)

    class Overtaken(UpstreamTimeout):
        def outcome(self) -> Failed:
            entry = cache._entries[source.request.key]
            cache._keep(source.request.key, replace(entry, value="new", stored_at=clock.now))
            return super().outcome()

    source.gives = Overtaken("tmdb")
    assert value(ask(cache, source)) in ("old", "new")
    assert ask(cache, source) == Ok("new", 0, TTL)


def test_cache_when_the_answer_comes_as_a_request_gives_up_then_it_is_not_called_old(
    clock: Clock, source: Source
) -> None:
    """A flight that is not done, and an entry that is fresh: the entry is served as fresh."""
    cache = make(clock)
    ask(cache, source)
    outcome = cache.finish(source.request, Future())
    assert (outcome.value, outcome.stale_because) == ("new", None)


# -- flights end


def test_cache_when_the_upstream_is_full_then_the_flight_has_ended(
    clock: Clock, pooled: Guard, source: Source
) -> None:
    """Saturated at once, nothing left, and the next one can fly."""
    cache = make(clock, begin=pooled.start)
    for _ in range(4):
        pooled.bulkhead.take()
    assert isinstance(ask(cache, source), Saturated)
    assert cache._flights == {}
    for _ in range(4):
        pooled.bulkhead.give()
    assert value(ask(cache, source)) == "new"


def test_cache_when_the_upstream_is_full_and_an_answer_is_old_then_serves_it_labelled(
    clock: Clock, pooled: Guard, source: Source
) -> None:
    """A full bulkhead is a failure like any other."""
    cache = make(clock, begin=pooled.start)
    ask(cache, source)
    clock.move(TTL + GRACE)
    for _ in range(4):
        pooled.bulkhead.take()
    outcome = ask(cache, source)
    assert isinstance(outcome, Ok)
    assert outcome.stale_because == Failed("tmdb", Saturated.reason, 1)


# -- flights of the caller's own thread


def own(steps: Callable[[], Steps[Any]], *, last: bool) -> Task[Any]:
    """Offer the task."""
    return Task(steps())


def test_here_when_nobody_asks_for_the_same_then_this_thread_does_and_others_join(
    clock: Clock, source: Source
) -> None:
    """The flight is there before its first step, and lands with what the task brings."""
    cache = make(clock, begin=_never_begun, here=own)
    task = cache.here(source.request, last=False)
    assert task is not None
    joined = cache.start(source.request)
    assert cache.here(source.request, last=False) is None
    assert source.loads == 0
    did([task])
    assert source.seen == [(threading.current_thread().name, False)]
    assert cache.finish(source.request, task.future).value == "new"
    assert cache.finish(source.request, joined).value == "new"
    assert cache._flights == {}
    assert cache.here(source.request, last=False) is None  # it is in memory by now


def test_here_when_the_request_has_less_time_than_a_call_then_it_is_left_to_the_pool(
    clock: Clock, source: Source
) -> None:
    """Who joins may have more time than the request that asked first."""
    cache = make(clock, here=own)
    context.enter(RequestContext("late", Deadline.after(4.9)))
    assert cache.here(source.request, last=True) is None
    assert cache._flights == {}


@pytest.mark.parametrize("error", [UpstreamTimeout("tmdb"), KeyError("a bug")])
def test_here_when_the_call_fails_then_who_joined_hears_the_same(
    clock: Clock, source: Source, error: Exception
) -> None:
    """And the next one asks anew."""
    source.gives = error
    cache = make(clock, begin=_never_begun, here=own)
    task = cache.here(source.request, last=False)
    assert task is not None
    joined = cache.start(source.request)
    did([task])
    assert joined.exception(0) is error
    assert cache._flights == {}


def test_here_when_the_task_is_dropped_then_who_joined_hears_that_it_will_not_come(
    clock: Clock, source: Source
) -> None:
    """A thread that is told to end leaves no flight behind that nobody makes."""
    cache = make(clock, begin=_never_begun, here=own)
    task = cache.here(source.request, last=False)
    assert task is not None
    joined = cache.start(source.request)
    task.drop()
    with pytest.raises(UpstreamTimeout):
        cache.finish(source.request, joined)
    assert cache._flights == {}


def _never_begun(*_: object) -> Future[Any]:
    raise AssertionError("a thread of the pool was asked for")


def test_cache_when_the_pool_is_closed_then_no_flight_is_left(clock: Clock, source: Source) -> None:
    """With a guard it is refused, without one it raises; the table is empty either way."""
    pool = FanOut(1)
    guard = Guard(Policy("tmdb", 1, 1, None), pool.submit)
    pool.close()
    cache = make(clock, begin=guard.start)
    assert isinstance(ask(cache, source), Saturated)
    bare = make(clock, begin=pool.submit)
    with pytest.raises(RuntimeError):
        ask(bare, source)
    assert cache._flights == bare._flights == {}


def test_cache_when_queued_flights_are_dropped_then_who_waits_hears_of_it(
    clock: Clock, source: Source
) -> None:
    """A pool that is closed cancels what it has not begun."""
    pool = FanOut(1)
    leave, inside = threading.Event(), threading.Event()
    pool.submit(lambda: (inside.set(), leave.wait(10)))
    assert inside.wait(5)
    cache = make(clock, begin=pool.submit)
    flight = cache.start(source.request)
    pool.close()
    leave.set()
    with pytest.raises(UpstreamTimeout):
        cache.finish(source.request, _done(flight))
    assert cache._flights == {}


@pytest.mark.parametrize("bug", [ZeroDivisionError(), SystemExit()])
def test_cache_when_a_bug_is_raised_then_it_comes_out_and_the_flight_has_ended(
    clock: Clock, pooled: Guard, source: Source, bug: BaseException
) -> None:
    """It is no upstream's failure, so that it is not hidden behind an old answer."""
    cache = make(clock, begin=pooled.start)

    def fail() -> None:
        raise bug

    source.ready = fail
    flight = _done(cache.start(source.request))
    with pytest.raises(type(bug)):
        cache.finish(source.request, flight)
    assert cache._flights == {}


def test_cache_when_a_refresh_meets_a_bug_then_it_is_logged(
    clock: Clock, source: Source, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody waits for a refresh, so that the log is where its bug shows."""
    cache = make(clock)
    ask(cache, source)
    clock.move(TTL)
    source.gives = ZeroDivisionError()
    assert value(ask(cache, source)) == "new"
    assert [record.exc_info is not None for record in caplog.records] == [True]
    assert cache._flights == {}


# -- bounds and keys


def test_cache_when_more_entries_come_than_it_keeps_then_the_unused_go(clock: Clock) -> None:
    """Ten entries at the most; the one that was used stays."""
    cache = make(clock, entries=10, most_bytes=10 * 5000)
    first = Source()
    for number in range(50):
        ask(cache, Source())
        ask(cache, first)
        assert len(cache._entries) <= 10, number
    assert first.loads == 1


def test_cache_when_answers_are_large_then_fewer_are_kept(clock: Clock) -> None:
    """The bound in bytes holds, and what is larger than the whole cache is answered, not kept."""
    cache = make(clock, entries=1000, most_bytes=100_000)
    for _ in range(50):
        large = Source()
        large.gives = b"x" * 4000
        ask(cache, large)
        assert cache._entries.currsize <= 100_000
    assert 1 <= len(cache._entries) <= 9
    huge = Source()
    huge.gives = b"x" * 40_000
    assert len(value(ask(cache, huge))) == 40_000
    assert huge.request.key not in cache._entries


def test_cache_when_many_threads_fill_it_then_the_bounds_hold(clock: Clock) -> None:
    """Sixteen threads, and no exception from the table."""
    cache = make(clock, entries=20, most_bytes=200_000)
    assert (
        together(16, lambda _: [value(ask(cache, Source())) for _ in range(50)])
        == [["new"] * 50] * 16
    )
    assert len(cache._entries) <= 20
    assert cache._flights == {}


def key(credential: Credential, row: reads.Read, params: dict[str, str], **path: object) -> str:
    """Return the key of a read."""
    guard = Guard(Policy("tmdb", 1, 1, None), inline)
    client = TmdbClient("http://tmdb.test/3", credential, guard, make(Clock()), 300)
    guard.close()
    return client.read(row, path, params).request.key  # type: ignore[attr-defined, no-any-return]


def test_key_when_the_credential_changes_then_stays_and_never_holds_it() -> None:
    """All credentials see the same public answers."""
    params = {"page": "1", "language": "de-DE", "region": "DE"}
    secrets = [Credential("secret-one"), Credential("", "secret-two"), Credential()]
    keys = {key(one, reads.POPULAR, params) for one in secrets}
    assert len(keys) == 1
    assert "secret" not in keys.pop()


def test_key_when_what_is_asked_changes_then_changes_and_order_does_not_matter() -> None:
    """Path, parameters, language and region make the key, in whatever order they came."""
    base = {"page": "1", "language": "de-DE", "region": "DE"}
    others = [
        {**base, "page": "2"},
        {**base, "language": "en-US"},
        {**base, "region": "AT"},
        {"page": "1"},
        {},
    ]
    one = Credential("x")
    keys = {key(one, reads.POPULAR, params) for params in (base, *others)}
    assert len(keys) == 6
    assert key(one, reads.POPULAR, dict(reversed(base.items()))) in keys
    films = {key(one, reads.MOVIE, {}, movie_id=number) for number in (550, 551)}
    assert len(films) == 2
    assert key(one, reads.SEARCH_MOVIES, {"query": "a&page=2"}) != key(
        one, reads.SEARCH_MOVIES, {"query": "a", "page": "2"}
    )
