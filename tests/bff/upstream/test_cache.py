"""The cache: fresh, grace, stale, expired and missing; its bounds; one flight over workers."""

from __future__ import annotations

import contextvars
import gc
import gzip
import threading
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest
import requests

from bff import context
from bff.context import Deadline, RequestContext
from bff.errors import (
    BadResponse,
    CredentialRefused,
    NotFound,
    RateLimited,
    Saturated,
    UpstreamError,
    UpstreamFailed,
    UpstreamTimeout,
)
from bff.model import Failed, Ok, Reason
from bff.reads import BY_NAME
from bff.upstream.cache import Query
from bff.upstream.tier import Tier, on_files
from bff.upstream.tmdb import Credential, TmdbClient
from tests.bff.upstream.servers import RawServer, RedisServer, answer
from tests.bff.upstream.tools import together
from tests.bff.upstream.workers import (
    BASE,
    FILMS,
    GRACE,
    JSON_TYPE,
    NEW,
    OLD,
    STALE,
    TTL,
    Moment,
    Upstream,
    Worker,
    Workers,
    question,
    value,
)

RECORDED = Path(__file__).resolve().parents[2] / "fixtures" / "tmdb" / "recorded"
BROKEN = {"status_code": 11, "status_message": "Internal error", "success": False}


@pytest.fixture
def tier(tmp_path: Path) -> Tier:
    """Return what the workers of one machine share."""
    return on_files(tmp_path / "cache", 10 * STALE, 2**30)


@pytest.fixture
def worker(tier: Tier) -> Worker:
    """Return a worker over the tier."""
    return Worker(tier)


# -- the states of an entry

WAYS: dict[str, tuple[dict[str, Any], type[Exception] | None]] = {
    "answers": ({"answer": NEW}, None),
    "says there is none": ({"answer": BROKEN, "status": 404}, NotFound),
    "fails": ({"answer": BROKEN, "status": 500}, UpstreamFailed),
    "is too slow": ({"answer": requests.ReadTimeout()}, UpstreamTimeout),
    "asks to wait": ({"answer": {}, "status": 429}, RateLimited),
    "refuses the credential": ({"answer": {}, "status": 401}, CredentialRefused),
    "gives HTML": ({"answer": b"<html>", "headers": {"Content-Type": "text/html"}}, BadResponse),
    "gives an error as 200": ({"answer": BROKEN}, BadResponse),
    "breaks off": ({"answer": b'{"value": "ne'}, BadResponse),
    "breaks off its gzip": ({"answer": gzip.compress(b"{}")[:20]}, BadResponse),
    "says nothing": ({"answer": b"", "status": 204}, BadResponse),
    "redirects": ({"answer": NEW, "status": 302, "headers": {"Location": BASE}}, BadResponse),
}


def zone(age: float, ttl: float) -> str:
    """Return the state of an entry by its age."""
    if age < ttl:
        return "fresh"
    if age < ttl + GRACE:
        return "grace"
    return "stale" if age < ttl + STALE else "expired"


def expected(had: str, age: float, fails: type[Exception] | None) -> Any:
    """Return what must come: a value and why it is old, or the kind of an error."""
    state = zone(age, 60 if had == "missing" else TTL) if had != "nothing" else "expired"
    if had == "missing":
        if state == "fresh":
            return NotFound
        state = "expired"
    if state in ("fresh", "grace"):
        return "old", None
    if fails is None:
        return "new", None
    if state == "stale" and issubclass(fails, UpstreamError):
        return "old", fails.reason
    return fails


@pytest.mark.parametrize(("gives", "fails"), WAYS.values(), ids=WAYS.keys())
@pytest.mark.parametrize("had", ["nothing", "answer", "missing"])
@pytest.mark.parametrize("place", ["memory", "tier"])
def test_cache_when_asked_at_any_age_then_answers_as_its_state_says(
    moment: Moment,
    upstream: Upstream,
    tier: Tier,
    place: str,
    had: str,
    gives: dict[str, Any],
    fails: type[Exception] | None,
) -> None:
    """Every age, every content, every way TMDB can answer; from memory or from the tier.

    What is no answer neither enters the tier nor replaces what others can still serve.
    """
    for age in (0, 59, 60, 99, 100, 699, 700, 86_499, 86_500, 200_000):
        worker, film = Worker(tier), question(f"{age}")
        if had != "nothing":
            upstream.gives(OLD) if had == "answer" else upstream.gives(BROKEN, 404)
            worker.ask(film)
        if place == "tier":
            worker = Worker(tier)
        moment.shift(age)
        upstream.gives(**gives)
        upstream.forget()
        before = tier.get(tier.name(film.request()))

        outcome = worker.ask(film)

        if fails not in (None, NotFound):
            after = tier.get(tier.name(film.request()))
            assert (after and after.content) == (before and before.content)
        want = expected(had, age, fails)
        if isinstance(want, tuple):
            because = outcome.stale_because if isinstance(outcome, Ok) else None
            assert (value(outcome), because and because.reason) == want
            assert isinstance(outcome, Ok)
            assert outcome.age_s == (0 if want[0] == "new" else age)
            assert outcome.fresh_s == max(0, TTL - outcome.age_s)
            # The fan-out has it asked for anew behind the page.
            assert outcome.renew == (want == ("old", None) and age >= TTL)
        else:
            assert type(outcome) is want
        state = zone(age, 60 if had == "missing" else TTL) if had != "nothing" else "expired"
        kept = state == "fresh" or (state == "grace" and had == "answer")
        assert len(upstream.requests) == (0 if kept else 1)


def refresh(worker: Worker, query: Query) -> None:
    """Load as the fan-out does behind a page."""

    def load() -> None:
        context.enter(context.current().behind())
        worker.cache.load(query)

    contextvars.copy_context().run(load)


@pytest.mark.parametrize("age", [TTL, TTL + GRACE])
def test_cache_when_a_refresh_fails_then_the_old_answer_says_why_and_the_next_call_waits(
    moment: Moment, upstream: Upstream, worker: Worker, age: float
) -> None:
    """For half a second nobody pays for the failure again; a good answer ends it."""
    film = question()
    upstream.gives(OLD)
    worker.ask(film)
    moment.shift(age)
    upstream.gives(BROKEN, 503, {"Retry-After": "3"})
    with pytest.raises(UpstreamFailed):
        refresh(worker, film)
    asked = len(upstream.requests)
    for seconds in (0, 0.4):
        moment.shift(seconds)
        known = worker.ask(film)
        assert isinstance(known, Ok)
        assert known.stale_because == Failed("tmdb", Reason.UPSTREAM_ERROR, 3)
        assert not known.renew
    assert len(upstream.requests) == asked
    moment.shift(0.2)
    again = worker.cache.cached(film)
    assert again is None if age > TTL else again is not None and again.renew
    upstream.gives(NEW)
    meanwhile: list[Ok[Any] | None] = []
    upstream.meanwhile = lambda: meanwhile.append(worker.cache.cached(film))
    refresh(worker, film)
    assert all(one is None or one.stale_because for one in meanwhile)
    assert worker.ask(film) == Ok(NEW, 0, TTL)


def test_cache_when_a_list_is_not_found_then_it_is_a_bad_response_and_the_old_one_stays(
    moment: Moment, upstream: Upstream, worker: Worker, tier: Tier
) -> None:
    """A list is always there: a 404 in its place is a fault of the way, and kept nowhere."""
    popular = question("popular", names_a_thing=False)
    upstream.gives(BROKEN, 404)
    assert isinstance(worker.ask(popular), BadResponse)
    upstream.gives(OLD)
    worker.ask(popular)
    moment.shift(TTL + GRACE)
    upstream.gives(BROKEN, 404)
    for one in (worker, Worker(tier)):
        outcome = one.ask(popular)
        assert isinstance(outcome, Ok)
        assert outcome.stale_because == Failed("tmdb", Reason.BAD_RESPONSE)
    assert len(upstream.requests) == 4


@pytest.mark.parametrize(
    ("says", "ttl_s", "fresh_s"),
    [
        ("public, max-age=50", TTL, 50),
        ("max-age=0", TTL, 30),
        ("max-age=29", TTL, 30),
        ("max-age=999999999", TTL, TTL),
        ("max-age=1", 10, 10),
        ("no-store", TTL, TTL),
        ("s-maxage=40", TTL, TTL),
        ("max-age=soon", TTL, TTL),
    ],
)
def test_cache_when_tmdb_says_how_long_then_it_is_obeyed_within_bounds(
    moment: Moment, upstream: Upstream, tier: Tier, says: str, ttl_s: int, fresh_s: int
) -> None:
    """At least 30 seconds, at most the time of the row; the same for who has it from the tier."""
    upstream.gives(NEW, headers={**JSON_TYPE, "Cache-Control": says})
    for worker in (Worker(tier), Worker(tier)):
        outcome = worker.ask(question(ttl_s=ttl_s))
        assert isinstance(outcome, Ok)
        assert outcome.fresh_s == fresh_s
    assert len(upstream.requests) == 1


@pytest.mark.parametrize(("back_s", "jump"), [(3, False), (6, True), (86_400 * 365, True)])
@pytest.mark.parametrize("place", ["memory", "tier"])
def test_cache_when_the_clock_is_set_back_then_answers_are_renewed(
    moment: Moment,
    upstream: Upstream,
    tier: Tier,
    back_s: float,
    jump: bool,
    place: str,
) -> None:
    """An answer from the future is not fresh for a year; a few seconds are no jump."""
    film, worker = question(), Worker(tier)
    upstream.gives(OLD)
    worker.ask(film)
    if place == "tier":
        worker = Worker(tier)
    moment.shift(-back_s)
    upstream.gives(NEW)
    outcome = worker.ask(film)
    assert isinstance(outcome, Ok)
    assert (value(outcome), outcome.renew, outcome.age_s) == ("old", jump, 0)
    refresh(worker, film)
    for one in (worker, Worker(tier)):
        assert value(one.ask(film)) == ("new" if jump else "old")


def test_cache_when_another_worker_has_renewed_then_its_answer_is_taken(
    moment: Moment, upstream: Upstream, tier: Tier
) -> None:
    """A refresh looks into the tier first, so that each answer is asked for once a ttl."""
    film, workers = question(), [Worker(tier) for _ in range(3)]
    for worker in workers:
        worker.ask(film)
    moment.shift(TTL + 1)
    upstream.gives({"value": "newer"})
    context.enter(context.current().behind())
    for worker in workers:
        worker.cache.load(film)
    assert [value(worker.ask(film)) for worker in workers] == ["newer"] * 3
    assert len(upstream.requests) == 2
    moment.shift(TTL + 1)
    late = Worker(tier)
    late.cache.load(film)  # what is there is past its time as well, and no refresh of anything
    assert len(upstream.requests) == 3


def test_cache_when_a_cold_worker_may_not_ask_then_the_tier_stands_in(
    moment: Moment, upstream: Upstream, tier: Tier
) -> None:
    """Its slots are taken, or the page's time is over: others' answers are as good as its own."""
    upstream.gives(NEW)
    film, error = question(), Saturated("tmdb", retry_after_s=1)
    with pytest.raises(Saturated):
        Worker(tier).cache.fallback(film, error)
    Worker(tier).ask(film)
    assert Worker(tier).cache.fallback(film, error) == Ok(NEW, 0, TTL)
    moment.shift(TTL + GRACE)
    outcome = Worker(tier).cache.fallback(film, error)
    assert outcome == Ok(NEW, TTL + GRACE, 0, Failed("tmdb", Reason.SATURATED, 1))
    assert len(upstream.requests) == 1


def test_cache_when_who_asks_first_has_no_time_left_then_the_call_has_its_own(
    upstream: Upstream, worker: Worker
) -> None:
    """Others may wait for the answer; one that comes as the request gives up is not called old."""
    film = question()
    context.enter(RequestContext("late", Deadline.after(-1)))
    assert value(worker.cache.load(film)) == "new"
    outcome = worker.cache.fallback(film, UpstreamTimeout("tmdb"))
    assert (value(outcome), outcome.stale_because) == ("new", None)
    assert len(upstream.requests) == 1


# -- bounds


def test_cache_when_it_is_full_then_it_takes_the_memory_that_the_setting_says(
    upstream: Upstream, tier: Tier
) -> None:
    """Measured: what is kept takes no more than the setting, and more than half of it."""
    most_bytes, recorded = 2**20, RECORDED / "movie-id-credits-550__tmdb-openapi-examples.json"
    upstream.gives(recorded.read_bytes())
    worker = Worker(tier, most_bytes=most_bytes)
    client = TmdbClient(BASE, Credential("key"), worker.guard, worker.cache, TTL)
    plan = partial(client.read, BY_NAME["credits"])
    numbers = range(most_bytes // recorded.stat().st_size)
    gc.collect()
    tracemalloc.start()
    try:
        for number in numbers:
            plan({"movie_id": number}).load()
        assert plan({"movie_id": numbers[0]}).cached() is None  # it is full
        assert plan({"movie_id": numbers[-1]}).cached() is not None
        upstream.forget()
        context.current().timings.clear()
        gc.collect()
        with_it = tracemalloc.get_traced_memory()[0]
        del worker.cache, client, plan
        gc.collect()
        held = with_it - tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert most_bytes / 2 < held <= most_bytes, held / most_bytes


def test_cache_when_more_comes_than_it_keeps_then_the_unused_go_and_the_tier_has_them(
    moment: Moment, upstream: Upstream, tier: Tier
) -> None:
    """What went is not asked for again, not even to fail; nor what never fits."""
    worker = Worker(tier, most_bytes=50_000)
    upstream.gives({"value": "x" * 50_000})
    first, large, others = question("first"), question("large"), list(map(question, "abcdefghijkl"))
    for _ in range(3):
        assert len(value(worker.ask(large))) == 50_000
        assert worker.cache.cached(large) is None
    upstream.gives({"value": "x" * 2000})
    for one in others:
        worker.ask(one)
        worker.ask(first)
    kept = [one for one in others if worker.cache.cached(one) is not None]
    assert 0 < len(kept) < 8
    assert worker.cache.cached(first) is not None
    assert value(worker.ask(others[0])) == "x" * 2000
    assert len(upstream.requests) == 14
    moment.shift(TTL + GRACE)
    upstream.gives(BROKEN, 500)
    outcome = worker.ask(others[1])
    assert isinstance(outcome, Ok)
    assert outcome.stale_because == Failed("tmdb", Reason.UPSTREAM_ERROR)


# -- one flight


def test_cache_when_another_worker_asks_for_too_long_then_the_wait_ends_at_the_deadline(
    moment: Moment, upstream: Upstream, tier: Tier
) -> None:
    """Nobody asks beside the one that holds the lock; an old answer is served in time."""
    film, worker = question(), Worker(tier, timeout_s=0.1)
    upstream.gives(OLD)
    worker.ask(film)
    moment.shift(TTL + GRACE)
    with tier.lock(tier.name(film.request()), 0) as mine:
        assert mine
        with pytest.raises(UpstreamTimeout):
            worker.cache.load(film)
        outcome = worker.ask(film)
        assert isinstance(outcome, Ok)
        assert outcome.stale_because == Failed("tmdb", Reason.TIMEOUT)
    assert [one.outcome for one in context.current().timings] == ["ok", "hit"]


def test_cache_when_the_first_worker_fails_then_the_one_that_waited_asks(
    upstream: Upstream, tier: Tier
) -> None:
    """The lock ends with the failure, and a failure is nothing that others could use."""
    upstream.gives(BROKEN, 500)
    workers = [Worker(tier) for _ in range(3)]
    kinds = together(3, lambda number: type(workers[number].ask(question())))
    assert kinds == [UpstreamFailed] * 3
    assert len(upstream.requests) == 3


class SlowTmdb:
    """A real TMDB that holds its answers back until it is told to go on."""

    def __init__(self, serve: Callable[..., RawServer]) -> None:
        self.go_on, self.asked = threading.Event(), threading.Semaphore(0)
        self.server = serve(self._script)

    def _script(self, connection: Any, server: RawServer) -> None:
        while True:
            server.read(connection)
            self.asked.release()
            self.go_on.wait(30)
            connection.sendall(
                answer(orjson.dumps(FILMS), "200 OK", "Content-Type: application/json")
            )


@pytest.fixture(params=["files", "redis"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return where real workers share their answers."""
    if request.param == "files":
        return str(tmp_path / "cache")
    server: RedisServer = request.getfixturevalue("redis_server")
    return f"redis://127.0.0.1:{server.port}/0"


@pytest.mark.e2e
def test_flight_when_fifty_threads_of_four_cold_workers_ask_then_one_call_goes_out(
    serve: Callable[..., RawServer], place: str
) -> None:
    """All of them get the answer of the one call, which is held back until all have begun."""
    tmdb = SlowTmdb(serve)
    workers = Workers(tmdb.server.url[:-1], place, 13, 13, 12, 12)
    try:
        assert workers.lines(4) == ["asking"] * 4
        tmdb.go_on.set()
        assert sorted(workers.lines(4)) == ["got 12", "got 12", "got 13", "got 13"]
    finally:
        workers.end()
    assert len(tmdb.server.requests) == 1


@pytest.mark.e2e
def test_flight_when_the_worker_that_asks_dies_then_another_one_asks(
    serve: Callable[..., RawServer], place: str
) -> None:
    """Its lock goes with it: at once on one machine, with the time of a call over Redis."""
    tmdb = SlowTmdb(serve)
    made = [Workers(tmdb.server.url[:-1], place, 1, lock_s=1)]
    try:
        assert tmdb.asked.acquire(timeout=30)
        made.append(Workers(tmdb.server.url[:-1], place, 1, lock_s=1))
        assert made[1].lines(1) == ["asking"]
        made[0].end()
        tmdb.go_on.set()
        assert made[1].lines(1) == ["got 1"]
    finally:
        for one in made:
            one.end()
    assert len(tmdb.server.requests) == 2
