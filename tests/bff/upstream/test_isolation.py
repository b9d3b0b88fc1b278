"""Pool, bulkheads and deadline together: one upstream that hangs takes nothing from the other."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from bff.upstream.direct import DirectCall
from tests.upstream.servers import RawServer, always, answer
from tests.upstream.tools import prepared, until

from bff import context
from bff.context import Deadline, RequestContext
from bff.fan_out import FanOut
from bff.model import Failed, Ok, Reason
from bff.upstream.guard import Guard, Policy

pytestmark = pytest.mark.e2e

Serve = Callable[..., RawServer]
TIMEOUT_S = 0.3


class House:
    """A pool of eight threads, and two upstreams that have four slots each."""

    def __init__(self, fan_out: FanOut, tmdb: RawServer, users: RawServer) -> None:
        self.fan_out = fan_out
        self.guards = {
            name: Guard(Policy(name, TIMEOUT_S, 4, None), fan_out.submit)
            for name in ("tmdb", "users")
        }
        self._urls = {"tmdb": tmdb.url, "users": users.url}

    def call(self, name: str) -> DirectCall:
        guard, request = self.guards[name], prepared(self._urls[name])
        return DirectCall(guard, lambda: guard.sending("read", request, lambda reply: reply.body))

    def in_flight(self) -> dict[str, int]:
        return {name: guard.bulkhead.in_flight for name, guard in self.guards.items()}

    def queued(self) -> int:
        return self.fan_out._pool._work_queue.qsize()


@pytest.fixture
def house(fan_out: FanOut, serve: Serve) -> Iterator[House]:
    """Return a house whose TMDB answers and whose user service hangs."""
    hangs = serve(lambda connection, server: server.over.wait(30))
    made = House(fan_out, serve(always(answer(b"films"))), hangs)
    yield made
    for guard in made.guards.values():
        guard.close()


def begin(seconds: float) -> None:
    """Begin a request that has so much time."""
    context.enter(RequestContext("x", Deadline.after(seconds)))


def test_page_when_the_user_service_hangs_then_tmdbs_part_is_whole(house: House) -> None:
    """The page ends at its deadline with the films, and with the reason for the rest."""
    begin(0.15)
    started = time.monotonic()
    outcomes = house.fan_out.run({"films": house.call("tmdb"), "marks": house.call("users")})
    took_s = time.monotonic() - started
    assert outcomes["films"] == Ok(b"films")
    assert outcomes["marks"] == Failed("users", Reason.TIMEOUT)
    assert 0.14 <= took_s <= 0.35


def test_page_when_calls_are_abandoned_then_slots_and_threads_are_back_within_the_timeout(
    house: House,
) -> None:
    """A page gives up before its calls do; they end by themselves, and nothing is left."""
    threads = threading.active_count()
    begin(0.05)
    plan = {str(number): house.call("users") for number in range(4)}
    outcomes = house.fan_out.run(plan)
    assert {outcome.reason for outcome in outcomes.values()} == {Reason.TIMEOUT}  # type: ignore[union-attr]
    assert until(lambda: house.in_flight() == {"tmdb": 0, "users": 0}, TIMEOUT_S + 0.5)
    assert house.queued() == 0
    assert until(lambda: threading.active_count() <= threads + 8 + 8, 2)  # the pool's, the servers'
    begin(5)
    assert house.fan_out.one(house.call("tmdb")) == Ok(b"films")


def test_pages_when_the_user_service_is_full_then_refused_at_once_and_nothing_queues(
    house: House,
) -> None:
    """The fifth call is refused without waiting; TMDB has all of its slots and threads."""
    begin(5)
    held = [house.call("users").start() for _ in range(4)]
    assert house.in_flight()["users"] == 4
    for _ in range(50):
        started = time.monotonic()
        outcomes = house.fan_out.run({"marks": house.call("users"), "films": house.call("tmdb")})
        assert outcomes == {"marks": Failed("users", Reason.SATURATED, 1), "films": Ok(b"films")}
        assert house.queued() == 0
        if held[0].done():
            break
        assert time.monotonic() - started < TIMEOUT_S
    assert all(future.exception(5) is not None for future in held)


def test_pool_when_every_slot_of_every_upstream_is_taken_then_nothing_queues(
    fan_out: FanOut,
) -> None:
    """The slots together are the threads: each call that has a slot has a thread at once."""
    guards = [Guard(Policy(name, 5, 4, None), fan_out.submit) for name in ("tmdb", "users")]
    inside, leave = threading.Semaphore(0), threading.Event()

    def task() -> None:
        inside.release()
        leave.wait(10)

    futures = [guard.start(task) for guard in guards for _ in range(4)]
    assert all(inside.acquire(timeout=5) for _ in range(8))
    assert fan_out._pool._work_queue.qsize() == 0
    refused = [guard.start(task) for guard in guards for _ in range(100)]
    assert all(future.done() for future in refused)
    assert fan_out._pool._work_queue.qsize() == 0
    leave.set()
    for future in futures:
        future.result(5)
    assert [guard.bulkhead.in_flight for guard in guards] == [0, 0]
    for guard in guards:
        guard.close()


def test_page_when_its_deadline_is_over_before_it_begins_then_ends_at_once(house: House) -> None:
    """A request that waited too long in front of the house makes nobody wait."""
    begin(-1)
    started = time.monotonic()
    outcomes = house.fan_out.run({"marks": house.call("users")})
    assert outcomes == {"marks": Failed("users", Reason.TIMEOUT)}
    assert time.monotonic() - started < 0.2
    assert until(lambda: house.in_flight()["users"] == 0)
