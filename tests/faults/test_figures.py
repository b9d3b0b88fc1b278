"""The figures of docs/failure-behaviour.md, scaled down; `bench/failure.py` measures them whole."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator

import pytest

from bench import failure, strict_tmdb
from bench.load import at_once
from scripts.processes import until
from tests.e2e.stack import Stack
from tests.faults.house import DEADLINE, House, Seen
from tests.faults.table import PAGES

pytestmark = pytest.mark.e2e

FEED = PAGES[0]
POPULAR = "/api/movies/popular"
DAY_S = 86_400
UNKNOWN = 900_000_000  # no film has such a number


def _ask(house: House, paths: Iterable[str], threads: int, deadline_s: float = 4.0) -> list[Seen]:
    """Ask for all paths, `threads` at a time and those at the same moment."""
    left, lock, seen = iter(list(paths)), threading.Lock(), []
    gate = threading.Barrier(threads)

    def work() -> None:
        client = house.app.test_client(use_cookies=False)
        gate.wait(10)
        while True:
            with lock:
                path = next(left, None)
            if path is None:
                return
            started = time.monotonic()
            response = client.get(path, environ_overrides={DEADLINE: deadline_s})
            seen.append(Seen(response, time.monotonic() - started))

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return seen


def _statuses(seen: list[Seen]) -> Counter[int]:
    return Counter(one.response.status_code for one in seen)


def test_hang_when_many_ask_with_a_cold_cache_then_all_hear_in_time_and_slots_come_back(
    house: House,
) -> None:
    """No circuit breaker helps: deadline, timeout and bulkhead alone bound time and threads."""
    house.circuits(None)
    house.give("tmdb", 0.25)
    house.tmdb.fail("*", "timeout")
    pages = iter(range(1, 500))
    for _ in range(3):  # a round in which other programs had the processor says nothing
        seen = _ask(house, [f"{FEED.url}?page={next(pages)}" for _ in range(64)], 16, 0.5)
        assert set(_statuses(seen)) <= {503, 504}  # all slots taken, or too late
        assert until(house.is_idle, 5)
        assert house.pool_threads() <= house.parts.fan_out.threads
        if max(one.seconds for one in seen) <= 0.5 + 0.1:
            break
    assert max(one.seconds for one in seen) <= 0.5 + 0.1


def test_single_flight_when_fifty_ask_for_a_cold_key_then_one_call_goes_out(house: House) -> None:
    """The other 49 wait for the one call and get its answer."""
    seen = _ask(house, [POPULAR] * 50, 50)
    assert _statuses(seen) == {200: 50}
    assert house.tmdb.asked("*/movie/popular") == 1


def test_expired_key_when_fifty_ask_then_all_hear_at_once_and_one_call_goes_out(
    house: House,
) -> None:
    """Past its ttl an answer is served while one call, which hangs here, asks for a new one."""
    house.warm(PAGES[-1], 400)
    house.tmdb.fail("*", "timeout")
    house.give("tmdb", 1.0)
    started = time.monotonic()
    seen = _ask(house, [POPULAR] * 50, 50)
    assert time.monotonic() - started < 0.9  # nobody waited for the call
    assert _statuses(seen) == {200: 50}
    assert until(lambda: house.tmdb.asked("*/movie/popular") > 0, 2)
    assert until(house.is_idle, 5)
    assert house.tmdb.asked("*/movie/popular") == 1


def test_circuit_when_half_open_and_twenty_call_then_one_call_goes_out(house: House) -> None:
    """Nineteen are told that the circuit is open, without a call."""
    house.circuits(0.5)
    house.give("tmdb", 0.25)
    house.tmdb.fail("*", "500")
    _ask(house, [f"/api/movies/{UNKNOWN + number}" for number in range(8)], 4)
    assert house.circuit_states("tmdb") == {"details": "open"}
    house.tmdb.fail("*", "timeout")
    waited = time.monotonic() + 0.55
    assert until(lambda: time.monotonic() > waited, 2)
    house.tmdb.calls.clear()
    seen = _ask(house, [f"/api/movies/{UNKNOWN + number}" for number in range(20)], 20)
    assert len(house.tmdb.calls) == 1
    assert _statuses(seen) == {503: 19, 504: 1}


def test_unknown_films_when_looked_up_again_and_again_then_one_call_a_minute_and_no_open_circuit(
    house: House,
) -> None:
    """404 is an answer: it is kept for a minute, and no circuit counts it."""
    paths = [f"/api/movies/{UNKNOWN + number % 20}" for number in range(300)]
    for _ in range(2):
        house.tmdb.calls.clear()
        assert _statuses(_ask(house, paths, 4)) == {404: 300}
        assert set(Counter(house.tmdb.calls).values()) == {1}
        assert len(house.tmdb.calls) == 20
        house.clock.now += 61
    assert house.circuit_states("tmdb") == {"details": "closed"}


def test_retries_when_everything_fails_then_extra_calls_stay_in_the_budget(house: House) -> None:
    """No circuit breaker helps: the budget alone bounds what retries add."""
    house.circuits(None)
    house.tmdb.fail("*", "reset")
    seen = _ask(house, [f"/api/movies/{number}" for number in range(1, 201)], 8)
    assert _statuses(seen) == {502: 200}
    assert len(house.tmdb.calls) - 200 <= 0.1 * 200 + 3


@pytest.mark.parametrize(
    ("age_s", "status"), [(3 * 3600, 200), (DAY_S, 200), (DAY_S + 15_000, 502)]
)
def test_feed_when_every_upstream_is_down_then_old_films_are_served_for_a_day(
    house: House, age_s: int, status: int
) -> None:
    """The clock is moved. The day counts from the end of the ttl."""
    house.warm(FEED, age_s)
    for adapter in house.refusing.values():
        adapter.path = "*"
    seen = house.get(FEED)
    assert seen.response.status_code == status
    if status == 200:
        assert seen.body["movies"]
        assert seen.body["sections"]["movies"]["status"] == "stale"
        assert seen.body["sections"]["movies"]["age"] == age_s
        assert seen.body["sections"]["favorites"]["status"] == "unavailable"


def test_upstream_when_back_then_ok_within_the_timeout_of_the_circuit_and_a_second(
    house: House,
) -> None:
    """Nothing is restarted: probes find out."""
    house.circuits(1.0)
    for upstream in house.upstreams.values():
        upstream.fail("*", "500")
    _ask(house, [f"{FEED.url}?page={page}" for page in range(1, 9)], 4)
    assert _statuses([house.get(FEED)]) == {503: 1}
    for upstream in house.upstreams.values():
        upstream.heal()
    began = time.monotonic()

    def is_well() -> bool:
        parts = house.get(FEED).body.get("sections", {})
        return bool(parts) and all(part["status"] == "ok" for part in parts.values())

    assert until(is_well, 5, 0.02)
    assert time.monotonic() - began <= 1.0 + 1.0


def test_strict_tmdb_when_called_too_often_then_refuses_and_counts_who_does_not_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The judge of the next test: 40 calls pass, the 41st is refused, the 42nd was too soon."""
    monkeypatch.setattr(strict_tmdb, "ON_ITS_WAY_S", 0.0)
    judge = strict_tmdb.Strict(lambda _environ, _start: [b"{}"])
    told: list[str] = []
    for _ in range(42):
        judge({"PATH_INFO": "/3/movie/550"}, lambda status, _headers: told.append(status))
    assert told == ["429 Too Many Requests"] * 2
    assert judge.seen == {
        "calls": 42,
        "refused": 2,
        "inside_retry_after": 1,
        "most_in_a_second": 42,
    }


@pytest.fixture(scope="module")
def four_workers() -> Iterator[Stack]:
    """Real processes: four workers, before a TMDB that allows 40 calls a second and no more."""
    with failure.strict_stack() as running:
        yield running


def test_four_workers_when_fifty_ask_for_a_cold_key_then_one_call_goes_out(
    four_workers: Stack,
) -> None:
    """The workers share nothing but the cache file."""
    four_workers.faults("tmdb", latency_ms=200)
    seen = at_once(four_workers.bff, [f"{POPULAR}?page=77"] * 50)
    four_workers.faults("tmdb")
    assert {answer.status for answer in seen} == {200}
    assert four_workers.calls("tmdb") == {"GET /3/movie/popular": 1}


def test_four_workers_when_two_hundred_users_come_then_no_429_and_nobody_calls_too_soon(
    four_workers: Stack,
) -> None:
    """The ceiling is kept over all workers together."""
    row = failure.visited(four_workers, "file", 2)
    assert row.holds, row
