"""What many callers see while an upstream fails: one call each, old answers, nothing stuck."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import orjson
import pytest
from werkzeug.test import TestResponse

from tests.faults.house import House, Running
from tests.faults.table import PAGES

pytestmark = pytest.mark.e2e

FEED, POPULAR = PAGES[0], PAGES[-1]
DAY_S = 86_400
UNKNOWN = 900_000_000  # no film has such a number
HANG_GUARD_S = 30


def _ask(running: Running, paths: Iterable[str], threads: int) -> list[TestResponse]:
    """Ask for all paths, `threads` at a time."""
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(running.get, paths))


def _statuses(responses: Iterable[TestResponse]) -> Counter[int]:
    return Counter(response.status_code for response in responses)


def test_single_flight_when_fifty_ask_for_a_cold_key_then_one_call_goes_out(
    house: House,
) -> None:
    """The other 49 wait for the one call and get its answer; none takes a slot for it."""
    with house.app("flight", TMDB_CONCURRENT_CALLS="4") as running:
        seen = _ask(running, [POPULAR.url] * 50, 50)
        assert _statuses(seen) == {200: 50}
        assert house.tmdb.asked("*/movie/popular") == 1


def test_expired_key_when_fifty_ask_then_all_are_answered_before_the_one_call_is(
    house: House,
) -> None:
    """Past its ttl an answer is served while one call, which hangs here, asks for a new one."""
    house.healthy(POPULAR)
    with house.app(POPULAR.name, 400) as running:
        house.tmdb.fail("*", "timeout")
        seen = _ask(running, [POPULAR.url] * 50, 50)
        assert not house.tmdb.healed.is_set()  # nobody waited for the call
        assert _statuses(seen) == {200: 50}
        end = time.monotonic() + HANG_GUARD_S
        while not house.tmdb.asked("*/movie/popular"):
            assert time.monotonic() < end
        assert house.tmdb.asked("*/movie/popular") == 1


def test_unknown_films_when_looked_up_again_and_again_then_one_call_each_and_no_open_circuit(
    house: House,
) -> None:
    """404 is an answer: it is kept for a minute, and no circuit counts it."""
    paths = [f"/api/movies/{UNKNOWN + number % 20}" for number in range(100)]
    with house.app("unknown") as running:
        for age_s in (0, 61):
            house.tmdb.calls.clear()
            running.cache.clock = lambda age_s=age_s: time.time() + age_s
            assert _statuses(_ask(running, paths, 4)) == {404: 100}
            assert set(Counter(house.tmdb.calls).values()) == {1}
        circuits = running.guards["tmdb"].breakers.all()
        assert [circuit.state for circuit in circuits] == ["closed"]


@pytest.mark.parametrize(
    ("age_s", "status"), [(3 * 3600, 200), (DAY_S - 3600, 200), (DAY_S + 15_000, 502)]
)
def test_feed_when_every_upstream_fails_then_old_films_are_served_for_a_day(
    house: House, age_s: int, status: int
) -> None:
    """The clock is moved. The day counts from the end of the ttl."""
    house.healthy(FEED)
    with house.app(FEED.name, age_s) as running:
        for upstream in house.upstreams.values():
            upstream.fail("*", "500")
        seen = running.get(FEED.url)
    assert seen.status_code == status
    if status == 200:
        body = orjson.loads(seen.data)
        assert body["movies"]
        assert body["sections"]["movies"]["status"] == "stale"
        assert body["sections"]["movies"]["age"] >= age_s
        assert body["sections"]["favorites"]["status"] == "unavailable"


def test_movies_when_the_user_service_hangs_for_more_callers_than_slots_then_they_are_answered(
    house: House,
) -> None:
    """A dead user service keeps no thread and opens no circuit of TMDB's."""
    settings = {"USER_SERVICE_TIMEOUT_MS": "1000"}
    with house.app("hanging users", **settings) as running:
        house.users.fail("*", "timeout")
        with ThreadPoolExecutor(40) as pool:
            feeds = [pool.submit(running.get, f"{FEED.url}?page={page}") for page in range(1, 41)]
            assert running.get(POPULAR.url).status_code == 200
            assert not house.users.healed.is_set()
            seen = [feed.result() for feed in feeds]
        assert _statuses(seen) == {200: 40}
        parts = [orjson.loads(one.data)["sections"] for one in seen]
        assert {part["movies"]["status"] for part in parts} == {"ok"}
        assert {part["favorites"]["status"] for part in parts} == {"unavailable"}
        circuits = running.guards["tmdb"].breakers.all()
        assert {circuit.state for circuit in circuits} == {"closed"}
