"""The circuit breaker: what opens it, what does not, and how it closes again."""

from __future__ import annotations

import threading
import time

import pytest
import time_machine

from bff.errors import CircuitOpen, Unreachable
from bff.upstream.breaker import Breaker, BreakerPolicy, CutShort, NoBreaker
from tests.upstream.tools import Clock, together

POLICY = BreakerPolicy(failures=5, open_s=60, slow_s=1.0, window_s=30, least_calls=20, rate=0.5)
DOWN = Unreachable("tmdb")


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    """Return a closed circuit on a clock that stands."""
    return Breaker("tmdb", "popular", POLICY, clock=clock)


def call(breaker: Breaker, error: Exception | None = None) -> None:
    """Make a call that fails with `error`, or not."""
    with breaker.calling():
        if error:
            raise error


def fail(breaker: Breaker, times: int = 1) -> None:
    """Make calls that fail."""
    for _ in range(times):
        with pytest.raises(Unreachable):
            call(breaker, DOWN)


def test_breaker_when_eight_calls_run_then_they_overlap(breaker: Breaker) -> None:
    """No lock is held across a call: eight meet inside of it."""
    barrier = threading.Barrier(8)

    def run(_: int) -> int:
        with breaker.calling():
            return barrier.wait(5)

    assert sorted(together(8, run)) == list(range(8))


def test_breaker_when_failures_follow_each_other_then_opens_at_the_fifth(breaker: Breaker) -> None:
    """Four failures leave it closed, the fifth opens it."""
    fail(breaker, 4)
    assert breaker.state == "closed"
    fail(breaker)
    assert breaker.state == "open"
    with pytest.raises(CircuitOpen):
        call(breaker)


def test_breaker_when_a_success_comes_between_then_counts_anew(breaker: Breaker) -> None:
    """Failures in a row are what counts: a success ends the row."""
    for _ in range(4):
        fail(breaker, 4)
        call(breaker)
    assert breaker.state == "closed"


def test_breaker_when_it_trips_then_the_cause_is_raised(breaker: Breaker) -> None:
    """The caller of the last failure hears what failed, not that a circuit opened."""
    fail(breaker, 4)
    with pytest.raises(Unreachable) as caught:
        call(breaker, DOWN)
    assert caught.value is DOWN
    assert breaker.state == "open"


@pytest.mark.parametrize(("bad", "of"), [(2, 3), (1, 2), (3, 4)])
def test_breaker_when_failures_are_interleaved_then_opens_on_their_rate(
    breaker: Breaker, clock: Clock, bad: int, of: int
) -> None:
    """Two of three failing never are five in a row, and open it after twenty calls."""
    for number in range(19):
        fail(breaker) if number % of < bad else call(breaker)
        clock.move(0.1)
    assert breaker.state == "closed"
    for number in range(19, 40):
        if breaker.state == "open":
            break
        fail(breaker) if number % of < bad else call(breaker)
    assert breaker.state == "open"


def test_breaker_when_few_fail_then_stays_closed(breaker: Breaker, clock: Clock) -> None:
    """A third of failures, for minutes, is below the rate."""
    for number in range(600):
        call(breaker) if number % 3 else fail(breaker)
        clock.move(0.2)
    assert breaker.state == "closed"


def test_breaker_when_failures_are_older_than_the_window_then_they_do_not_count(
    breaker: Breaker, clock: Clock
) -> None:
    """The rate is that of the last thirty seconds."""
    for _ in range(9):
        fail(breaker)
        call(breaker)
    clock.move(31)
    for _ in range(5):
        fail(breaker)
        call(breaker)
    assert breaker.state == "closed"


def test_breaker_when_calls_are_slow_then_opens(breaker: Breaker, clock: Clock) -> None:
    """A good answer that takes longer than `slow_s` counts as failed, and is an answer."""
    for _ in range(5):
        with breaker.calling():
            clock.move(1.01)
    assert breaker.state == "open"


def test_breaker_when_calls_take_just_not_too_long_then_stays_closed(
    breaker: Breaker, clock: Clock
) -> None:
    """The limit itself is not slow."""
    for _ in range(50):
        with breaker.calling():
            clock.move(0.99)
    assert breaker.state == "closed"


def test_breaker_when_open_then_says_how_long(breaker: Breaker, clock: Clock) -> None:
    """`retry_after` is what is left of the time, to callers and to those who only look."""
    fail(breaker, 5)
    clock.move(18.5)
    for ask in (breaker.check, lambda: call(breaker)):
        with pytest.raises(CircuitOpen) as caught:
            ask()
        assert caught.value.retry_after_s == pytest.approx(41.5)


def test_breaker_when_half_open_and_dead_then_one_of_twenty_goes_out(
    breaker: Breaker, clock: Clock
) -> None:
    """Twenty threads find a half-open circuit: one probe goes out, the others are refused."""
    fail(breaker, 5)
    clock.move(60)
    out, refused = [], threading.Semaphore(0)

    def probe(_: int) -> None:
        try:
            with breaker.calling():
                out.append(1)
                for _ in range(19):  # the probe is out until all the others were refused
                    assert refused.acquire(timeout=5)
                raise DOWN
        except CircuitOpen:
            refused.release()
            raise

    results = together(20, probe)
    assert len(out) == 1
    assert results.count(DOWN) == 1
    assert sum(isinstance(result, CircuitOpen) for result in results) == 19
    with pytest.raises(CircuitOpen) as caught:
        breaker.check()
    assert caught.value.retry_after_s == pytest.approx(60)


def test_breaker_when_a_probe_is_out_then_nobody_needs_a_turn_to_hear_no(
    breaker: Breaker, clock: Clock
) -> None:
    """`check` refuses while a probe is out, so that nobody waits for a turn in vain."""
    fail(breaker, 5)
    clock.move(60)
    breaker.check()
    with breaker.calling(), pytest.raises(CircuitOpen) as caught:
        breaker.check()
    assert caught.value.retry_after_s == 1


def test_breaker_when_two_probes_are_good_then_closes(breaker: Breaker, clock: Clock) -> None:
    """After `successes` good probes it is closed, and counts failures from zero."""
    fail(breaker, 5)
    clock.move(60)
    call(breaker)
    assert breaker.state == "half-open"
    call(breaker)
    assert breaker.state == "closed"
    fail(breaker, 4)
    assert breaker.state == "closed"


def test_breaker_when_the_second_probe_fails_then_waits_a_whole_time_again(
    breaker: Breaker, clock: Clock
) -> None:
    """One good probe is not enough, and is forgotten when the next one fails."""
    fail(breaker, 5)
    clock.move(60)
    call(breaker)
    fail(breaker)
    clock.move(59)
    with pytest.raises(CircuitOpen):
        call(breaker)
    clock.move(1)
    call(breaker)
    assert breaker.state == "half-open"


def test_breaker_when_closed_again_then_failures_of_the_outage_are_forgotten(
    clock: Clock,
) -> None:
    """The window of the rate starts anew, also where it is longer than the circuit was open."""
    breaker = Breaker("tmdb", "popular", BreakerPolicy(failures=50, open_s=1), clock=clock)
    fail(breaker, 20)
    assert breaker.state == "open"
    clock.move(1)
    call(breaker)
    call(breaker)
    fail(breaker, 5)
    assert breaker.state == "closed"


def test_breaker_when_results_come_after_it_opened_then_they_count_for_nothing(
    breaker: Breaker, clock: Clock
) -> None:
    """Calls that were out when it opened neither prolong it nor close it."""
    late = [breaker.calling() for _ in range(3)]
    for one in late:
        one.__enter__()
    fail(breaker, 5)
    clock.move(30)
    assert not late[0].__exit__(Unreachable, DOWN, None)
    with pytest.raises(CircuitOpen) as caught:
        breaker.check()
    assert caught.value.retry_after_s == pytest.approx(30)
    clock.move(30)
    call(breaker)
    late[1].__exit__(None, None, None)
    assert breaker.state == "half-open"
    late[2].__exit__(Unreachable, DOWN, None)
    assert breaker.state == "half-open"


def test_breaker_when_a_request_had_no_time_then_it_says_nothing_about_the_upstream(
    breaker: Breaker, clock: Clock
) -> None:
    """Timeouts that are the request's own fault open nothing and decide no probe."""
    for _ in range(50):
        with pytest.raises(CutShort):
            call(breaker, CutShort("tmdb"))
    assert breaker.state == "closed"
    fail(breaker, 5)
    clock.move(60)
    with pytest.raises(CutShort):
        call(breaker, CutShort("tmdb"))
    assert breaker.state == "half-open"
    call(breaker)


def test_breaker_when_one_operation_fails_then_the_others_go_on(clock: Clock) -> None:
    """One circuit per class of operation."""
    search, popular = (Breaker("tmdb", name, POLICY, clock=clock) for name in ("search", "popular"))
    fail(search, 5)
    assert (search.state, popular.state) == ("open", "closed")


@pytest.mark.parametrize("jump_s", [-86_400, 86_400])
def test_breaker_when_the_wall_clock_jumps_then_it_keeps_its_time(jump_s: float) -> None:
    """A wall clock that is set back does not keep it open, one set forward does not end it."""
    breaker = Breaker("tmdb", "popular", POLICY)
    fail(breaker, 5)
    with time_machine.travel(time.time() + jump_s), pytest.raises(CircuitOpen) as caught:
        breaker.check()
    assert caught.value.retry_after_s == pytest.approx(60, abs=5)


def test_breaker_when_many_threads_fail_at_once_then_it_opens_once(
    breaker: Breaker, caplog: pytest.LogCaptureFixture
) -> None:
    """Fifty failures that come back together are one change of state."""
    barrier = threading.Barrier(50)

    def run(_: int) -> None:
        with breaker.calling():
            barrier.wait(5)
            raise DOWN

    assert together(50, run).count(DOWN) == 50
    assert sum("breaker.state" in record.getMessage() for record in caplog.records) == 1


def test_breaker_when_switched_off_then_every_call_goes_out() -> None:
    """Without a circuit nothing is refused."""
    breaker = NoBreaker()
    for _ in range(100):
        breaker.check()
        with pytest.raises(Unreachable), breaker.calling():
            raise DOWN
