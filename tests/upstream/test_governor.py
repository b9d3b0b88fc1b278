"""The governor: one ceiling over all threads and workers, pauses that everybody obeys."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bff import context
from bff.context import Deadline, RequestContext
from bff.errors import RateLimited
from bff.upstream import bypass as bypass_module
from bff.upstream import governor as governor_module
from bff.upstream.governor import Ceiling, Governor, LocalTurns
from bff.upstream.over_redis.turns import RedisTurns
from bff.upstream.store import FileStore, NoStore
from tests.upstream.servers import RedisServer
from tests.upstream.tools import Clock, together, until

WIDE = 1000


@pytest.fixture
def moved(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Have the governor live by a clock that is moved by hand, and by sleeping."""
    clock = Clock(1000.0)
    monkeypatch.setattr(governor_module.time, "monotonic", clock)
    monkeypatch.setattr(governor_module.time, "sleep", clock.move)
    return clock


def local(per_second: int = WIDE, connections: int = WIDE) -> LocalTurns:
    """Return the turns of a worker on its own."""
    return LocalTurns(Ceiling(per_second, connections), NoStore())


def enter(left_s: float = 30, *, background: bool = False) -> None:
    """Begin a request."""
    made = RequestContext("x", Deadline.after(left_s)).apart(left_s, background=background)
    context.enter(made)


@contextmanager
def turn(governor: Governor) -> Iterator[None]:
    """Hold a turn for the block; wait for it by `time.sleep`, which `moved` stands in for."""
    steps, ticket = governor.turn(), None
    while ticket is None:
        try:
            wait = next(steps)
        except StopIteration as end:
            ticket = end.value
        else:
            time.sleep(max(0.0, wait.until - time.monotonic()))
    try:
        yield
    finally:
        governor.done(ticket)


def worst(moments: list[float], window_s: float = 1.0) -> int:
    """Return the most calls in any window."""
    moments = sorted(moments)
    return max(sum(start <= at < start + window_s for at in moments) for start in moments)


class Noted(LocalTurns):
    """Turns that remember when each was given: a busy machine lets a call go later than that."""

    moments: list[float]

    def take(self, ticket: str, *, background: bool) -> float:
        wait_s = super().take(ticket, background=background)
        if wait_s == 0:
            self.moments.append(self._sent[-1])
        return wait_s


class NotedInRedis(RedisTurns):
    """The same by the clock of Redis."""

    moments: list[float]

    def take(self, ticket: str, *, background: bool) -> float:
        wait_s = super().take(ticket, background=background)
        if wait_s == 0:
            at = self._client.zscore(self._keys[0], ticket)
            self.moments.append(float(at) / 1000)  # type: ignore[arg-type]
        return wait_s


def hammer(governors: list[Governor], for_s: float, threads: int = 16) -> int:
    """Call as often as it is let, with so many threads; return how many calls went out."""
    end = time.monotonic() + for_s

    def run(number: int) -> int:
        enter()
        calls = 0
        while time.monotonic() < end:
            try:
                with turn(governors[number % len(governors)]):
                    calls += 1
            except RateLimited:
                time.sleep(0.005)
        return calls

    return sum(together(threads, run))


# -- the rate


def test_governor_when_sixteen_threads_call_then_no_second_has_more_than_the_ceiling() -> None:
    """Real threads, real time: at most twenty calls in any second, and nearly as many."""
    turns = Noted(Ceiling(20, WIDE), NoStore())
    turns.moments = []
    calls = hammer([Governor("tmdb", turns)], 2.1)
    assert worst(turns.moments) <= 20
    assert len(turns.moments) == calls >= 36


def test_turns_when_taken_one_by_one_then_no_window_has_too_many(moved: Clock) -> None:
    """Every spacing of calls: the sum over any window stays at the ceiling."""
    turns, moments = local(10), []
    for step in (0.0, 0.01, 0.05, 0.09, 0.1, 0.3, 0.0, 0.02) * 40:
        moved.move(step)
        if turns.take("x", background=False) == 0:
            moments.append(moved.now)
            turns.done("x")
    assert worst(moments) == 10


def test_turns_when_refused_then_the_wait_is_right(moved: Clock) -> None:
    """After the time that it says there is a turn, and not before."""
    turns = local(2)
    assert [turns.take("x", background=False) for _ in range(2)] == [0, 0]
    wait_s = turns.take("x", background=False)
    assert wait_s == pytest.approx(governor_module.WINDOW_S)
    moved.move(wait_s - 0.001)
    assert turns.take("x", background=False) > 0
    moved.move(0.002)
    assert turns.take("x", background=False) == 0


def test_turns_when_connections_are_used_up_then_nobody_gets_one_until_one_is_back() -> None:
    """Sixteen threads, three connections: never a fourth at once, and all get through."""
    governor = Governor("tmdb", local(connections=3))
    at_once, most, lock = 0, 0, threading.Lock()

    def run(_: int) -> bool:
        nonlocal at_once, most
        enter()
        for _ in range(200):
            try:
                with turn(governor):
                    with lock:
                        at_once += 1
                        most = max(most, at_once)
                    time.sleep(0.002)
                    with lock:
                        at_once -= 1
                return True
            except RateLimited:
                continue
        return False

    assert all(together(16, run))
    assert most == 3
    assert governor._turns._open == 0  # type: ignore[attr-defined]


def test_governor_when_a_call_raises_then_its_connection_is_back() -> None:
    """Also when the call fails."""
    turns = local(connections=1)
    governor = Governor("tmdb", turns)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), turn(governor):
            raise ZeroDivisionError
    assert turns._open == 0


@pytest.mark.parametrize(("workers", "share"), [(1, (40, 20)), (4, (10, 5)), (64, (1, 1))])
def test_ceiling_when_shared_then_each_worker_has_its_part(
    workers: int, share: tuple[int, int]
) -> None:
    """Rounded down, and one at the least."""
    assert Ceiling(40, 20).share(workers) == Ceiling(*share)


# -- who comes first


def test_governor_when_refreshes_run_then_a_quarter_is_left_for_callers(moved: Clock) -> None:
    """Background calls have 75 % of the rate and of the connections."""
    for turns in (local(per_second=20), local(connections=20)):
        refreshes = [turns.take(str(number), background=True) for number in range(20)]
        assert refreshes.count(0) == 15
        callers = [turns.take(str(number), background=False) for number in range(20)]
        assert callers.count(0) == 5


def test_governor_when_a_caller_waits_then_a_refresh_does_not_go_before(moved: Clock) -> None:
    """While an interactive call waits for its turn, a background call takes none."""
    governor = Governor("tmdb", local())
    governor._waiting = 1
    enter(background=True)
    with pytest.raises(RateLimited), turn(governor):
        pass
    governor._waiting = 0
    with turn(governor):
        pass
    enter()
    governor._waiting = 1
    with turn(governor):
        pass
    assert governor._waiting == 1


def test_governor_when_callers_come_and_fail_then_nobody_is_left_waiting(moved: Clock) -> None:
    """The count of those who wait returns to none, or refreshes would starve."""
    turns = local()
    governor = Governor("tmdb", turns)
    turns.pause(100)
    for _ in range(10):
        enter()
        with pytest.raises(RateLimited), turn(governor):
            pass
    assert governor._waiting == 0


# -- deadlines and pauses


def test_governor_when_the_turn_comes_too_late_then_says_so_at_once(moved: Clock) -> None:
    """Longer than half a second, or than what is left: RateLimited, without having waited."""
    governor = Governor("tmdb", local(1))
    for left_s in (30, 0.2):
        enter(left_s)
        moved.move(10)
        context.enter(RequestContext("x", Deadline(moved.now + left_s)))
        with turn(governor):
            pass
        before = moved.now
        with pytest.raises(RateLimited) as caught, turn(governor):
            pass
        assert caught.value.retry_after_s == pytest.approx(governor_module.WINDOW_S)
        assert moved.now == before


def test_governor_when_the_turn_comes_in_time_then_waits_for_it(moved: Clock) -> None:
    """A wait within half a second is waited for."""
    turns = local(1)
    governor = Governor("tmdb", turns)
    context.enter(RequestContext("x", Deadline(moved.now + 30)))
    with turn(governor):
        pass
    moved.move(0.7)
    before = moved.now
    with turn(governor):
        pass
    assert moved.now - before == pytest.approx(governor_module.WINDOW_S - 0.7, abs=0.01)


def test_pause_when_told_then_no_call_goes_out_before_its_end(moved: Clock) -> None:
    """Retry-After is obeyed to its end, and a shorter one does not end it."""
    turns = local()
    turns.pause(7)
    turns.pause(1)
    assert turns.take("x", background=False) == pytest.approx(7)
    moved.move(6.9)
    assert turns.take("x", background=False) > 0
    moved.move(0.2)
    assert turns.take("x", background=False) == 0


def test_pause_when_one_worker_is_told_then_the_other_obeys_through_the_file(
    tmp_path: Path,
) -> None:
    """Two workers of a machine without Redis; the longer pause counts."""
    stores = [FileStore(tmp_path / "cache.sqlite", 100) for _ in range(2)]
    one, other = (LocalTurns(Ceiling(WIDE, WIDE), store) for store in stores)
    assert other.take("x", background=False) == 0
    one.pause(30)
    other.pause(0.5)
    assert 25 < other.take("x", background=False) <= 30
    for store in stores:
        store.close()


# -- through Redis


MakeTurns = Callable[..., RedisTurns]


@pytest.fixture
def make_turns(redis_server: RedisServer) -> MakeTurns:
    """Return a maker of the turns of one of two workers."""

    def make(
        per_second: int = WIDE,
        connections: int = WIDE,
        hold_s: float = 5,
        kind: type[RedisTurns] = RedisTurns,
    ) -> RedisTurns:
        ceiling = Ceiling(per_second, connections)
        alone = LocalTurns(ceiling.share(2), NoStore())
        return kind(redis_server.client(), ceiling, alone, hold_s)

    return make


@pytest.mark.e2e
def test_redis_turns_when_two_workers_call_then_they_keep_one_ceiling(
    make_turns: MakeTurns,
) -> None:
    """Together at most twenty in any second, and one alone may have all of them."""
    workers = [make_turns(20, kind=NotedInRedis) for _ in range(2)]
    moments: list[float] = []
    for turns in workers:
        turns.moments = moments  # type: ignore[attr-defined]
    calls = hammer([Governor("tmdb", turns) for turns in workers], 2.1)
    assert worst(moments) <= 20
    assert len(moments) == calls >= 30
    alone = make_turns(20)
    assert until(lambda: alone.take("x", background=False) == 0, 3)


@pytest.mark.e2e
def test_redis_turns_when_connections_are_used_up_then_by_both(make_turns: MakeTurns) -> None:
    """Three connections over two workers; given back by one they are the other's."""
    one, other = make_turns(connections=3), make_turns(connections=3)
    assert [one.take(str(number), background=False) for number in range(3)] == [0] * 3
    assert other.take("x", background=False) == pytest.approx(governor_module.STEP_S)
    one.done("0")
    assert other.take("x", background=False) == 0


@pytest.mark.e2e
def test_redis_turns_when_a_worker_dies_then_its_connections_come_back(
    make_turns: MakeTurns,
) -> None:
    """After the time that a call can take."""
    dead, other = make_turns(connections=1, hold_s=0.1), make_turns(connections=1)
    assert dead.take("x", background=False) == 0
    assert other.take("y", background=False) > 0
    assert until(lambda: other.take("y", background=False) == 0, 2)


@pytest.mark.e2e
def test_redis_turns_when_refreshes_run_then_a_quarter_is_left_for_callers(
    make_turns: MakeTurns,
) -> None:
    """The same share as in one worker."""
    turns = make_turns(20)
    assert [turns.take(str(n), background=True) for n in range(20)].count(0) == 15
    assert [turns.take(str(n + 20), background=False) for n in range(20)].count(0) == 5


@pytest.mark.e2e
def test_redis_turns_when_one_worker_is_told_to_pause_then_all_do(make_turns: MakeTurns) -> None:
    """A shorter pause of another worker does not take the place of a longer one."""
    one, other, third = make_turns(), make_turns(), make_turns()
    one.pause(30)
    other.pause(0.5)
    assert 25 < third.take("x", background=False) <= 30


@pytest.mark.e2e
def test_redis_turns_when_redis_forgets_a_pause_then_who_was_told_obeys_it(
    make_turns: MakeTurns, redis_server: RedisServer
) -> None:
    """A Redis that was started anew knows nothing; the worker still does."""
    turns = make_turns()
    turns.pause(30)
    redis_server.client().flushall()
    assert turns.take("x", background=False) > 25


@pytest.mark.e2e
def test_redis_turns_when_redis_is_gone_then_each_has_an_equal_share(
    make_turns: MakeTurns,
    redis_server: RedisServer,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Half of the ceiling for each of two, with one warning each, and shared again afterwards."""
    monkeypatch.setattr(bypass_module, "BYPASS_S", 0.2)
    workers = [make_turns(20, connections=8) for _ in range(2)]
    redis_server.kill()
    for turns in workers:
        taken = [str(n) for n in range(20) if turns.take(str(n), background=False) == 0]
        assert len(taken) == 4  # the connections of its half
        for ticket in taken:
            turns.done(ticket)
        more = [str(n) for n in range(4, 12) if turns.take(str(n), background=False) == 0]
        assert len(more) == 4
        for ticket in more:
            turns.done(ticket)
        assert [turns.take(str(n), background=False) for n in range(4)].count(0) == 2
        turns.done("0")
        turns.done("1")
        assert turns._taken_alone == set()
    assert sum("cache.bypassed" in record.getMessage() for record in caplog.records) == 2
    redis_server.start()
    one, other = workers
    assert until(lambda: one.take("again", background=False) == 0 and not one._taken_alone, 3)
    one.done("again")
    assert until(lambda: not other._try._lost or other.take("x", background=False) < 0, 3)


@pytest.mark.e2e
def test_redis_turns_when_redis_goes_then_what_it_gave_counts_in_the_share(
    make_turns: MakeTurns, redis_server: RedisServer
) -> None:
    """A worker that has just had its share through Redis does not have it again alone."""
    turns = make_turns(20)
    for number in range(15):
        assert turns.take(str(number), background=False) == 0
    redis_server.kill()
    assert turns.take("x", background=False) > 0
