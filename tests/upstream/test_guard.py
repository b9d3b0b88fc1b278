"""The way out to an upstream: slots, retries, and what each failure is called."""

from __future__ import annotations

import contextlib
import email.utils
import errno
import gzip
import ssl
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff import context
from bff.context import Deadline, RequestContext
from bff.errors import (
    BadResponse,
    CircuitOpen,
    RateLimited,
    Saturated,
    Unreachable,
    UpstreamError,
    UpstreamFailed,
    UpstreamTimeout,
)
from bff.fan_out import FanOut
from bff.steps import Steps, Task, Wait
from bff.steps import together as did
from bff.upstream import guard as guard_module
from bff.upstream.answers import MOST_BYTES, BadAnswer
from bff.upstream.breaker import BreakerPolicy, CutShort
from bff.upstream.governor import Ceiling, Governor, LocalTurns
from bff.upstream.guard import Guard, Reply, _retry_after_s
from bff.upstream.retry import RetryBudget
from bff.upstream.store import NoStore
from tests.upstream.servers import RawServer, always, answer
from tests.upstream.tools import Clock, inline, prepared, together, until

MakeGuard = Callable[..., Guard]
Serve = Callable[..., RawServer]
T = TypeVar("T")
BREAKER = BreakerPolicy(failures=5, open_s=60, slow_s=1.9)


def body(reply: Reply) -> bytes:
    """Take any answer below 500."""
    return reply.body


def only_200(reply: Reply) -> bytes:
    """Take 200 and nothing else."""
    if reply.status != 200:
        raise BadResponse("tmdb", f"status {reply.status}")
    return reply.body


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let retries follow at once."""
    monkeypatch.setattr(guard_module, "RETRY_PAUSE_S", 0.0)


# -- bulkhead


def test_guard_when_all_slots_are_taken_then_the_next_call_has_failed_at_once(
    make_guard: MakeGuard,
) -> None:
    """The future is done, with Saturated and a time to wait; nothing queues."""
    guard, leave = make_guard(slots=2), threading.Event()
    held = [guard.start(leave.wait, 5) for _ in range(2)]
    refused = guard.start(leave.wait, 5)
    assert refused.done()
    error = refused.exception()
    assert isinstance(error, Saturated)
    assert error.retry_after_s == 1
    leave.set()
    assert [future.result(5) for future in held] == [True, True]
    assert guard.bulkhead.in_flight == 0


def test_guard_when_a_result_is_seen_then_its_slot_is_back(make_guard: MakeGuard) -> None:
    """Who has an answer may call again, also with one slot, a thousand times."""
    guard = make_guard(slots=1)
    for number in range(1000):
        assert guard.start(lambda n=number: n).result(5) == number


@pytest.mark.parametrize("error", [Unreachable("tmdb"), KeyError("bug"), SystemExit()])
def test_guard_when_a_task_raises_then_its_slot_is_back(
    make_guard: MakeGuard, error: BaseException
) -> None:
    """Whatever is raised."""
    guard = make_guard(slots=1)

    def task() -> None:
        raise error

    assert guard.start(task).exception(5) is error
    assert guard.bulkhead.in_flight == 0


def test_guard_when_a_task_is_cancelled_before_it_runs_then_its_slot_is_back() -> None:
    """A queued task that is dropped never ran, and holds nothing."""
    pool = FanOut(1)
    guard = Guard(guard_module.Policy("tmdb", 1, 3, None), pool.submit)
    leave, inside = threading.Event(), threading.Event()

    def hold() -> None:
        inside.set()
        leave.wait(5)

    running, queued = guard.start(hold), guard.start(leave.wait, 5)
    assert inside.wait(5)
    assert queued.cancel()
    assert guard.bulkhead.in_flight == 1
    leave.set()
    running.result(5)
    assert until(lambda: guard.bulkhead.in_flight == 0)
    pool._pool.shutdown()


def test_guard_when_the_pool_is_closed_then_refuses_and_takes_no_slot() -> None:
    """A worker that ends says "not now" instead of failing."""
    pool = FanOut(1)
    guard = Guard(guard_module.Policy("tmdb", 1, 1, None), pool.submit)
    pool.close()
    for _ in range(3):
        assert isinstance(guard.start(lambda: 1).exception(1), Saturated)
    assert guard.bulkhead.in_flight == 0


def test_guard_when_threads_take_slots_at_once_then_no_slot_is_taken_twice(
    make_guard: MakeGuard,
) -> None:
    """Fifty threads, four slots: four get one."""
    guard, leave = make_guard(slots=4), threading.Event()
    futures = together(50, lambda _: guard.start(leave.wait, 5))
    refused = [future for future in futures if future.done()]
    leave.set()
    assert len(refused) == 46
    assert all(future.result(5) for future in futures if future not in refused)


def test_guard_when_a_task_runs_then_it_has_the_upstreams_time_and_not_more_than_the_requests(
    make_guard: MakeGuard,
) -> None:
    """The deadline inside is the nearer one."""
    guard = make_guard(timeout_s=2)
    left = guard.start(lambda: context.current().deadline.left_s()).result(5)
    assert 1 < left <= 2
    context.enter(RequestContext("short", Deadline.after(0.5)))
    assert guard.start(lambda: context.current().deadline.left_s()).result(5) <= 0.5


def _here(guard: Guard, steps: Callable[[], Steps[T]]) -> Task[T]:
    task = guard.here(steps, last=True)
    assert task is not None
    return task


def test_guard_when_steps_are_done_here_then_in_a_slot_and_a_context_of_their_own(
    make_guard: MakeGuard,
) -> None:
    """As in the pool, but for the thread; the caller's own deadline is as it was."""
    guard = make_guard(timeout_s=2, slots=1)
    before = context.current()

    def steps() -> Steps[tuple[int, int, float]]:
        yield Wait(0)
        left_s = context.current().deadline.left_s()
        return threading.get_ident(), guard.bulkhead.in_flight, left_s

    task = _here(guard, steps)
    assert guard.bulkhead.in_flight == 0
    did([task])
    thread, in_flight, left_s = task.future.result(0)
    assert (thread, in_flight) == (threading.get_ident(), 1)
    assert 1 < left_s <= 2
    assert context.current() is before
    assert guard.bulkhead.in_flight == 0


def test_guard_when_steps_that_are_done_here_fail_then_their_future_has(
    make_guard: MakeGuard,
) -> None:
    """Nothing is raised before the result is asked for, and the slot is given back once."""
    guard = make_guard(slots=1)

    def fail(raised: BaseException) -> Steps[None]:
        yield Wait(0)
        raise raised

    for error in (ValueError("a bug"), RuntimeError("another"), SystemExit()):
        task = _here(guard, partial(fail, error))
        did([task])
        assert task.future.exception(0) is error
        assert guard.bulkhead.in_flight == 0


def test_guard_when_all_slots_are_taken_then_steps_are_refused(make_guard: MakeGuard) -> None:
    """A thread that has time gets no more of the upstream than the pool does."""
    guard = make_guard(slots=1)

    def steps() -> Steps[int]:
        yield Wait(0)
        return guard.bulkhead.in_flight

    tasks = [_here(guard, steps), _here(guard, steps)]
    did(tasks)
    assert tasks[0].future.result(0) == 1
    assert isinstance(tasks[1].future.exception(0), Saturated)
    assert guard.bulkhead.in_flight == 0


# -- retries


def sent(make_guard: MakeGuard, serve: Serve, *answers: bytes, method: str = "GET") -> int:
    """Return how many times a call went out that is answered like this."""
    server = serve(always(*answers))
    with contextlib.suppress(UpstreamError):
        make_guard().send("popular", prepared(server.url, method), body)
    return len(server.requests)


@pytest.mark.parametrize("status", ["502 X", "503 X", "504 X"])
def test_guard_when_a_get_meets_a_passing_failure_then_sends_once_more(
    make_guard: MakeGuard, serve: Serve, status: str
) -> None:
    """502, 503 and 504 may be over the next time, and there is no third time."""
    bad = answer(b"", status)
    assert sent(make_guard, serve, bad, answer()) == 2
    assert sent(make_guard, serve, bad) == 2


@pytest.mark.parametrize(
    "status", ["500 X", "501 X", "505 X", "400 X", "401 X", "403 X", "404 X", "409 X", "429 X"]
)
def test_guard_when_asking_again_cannot_help_then_sends_once(
    make_guard: MakeGuard, serve: Serve, status: str
) -> None:
    """A bug, a refusal and "not now" are not sent again."""
    assert sent(make_guard, serve, answer(b"{}", status)) == 1


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "HEAD"])
@pytest.mark.parametrize("status", ["502 X", "503 X", "504 X"])
def test_guard_when_a_write_fails_then_it_is_never_sent_twice(
    make_guard: MakeGuard, serve: Serve, method: str, status: str
) -> None:
    """Only a GET is sent again."""
    assert sent(make_guard, serve, answer(b"", status), method=method) == 1


def test_guard_when_the_upstream_says_when_then_does_not_ask_before(
    make_guard: MakeGuard, serve: Serve
) -> None:
    """503 with Retry-After is not sent again, and the error says how long."""
    server = serve(always(answer(b"", "503 X", "Retry-After: 7")))
    with pytest.raises(UpstreamFailed) as caught:
        make_guard().send("popular", prepared(server.url), body)
    assert caught.value.retry_after_s == 7
    assert len(server.requests) == 1


def test_guard_when_connections_are_reset_then_a_get_goes_out_twice_and_a_write_once(
    make_guard: MakeGuard, serve: Serve
) -> None:
    """A server that closes on each request counts them."""
    for method, times in (("GET", 2), ("POST", 1), ("PUT", 1), ("DELETE", 1)):
        server = serve(lambda connection, this: this.read(connection) and None)
        with pytest.raises(Unreachable):
            make_guard().send("popular", prepared(server.url, method), body)
        assert len(server.requests) == times


def test_guard_when_nothing_listens_then_is_unreachable_after_two_attempts(
    make_guard: MakeGuard,
) -> None:
    """Connection refused is a connect error: once more, then Unreachable."""
    guard = make_guard()
    with pytest.raises(Unreachable):
        guard.send("popular", prepared("http://127.0.0.1:9/"), body)
    assert [timing.outcome for timing in context.current().timings] == ["unreachable"] * 2


def test_guard_when_no_time_is_left_then_does_not_retry(
    make_guard: MakeGuard, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pause that ends after the deadline is not begun."""
    monkeypatch.setattr(guard_module.random, "uniform", lambda low, high: 5.0)
    context.enter(RequestContext("short", Deadline.after(1)))
    started = time.monotonic()
    assert sent(make_guard, serve, answer(b"", "503 X")) == 1
    assert time.monotonic() - started < 1


def test_guard_when_everything_fails_for_a_minute_then_a_tenth_is_sent_again(
    make_guard: MakeGuard, serve: Serve, clock: Clock
) -> None:
    """200 failed calls make 20 extra ones, whatever the method of asking."""
    server, guard = serve(always(answer(b"", "503 X"))), make_guard()
    guard._budget = RetryBudget(clock=clock)
    for _ in range(200):
        clock.move(0.2)
        with pytest.raises(UpstreamFailed):
            guard.send("popular", prepared(server.url), body)
    assert 200 + 3 <= len(server.requests) <= 200 + 20


def test_guard_when_calls_are_refused_here_then_they_earn_no_retries(
    make_guard: MakeGuard, serve: Serve
) -> None:
    """Only what goes out counts: an open circuit does not fill the budget."""
    server = serve(always(answer(b"", "500 X")))
    guard = make_guard(breaker=BREAKER)
    for _ in range(100):
        with pytest.raises((UpstreamFailed, CircuitOpen)):
            guard.send("popular", prepared(server.url), body)
    assert len(server.requests) == guard._budget._calls.count(time.monotonic()) == 5


# -- the circuit


@pytest.mark.parametrize("status", ["400 X", "401 X", "403 X", "404 X", "409 X", "422 X", "429 X"])
def test_guard_when_answers_are_4xx_then_the_circuit_stays_closed(
    make_guard: MakeGuard, serve: Serve, status: str
) -> None:
    """An answer about the request is none about the upstream's health."""
    server, guard = serve(always(answer(b"{}", status))), make_guard(breaker=BREAKER)
    for _ in range(50):
        with pytest.raises(UpstreamError):
            guard.send("popular", prepared(server.url), only_200)
    assert [breaker.state for breaker in guard.breakers()] == ["closed"]
    assert len(server.requests) == 50


def test_guard_when_one_operation_fails_then_only_its_circuit_opens(
    make_guard: MakeGuard, serve: Serve
) -> None:
    """A broken search does not shut the popular list."""
    bad, good = serve(always(answer(b"", "500 X"))), serve(always(answer()))
    guard = make_guard(breaker=BREAKER)
    for _ in range(6):
        with pytest.raises((UpstreamFailed, CircuitOpen)):
            guard.send("search", prepared(bad.url), body)
        assert guard.send("popular", prepared(good.url), body) == b"{}"
    states = {breaker.operation: breaker.state for breaker in guard.breakers()}
    assert states == {"search": "open", "popular": "closed"}
    assert len(bad.requests) == 5


def test_guard_when_garbage_comes_then_it_counts_against_the_upstream(
    make_guard: MakeGuard, serve: Serve
) -> None:
    """An answer that cannot be read is a failure of the upstream."""

    def unread(_: Reply) -> None:
        raise BadResponse("tmdb", "garbage")

    server, guard = serve(always(answer(b"<html>"))), make_guard(breaker=BREAKER)
    for _ in range(5):
        with pytest.raises(BadResponse):
            guard.send("popular", prepared(server.url), unread)
    with pytest.raises(CircuitOpen):
        guard.send("popular", prepared(server.url), unread)


def test_guard_when_a_request_is_too_late_then_nothing_goes_out_and_nothing_is_counted(
    make_guard: MakeGuard, serve: Serve
) -> None:
    """A request without time left does not open the circuit for those who have some."""
    server, guard = serve(always(answer())), make_guard(breaker=BREAKER)
    context.enter(RequestContext("late", Deadline.after(-1)))
    for _ in range(20):
        with pytest.raises(UpstreamTimeout):
            guard.send("popular", prepared(server.url), body)
    assert server.requests == []
    assert guard.breakers()[0].state == "closed"


# -- what goes wrong, by its name


@pytest.mark.parametrize(
    ("raised", "error"),
    [
        (TimeoutError("x"), UpstreamTimeout),
        (OSError(errno.ETIMEDOUT, "x"), UpstreamTimeout),
        (OSError("x"), Unreachable),
        (ConnectionError("x"), Unreachable),
        (ConnectionResetError("x"), Unreachable),
        (BrokenPipeError("x"), Unreachable),
        (ssl.SSLError("x"), Unreachable),
        (BadAnswer("x"), BadResponse),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value.__name__,
)
def test_guard_when_the_wire_raises_then_the_error_is_one_of_ours(
    make_guard: MakeGuard,
    monkeypatch: pytest.MonkeyPatch,
    raised: Exception,
    error: type[UpstreamError],
) -> None:
    """Each exception leaves as what it means."""
    guard = make_guard()

    def fail(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr(guard._wire, "sending", fail)
    with pytest.raises(UpstreamError) as caught:
        guard.send("popular", prepared("http://127.0.0.1:9/", "POST"), body)
    assert type(caught.value) is error
    assert caught.value.__cause__ is raised


def test_guard_when_the_request_left_little_time_then_a_timeout_is_cut_short(
    make_guard: MakeGuard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Less than half of the upstream's time proves nothing; more does."""
    guard = make_guard(timeout_s=2)

    def fail(*_: object, **__: object) -> None:
        raise TimeoutError

    monkeypatch.setattr(guard._wire, "sending", fail)
    for left_s, kind in ((0.5, CutShort), (1.5, UpstreamTimeout)):
        context.enter(RequestContext("x", Deadline.after(left_s)))
        with pytest.raises(UpstreamTimeout) as caught:
            guard.send("popular", prepared("http://127.0.0.1:9/"), body)
        assert type(caught.value) is kind


@pytest.mark.parametrize("status", ["500 X", "599 X"])
def test_guard_when_the_upstream_answers_5xx_then_it_failed(
    make_guard: MakeGuard, serve: Serve, status: str
) -> None:
    """Its words are not read."""
    with pytest.raises(UpstreamFailed, match=f"status {status[:3]}"):
        make_guard().send("popular", prepared(serve(always(answer(b"x", status))).url), body)


@pytest.mark.parametrize("status", ["401 X", "403 X"])
def test_guard_when_the_credential_is_refused_then_the_upstream_failed(
    make_guard: MakeGuard, serve: Serve, status: str
) -> None:
    """It is our fault, not the caller's."""
    with pytest.raises(UpstreamFailed, match="credential refused"):
        make_guard().send("popular", prepared(serve(always(answer(b"{}", status))).url), body)


@pytest.mark.parametrize(
    ("headers", "wait_s"), [((), 1), (("Retry-After: 7",), 7), (("Retry-After: soon",), 1)]
)
def test_guard_when_the_upstream_limits_us_then_everybody_waits(
    make_guard: MakeGuard, serve: Serve, headers: tuple[str, ...], wait_s: float
) -> None:
    """429 is RateLimited, pauses the governor, and the next call does not go out."""
    server = serve(always(answer(b"{}", "429 X", *headers)))
    turns = LocalTurns(Ceiling(100, 100), NoStore())
    guard = make_guard(governor=Governor("tmdb", turns))
    with pytest.raises(RateLimited) as caught:
        guard.send("popular", prepared(server.url), body)
    assert caught.value.retry_after_s == wait_s
    with pytest.raises(RateLimited) as caught:
        guard.send("search", prepared(server.url), body)
    assert caught.value.retry_after_s == pytest.approx(wait_s, abs=0.5)
    assert len(server.requests) == 1


def test_guard_when_an_answer_is_larger_than_8_mb_then_it_is_a_bad_one(
    make_guard: MakeGuard, serve: Serve
) -> None:
    """The limit itself passes; one byte more does not."""
    most = b"x" * MOST_BYTES
    guard = make_guard(timeout_s=20)
    assert guard.send("popular", prepared(serve(always(answer(most))).url), body) == most
    with pytest.raises(BadResponse, match="too large"):
        guard.send("popular", prepared(serve(always(answer(most + b"x"))).url), body)


def test_guard_when_a_small_answer_unpacks_to_a_huge_one_then_it_is_cut_off(
    make_guard: MakeGuard, serve: Serve
) -> None:
    """The limit holds for what is unpacked, while it is unpacked."""
    bomb = gzip.compress(bytes(64 * 1024 * 1024), 1)
    server = serve(always(answer(bomb, "200 OK", "Content-Encoding: gzip")))
    with pytest.raises(BadResponse, match="too large"):
        make_guard(timeout_s=20).send("popular", prepared(server.url), body)


# -- what a session must not do


@pytest.mark.parametrize("status", ["301 X", "302 X", "303 X", "307 X", "308 X"])
def test_guard_when_the_upstream_redirects_then_nobody_follows(
    make_guard: MakeGuard, serve: Serve, status: str
) -> None:
    """A redirect is an answer that was not asked for; a credential does not travel on."""
    other = serve(always(answer()))
    server = serve(always(answer(b"", status, f"Location: {other.url}")))
    with pytest.raises(BadResponse):
        make_guard().send("popular", prepared(server.url), only_200)
    assert other.requests == []


def test_guard_when_the_upstream_sets_a_cookie_then_it_is_not_kept_nor_sent(
    make_guard: MakeGuard, serve: Serve
) -> None:
    """One user's cookie does not go out with the next user's call."""
    server = serve(always(answer(b"{}", "200 OK", "Set-Cookie: session=alice; Path=/")))
    guard = make_guard()
    for _ in range(2):
        guard.send("popular", prepared(server.url), body)
    assert b"alice" not in b"".join(server.requests)


def test_guard_when_the_environment_names_a_proxy_and_a_netrc_then_they_are_ignored(
    make_guard: MakeGuard, serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The call goes to the upstream itself, with our credential."""
    server, proxy = serve(always(answer())), serve(always(answer(b"proxied")))
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login eve password evil\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy.url)
    monkeypatch.delenv("no_proxy", raising=False)
    request = prepared(server.url)
    request.headers["Authorization"] = "Bearer ours"
    guard = make_guard()
    assert guard.send("popular", request, body) == b"{}"
    assert b"Authorization: Bearer ours" in server.requests[0]
    assert proxy.requests == []


# -- Retry-After


def http_date(in_s: float) -> str:
    """Return a moment as HTTP writes it."""
    return email.utils.formatdate(time.time() + in_s, usegmt=True)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7),
        (" 7 ", 7),
        ("0", 0),
        ("86400", 86_400),
        ("999999999999999999999999", 86_400),
        ("-1", None),
        ("1.5", None),
        ("\u0667", None),
        ("", None),
        ("soon", None),
        ("Wed, 21 Oct 99999999999999 07:28:00 GMT", None),
        ("Wed, 21 Oct 2015 07:28:00 +99999999999", None),
        ("Mon, 01 Jan 0001 00:00:00 +2359", 0),
        (",", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("Wed, 21 Oct 2015 07:28:00", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86_400),
    ],
)
def test_retry_after_when_read_then_is_seconds_or_nothing(text: str, seconds: float | None) -> None:
    """Seconds and dates are read and bounded; anything else is nothing."""
    assert _retry_after_s({"Retry-After": text}) == seconds


def test_retry_after_when_a_date_then_is_the_time_until_it() -> None:
    """A date lies ahead or is over."""
    assert _retry_after_s({"Retry-After": http_date(30)}) == pytest.approx(30, abs=2)
    assert _retry_after_s({"Retry-After": http_date(-30)}) == 0
    assert _retry_after_s({}) is None


@given(st.one_of(st.text(), st.from_regex(r"[A-Z][a-z]{2}, \d+ [A-Z][a-z]{2} \d+ [\d:]+ [+-]?\w+")))
def test_retry_after_when_anything_then_never_raises(text: str) -> None:
    """Whatever an upstream writes there."""
    wait_s = _retry_after_s({"Retry-After": text})
    assert wait_s is None or 0 <= wait_s <= 86_400


# -- the governor


def test_guard_when_the_circuit_is_open_then_no_turn_is_used(
    make_guard: MakeGuard, serve: Serve
) -> None:
    """A call that may not go out does not take the place of one that may."""
    server = serve(always(answer(b"", "500 X")))
    turns = LocalTurns(Ceiling(100, 100), NoStore())
    guard = make_guard(breaker=BREAKER, governor=Governor("tmdb", turns))
    for _ in range(30):
        with pytest.raises((UpstreamFailed, CircuitOpen)):
            guard.send("popular", prepared(server.url), body)
    assert len(turns._sent) == 5
    assert turns._open == 0


def test_guard_when_a_bug_of_ours_is_raised_then_it_is_no_upstreams_failure(
    make_guard: MakeGuard, serve: Serve
) -> None:
    """It comes out as it is, and the slot, the turn and the connection are back."""

    def bug(_: Reply) -> Any:
        raise ZeroDivisionError

    guard = make_guard(slots=1)
    url = serve(always(answer())).url
    future = guard.start(guard.send, "popular", prepared(url), bug)
    assert isinstance(future.exception(5), ZeroDivisionError)
    assert inline(guard.send, "popular", prepared(url), body).result() == b"{}"
    assert guard.bulkhead.in_flight == 0
