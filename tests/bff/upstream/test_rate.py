"""How often an upstream may be called: the ceiling, the pauses, the retry budget."""

from __future__ import annotations

import limits.storage.memory
import limits.storage.redis
import pytest

from bff import context
from bff.context import Deadline, RequestContext
from bff.errors import RateLimited
from bff.upstream import rate as rate_module
from bff.upstream import shared as shared_module
from bff.upstream.rate import Ceiling, Pause
from tests.bff.upstream.servers import RedisServer
from tests.bff.upstream.tools import Clock, logged, permits, together


class Time:
    """A `time` that goes on by sleeping only."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0
        self.slept: list[float] = []

    def time(self) -> float:
        return self.now

    monotonic = time

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def moved(monkeypatch: pytest.MonkeyPatch) -> Time:
    """Have ceilings, and the library that counts, live by a time that is moved by hand."""
    made = Time()
    for module in (rate_module, limits.storage.memory, limits.storage.redis):
        monkeypatch.setattr(module, "time", made)
    return made


def enter(left_s: float = 30, *, background: bool = False) -> None:
    """Begin a request."""
    context.enter(RequestContext("x", Deadline.after(left_s), background=background))


def taken(ceiling: Ceiling, tries: int) -> int:
    """Return how many of so many calls at once go out."""
    went = 0
    for _ in range(tries):
        try:
            ceiling.take()
            went += 1
        except RateLimited:
            pass
    return went


# -- the ceiling


@pytest.mark.parametrize(("left_s", "passed_s"), [(30, 0.7), (30, 0.3), (0.2, 0.7)])
def test_ceiling_when_a_permit_comes_soon_then_a_caller_waits_for_it(
    moved: Time, left_s: float, passed_s: float
) -> None:
    """Later than half a second, or than the deadline, it says so: an old answer is better."""
    ceiling = Ceiling("tmdb", 1, permits())
    ceiling.take()
    moved.now += passed_s
    enter(left_s)
    if (left_s, passed_s) == (30, 0.7):
        ceiling.take()
        assert sum(moved.slept) == pytest.approx(0.3, abs=0.02)
        return
    with pytest.raises(RateLimited) as caught:
        ceiling.take()
    assert caught.value.retry_after_s == pytest.approx(1 - passed_s, abs=0.01)
    assert moved.slept == []


def test_ceiling_when_refreshes_run_then_a_quarter_is_left_for_callers(moved: Time) -> None:
    """A refresh does not wait: its page is long out."""
    ceiling = Ceiling("tmdb", 20, permits())
    enter(background=True)
    assert taken(ceiling, 40) == 15
    enter()
    assert taken(ceiling, 5) == 5
    assert moved.slept == []


# -- pauses


def looks(pause: Pause) -> bool | float:
    """Return whether a call goes out to look, or how long it must wait."""
    try:
        return pause.check()
    except RateLimited as error:
        return error.retry_after_s or 0.0


def test_pause_when_it_is_long_then_one_call_looks_every_time_and_the_others_wait(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """After two minutes, and again where the call that looked never came back."""
    pause = Pause("tmdb", clock=clock)
    pause.begin(3600)
    assert logged(caplog) == [("upstream.pause", {"upstream": "tmdb", "wait_s": 3600})]
    clock.move(119)
    assert looks(pause) == 1
    clock.move(1)
    results = together(20, lambda _: looks(pause))
    assert (results.count(True), results.count(5)) == (1, 19)
    clock.move(5)
    assert [looks(pause) for _ in range(2)] == [True, 5]
    pause.begin(3600)  # it was told the same
    assert looks(pause) == 120
    clock.move(120)
    assert looks(pause) is True
    pause.end()
    assert looks(pause) is False


# -- over Redis


@pytest.mark.e2e
def test_ceiling_when_two_workers_share_a_redis_then_they_have_one(
    redis_server: RedisServer, moved: Time
) -> None:
    """Together no more than one alone may have; refreshes leave the same reserve."""
    one, other = (Ceiling("tmdb", 20, permits(redis_server.url)) for _ in range(2))
    enter(0.1, background=True)
    assert taken(one, 10) + taken(other, 10) == 15
    enter(0.1)
    assert taken(one, 10) + taken(other, 10) == 5
    moved.now += 1.1
    assert taken(other, 30) == 20


@pytest.mark.e2e
def test_pause_when_two_workers_share_a_redis_then_one_is_told_and_both_obey(
    redis_server: RedisServer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One call of both looks, and ends it for both. Redis may go, come back, or hold garbage."""
    monkeypatch.setattr(shared_module, "COOLDOWN_S", 0.0)
    one, other = (Pause("tmdb", redis_server.connect(), clock) for _ in range(2))
    one.begin(3600)
    assert looks(other) == 120
    clock.move(120)
    assert [looks(other), looks(one), looks(other)] == [True, 5, 5]
    other.end()
    assert [looks(one), looks(other)] == [False, False]
    one.begin(30)
    assert looks(other) == 30
    assert 0 < redis_server.client().pttl("bff:tmdb:pause") <= 30_000
    redis_server.kill()
    assert looks(one) == 30  # who was told obeys
    assert looks(Pause("tmdb", redis_server.connect(), clock)) is False  # a restart forgets it
    one.begin(60)
    assert looks(one) == 60
    redis_server.start()
    assert looks(one) is False
    for garbage in (b"garbage", b"1 2 3", b""):
        redis_server.client().set("bff:tmdb:pause", garbage)
        assert looks(one) is False
