"""What many callers see while an upstream fails: one call each, old answers, nothing stuck."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import orjson
import pytest
from werkzeug.test import TestResponse

from tests.bff.upstream.tools import until
from tests.faults.house import House, Running
from tests.faults.server import Answer
from tests.faults.table import PAGES

pytestmark = pytest.mark.e2e

FEED, POPULAR = PAGES[0], PAGES[-1]
DAY_S = 86_400
HANG_GUARD_S = 30


def _ask(running: Running, paths: Iterable[str], threads: int) -> list[TestResponse]:
    """Ask for all paths, `threads` at a time."""
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(running.get, paths))


def _statuses(responses: Iterable[TestResponse]) -> Counter[int]:
    return Counter(response.status_code for response in responses)


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
        assert until(lambda: house.tmdb.asked("*/movie/popular"), HANG_GUARD_S)
        assert house.tmdb.asked("*/movie/popular") == 1


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


@pytest.mark.parametrize("fault", ["timeout", "slow_head"])
def test_movies_when_the_user_service_is_ill_for_more_callers_than_slots_then_they_are_answered(
    house: House, fault: str
) -> None:
    """A dead user service keeps no thread and opens no circuit of TMDB's."""
    settings = {"USER_SERVICE_TIMEOUT_MS": "1000", "USER_SERVICE_CONCURRENT_CALLS": "4"}
    with house.app(f"users {fault}", **settings) as running:
        house.users.fail("*", fault)
        with ThreadPoolExecutor(20) as pool:
            feeds = [pool.submit(running.get, f"{FEED.url}?page={page}") for page in range(1, 21)]
            assert running.get(POPULAR.url).status_code == 200
            assert not house.users.healed.is_set()
            seen = [feed.result() for feed in feeds]
        assert _sections(seen, "movies") == {"ok"}
        assert _sections(seen, "favorites") == {"unavailable"}
        assert _circuits(running) == {"closed"}


def test_movies_when_new_connections_to_the_user_service_time_out_then_tmdb_pays_nothing(
    house: House,
) -> None:
    """One idle connection is left, on which calls go well; TMDB's circuits stay closed."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]

        def one_connection() -> None:
            connection = stack.enter_context(listener.accept()[0])
            stack.callback(connection.shutdown, socket.SHUT_RDWR)
            while connection.recv(65_536):
                connection.sendall(Answer(200, b'{"favorites":[],"watchlist":[],"total":0}').whole)

        threading.Thread(target=one_connection, daemon=True).start()
        settings = {
            "USER_SERVICE_URL": f"http://127.0.0.1:{port}",
            "USER_SERVICE_TIMEOUT_MS": "300",
            "CIRCUIT_BREAKER_FAILURE_THRESHOLD": "5",
        }
        running = stack.enter_context(house.app("no new connections", **settings))
        assert running.get("/api/users/favorites").status_code == 200
        for _ in range(4):  # nobody accepts them: the backlog is full
            caller = stack.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(("127.0.0.1", port))
        feeds = [running.get(f"{FEED.url}?page={page}") for page in range(1, 6)]
        assert _sections(feeds, "movies") == {"ok"}
        assert _circuits(running) == {"closed"}
        assert running.get(f"{POPULAR.url}?page=7").status_code == 200


def _sections(feeds: list[TestResponse], name: str) -> set[str]:
    """Return how a section of the feeds is."""
    assert _statuses(feeds) == {200: len(feeds)}
    return {orjson.loads(feed.data)["sections"][name]["status"] for feed in feeds}


def _circuits(running: Running) -> set[str]:
    """Return the states of TMDB's circuits, as readiness tells them."""
    checks = running.get("/health/ready").get_json(force=True)["checks"]["tmdb:circuit"]
    return {check["observedValue"] for check in checks}
