"""The circuit breakers: what opens them, what does not, how they close, and with whom."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
import time_machine

from bff.errors import (
    BadResponse,
    CircuitOpen,
    ConnectFailed,
    ConnectTimeout,
    CredentialRefused,
    CutShort,
    NotFound,
    RateLimited,
    Unreachable,
    UpstreamError,
    UpstreamFailed,
    UpstreamTimeout,
)
from bff.upstream import shared as shared_module
from bff.upstream.breaker import Breaker, BreakerPolicy, Breakers
from tests.bff.upstream.servers import RedisServer
from tests.bff.upstream.tools import Clock, logged, together

POLICY = BreakerPolicy(failures=5, open_s=60, window_s=30, least_calls=20, rate=0.5, least_keys=3)
REFUSED = ConnectFailed("tmdb")
FAILED = UpstreamFailed("tmdb")
ANSWERS = [FAILED, BadResponse("tmdb"), UpstreamTimeout("tmdb"), Unreachable("tmdb")]
# Of the request, of our credential, of our own limits, or a bug of ours.
OTHERS = [
    *(CutShort("tmdb"), CredentialRefused("tmdb"), RateLimited("tmdb"), NotFound("tmdb", "film 5")),
    *(TypeError("a bug"), KeyboardInterrupt()),
]


def kind(value: object) -> str:
    """Name a parameter."""
    return value if isinstance(value, str) else type(value).__name__


@pytest.fixture
def wall() -> Iterator[time_machine.Traveller]:
    """Stop the clock that tells how long a circuit has been open."""
    with time_machine.travel(1_800_000_000, tick=False) as traveller:
        yield traveller


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    """Return a closed circuit whose window lives by a clock that stands."""
    return Breaker("tmdb", "popular", POLICY, clock=clock)


def call(breaker: Breaker, error: BaseException | None = None, key: str = "film 1") -> None:
    """Make a call that fails with `error`, or not."""
    with breaker.calling(key, lambda: None):
        if error:
            raise error


def fail(breaker: Breaker, *errors: BaseException, key: str = "film {}") -> None:
    """Make calls that fail, each for a key of its own unless told otherwise."""
    for number, error in enumerate(errors):
        with pytest.raises(type(error)) as caught:
            call(breaker, error, key.format(number))
        assert caught.value is error  # the caller hears what failed, not that a circuit opened


def refused(breaker: Breaker) -> CircuitOpen:
    """Make a call that may not go out."""
    with pytest.raises(CircuitOpen) as caught:
        call(breaker)
    return caught.value


# -- what opens it


@pytest.mark.parametrize("error", [REFUSED, ConnectTimeout("tmdb"), *ANSWERS], ids=kind)
def test_breaker_when_five_calls_fail_in_a_row_then_opens(
    breaker: Breaker, error: UpstreamError
) -> None:
    """A good answer ends the row. A failure to connect counts whatever the key is."""
    key = "film 1" if isinstance(error, ConnectFailed | ConnectTimeout) else "film {}"
    for _ in range(3):
        fail(breaker, *[error] * 4, key=key)
        call(breaker)
    fail(breaker, *[error] * 4, key=key)
    assert breaker.state == "closed"
    fail(breaker, CutShort("tmdb"), error, key="film 5")  # one that was cut does not hide it
    assert breaker.state == "open"
    refused(breaker)


@pytest.mark.parametrize("films", [1, 2])
@pytest.mark.parametrize("error", ANSWERS, ids=kind)
def test_breaker_when_answers_fail_for_one_key_or_two_then_never_opens(
    breaker: Breaker, clock: Clock, error: UpstreamError, films: int
) -> None:
    """A film that always answers 500, or a library of more than 8 MB, shuts nobody out."""
    for number in range(200):
        with pytest.raises(UpstreamError):
            call(breaker, error, f"film {number % films}")
        clock.move(0.1)
    assert breaker.state == "closed"


@pytest.mark.parametrize("error", OTHERS, ids=kind)
def test_breaker_when_something_else_is_raised_then_it_says_nothing_of_the_upstream(
    breaker: Breaker, error: BaseException
) -> None:
    """However often, and for however many keys."""
    fail(breaker, *[error] * 50)
    assert breaker.state == "closed"


@pytest.mark.parametrize("error", [REFUSED, *ANSWERS], ids=kind)
@pytest.mark.parametrize(("bad", "of", "opens"), [(2, 3, True), (1, 2, True), (1, 3, False)])
def test_breaker_when_half_of_the_calls_fail_then_opens_on_their_rate(
    breaker: Breaker, clock: Clock, error: UpstreamError, bad: int, of: int, opens: bool
) -> None:
    """Two of three failing never are five in a row, and open it after twenty calls in a while."""
    for number in range(15):
        with suppress(UpstreamError):
            call(breaker, None if number % 2 else error, f"film {number}")
    clock.move(31)  # those are too long ago
    for number in range(60):
        if breaker.state == "open":
            break
        if number % of < bad:
            fail(breaker, error, key="film 1" if error is REFUSED else f"film {number}")
        else:
            call(breaker)
        clock.move(0.1)
        assert breaker.state == "closed" or number >= 19
    assert (breaker.state == "open") == opens


def test_breaker_when_calls_overlap_then_none_waits_and_it_opens_once(
    breaker: Breaker, caplog: pytest.LogCaptureFixture
) -> None:
    """No lock is held across a call; fifty failures together are one change and one line."""
    barrier = threading.Barrier(50)

    def run(_: int) -> None:
        with breaker.calling("film 1", lambda: None):
            barrier.wait(10)
            raise REFUSED

    assert together(50, run).count(REFUSED) == 50
    assert breaker.state == "open"
    told = [fields for name, fields in logged(caplog) if name == "breaker.state"]
    assert told == [{"breaker": "tmdb.popular", "before": "closed", "now": "open"}]


# -- how it closes


@pytest.mark.parametrize("good", [True, False])
def test_breaker_when_its_time_is_over_then_one_probe_of_twenty_goes_out_and_decides(
    breaker: Breaker, wall: time_machine.Traveller, good: bool
) -> None:
    """A good one closes the circuit, a failed one opens it for its whole time again."""
    fail(breaker, *[REFUSED] * 5)
    wall.shift(18.5)
    assert refused(breaker).retry_after_s == pytest.approx(41.5)
    wall.shift(41.5)
    turned_away = threading.Semaphore(0)

    def probe(_: int) -> str:
        try:
            with breaker.calling("film 1", lambda: None):
                assert all(turned_away.acquire(timeout=10) for _ in range(19))
                if not good:
                    raise REFUSED
        except CircuitOpen as error:
            turned_away.release()
            return f"wait {error.retry_after_s}"
        return "good"

    results = together(20, probe)
    assert results.count("wait 1.0") == 19
    assert results.count("good" if good else REFUSED) == 1
    if good:
        fail(breaker, *[REFUSED] * 4)
        assert breaker.state == "closed"
    else:
        wall.shift(59)
        assert refused(breaker).retry_after_s == pytest.approx(1)
        wall.shift(1)
        call(breaker)


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (REFUSED, "open"),
        *((error, "half-open") for error in [*ANSWERS, CutShort("tmdb"), KeyboardInterrupt()]),
        *((error, "closed") for error in OTHERS[1:] if isinstance(error, Exception)),
    ],
    ids=kind,
)
def test_breaker_when_a_probe_ends_then_any_answer_closes_it(
    breaker: Breaker, wall: time_machine.Traveller, error: BaseException, state: str
) -> None:
    """Also one that refuses our credential or says that there is no such film; none does not.

    What may be the fault of its key leaves it to the next probe.
    """
    fail(breaker, *[REFUSED] * 5)
    wall.shift(60)
    fail(breaker, error)
    assert breaker.state == state


def test_breaker_when_probes_fail_for_several_keys_then_it_opens_again(
    breaker: Breaker, wall: time_machine.Traveller
) -> None:
    """One film that always fails cannot keep the circuit open, and three are the upstream."""
    fail(breaker, *[REFUSED] * 5)
    wall.shift(60)
    for key, state in (("1", "half-open"), ("1", "half-open"), ("2", "half-open"), ("3", "open")):
        with pytest.raises(UpstreamFailed), breaker.calling(f"film {key}", lambda: None):
            raise FAILED
        assert breaker.state == state


# -- those of an upstream


def fails(breakers: Breakers, times: int = 5, operation: str = "popular") -> None:
    """Make calls that get no connection."""
    for _ in range(times):
        with pytest.raises(ConnectFailed), breakers.calling(operation, "x", lambda: None):
            raise REFUSED


def succeeds(breakers: Breakers, operation: str = "popular") -> None:
    """Make a good call."""
    with breakers.calling(operation, "x", lambda: 7) as permitted:
        assert permitted == 7


def is_open(breakers: Breakers) -> None:
    """Make a call that may not go out."""
    with pytest.raises(CircuitOpen):
        succeeds(breakers)


def states(breakers: Breakers) -> dict[str, str]:
    """Return the state of each circuit that was used."""
    return {breaker.operation: breaker.state for breaker in breakers.all()}


def test_breakers_when_one_operation_fails_then_the_others_go_on_until_all_are_closed() -> None:
    """`close` needs no probe: who calls it knows that the upstream is back."""
    breakers = Breakers("tmdb", POLICY)
    fails(breakers, operation="search")
    succeeds(breakers)
    assert states(breakers) == {"search": "open", "popular": "closed"}
    breakers.close()
    succeeds(breakers, "search")
    fails(breakers, 4, "search")
    assert states(breakers) == {"search": "closed", "popular": "closed"}


def test_breakers_when_switched_off_then_every_call_goes_out() -> None:
    """Without a policy nothing is refused, and permits are asked for all the same."""
    breakers = Breakers("tmdb", None)
    fails(breakers, 100)
    succeeds(breakers)
    assert states(breakers) == {}


# -- over Redis


@pytest.mark.e2e
def test_breakers_when_they_share_a_redis_then_what_one_worker_finds_out_the_other_obeys(
    redis_server: RedisServer, wall: time_machine.Traveller
) -> None:
    """Open for both, one probe of both together, and closed for both."""
    one, other = (Breakers("tmdb", POLICY, redis_server.connect()) for _ in range(2))
    fails(one, 3)
    fails(other, 2)
    is_open(one)
    is_open(other)
    wall.shift(60)
    with (
        one.calling("popular", "x", lambda: None),
        pytest.raises(CircuitOpen, match="elsewhere"),
    ):
        succeeds(other)
    succeeds(other)
    assert states(one) == states(other) == {"popular": "closed"}
    fails(one)
    other.close()
    succeeds(one)


@pytest.mark.e2e
@pytest.mark.parametrize("lose", [RedisServer.kill, RedisServer.stop], ids=["gone", "hanging"])
def test_breakers_when_redis_goes_and_comes_back_then_no_call_fails_for_it(
    redis_server: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    lose: Callable[[RedisServer], None],
) -> None:
    """At the start, in the middle, and back again: calls go out, with one warning each time."""
    monkeypatch.setattr(shared_module, "COOLDOWN_S", 0.0)
    redis_server.kill()
    breakers = Breakers("tmdb", POLICY, redis_server.connect())
    fails(breakers)
    succeeds(breakers)
    redis_server.start()
    succeeds(breakers)  # the one of all workers
    lose(redis_server)
    succeeds(breakers)
    fails(breakers, 1)
    assert states(breakers) == {"popular": "closed"}
    redis_server.kill()
    redis_server.start()
    succeeds(breakers)
    fails(Breakers("tmdb", POLICY, redis_server.connect()))
    is_open(breakers)
    assert sum("redis.gone" in record.getMessage() for record in caplog.records) == 2
    # An exporter of another test's traces may still be trying.
    heard = [line.name for line in caplog.records if not line.name.startswith("opentelemetry")]
    assert all(name.startswith("bff") for name in heard)
