"""The way out to an upstream: what each failure is called, what is sent again, who waits."""

from __future__ import annotations

import email.utils
import gzip
import http.client
import logging
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
import responses
import time_machine
import urllib3
from hypothesis import given, settings
from hypothesis import strategies as st
from limits.strategies import MovingWindowRateLimiter

from bff import context
from bff.context import Deadline, RequestContext
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
from bff.limiter import Limiter
from bff.observability import metrics
from bff.upstream import guard as guard_module
from bff.upstream.breaker import BreakerPolicy, Breakers
from bff.upstream.guard import Guard, retry_after_s
from bff.upstream.rate import RETRIES, Ceiling, Pause
from bff.upstream.session import MOST_BYTES, configure, prepared
from tests.bff.upstream.tools import Clock, logged

URL = "http://tmdb.test/3/movie/popular"
POLICY = BreakerPolicy(failures=5, open_s=60)
Tmdb = responses.RequestsMock
Make = Callable[..., Guard]
Read = Callable[[requests.Response, bytes], Any]


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let retries follow at once."""
    monkeypatch.setattr(guard_module, "RETRY_PAUSE_S", 0.0)


@pytest.fixture
def tmdb() -> Iterator[Tmdb]:
    """Return a TMDB that answers what a test says."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


@pytest.fixture(name="make")
def _make(clock: Clock) -> Iterator[Make]:
    """Return a maker of guards; `policy` of the breaker, `timeout_s`, `per_second`."""
    made: list[Guard] = []

    def make(
        policy: BreakerPolicy | None = None, timeout_s: float = 2.0, per_second: int = 0
    ) -> Guard:
        session, limiter = configure(requests.Session(), 4), Limiter(MovingWindowRateLimiter)
        ceiling = Ceiling("tmdb", per_second, limiter) if per_second else None
        pause, breakers = Pause("tmdb", clock=clock), Breakers("tmdb", policy)
        made.append(Guard("tmdb", session, timeout_s, breakers, limiter, pause, ceiling))
        return made[-1]

    yield make
    for guard in made:
        guard.close()


def packed(data: bytes) -> bytes:
    """Pack, always into the same bytes: a time in them would be another name of the test."""
    return gzip.compress(data, mtime=0)


def body(_: requests.Response, content: bytes) -> bytes:
    """Take any answer below 500."""
    return content


def only_200(response: requests.Response, content: bytes) -> bytes:
    """Take 200 and nothing else."""
    if response.status_code != 200:
        raise BadResponse("tmdb", f"status {response.status_code}")
    return content


def send(guard: Guard, method: str = "GET", read: Read = body, **more: str) -> Any:
    """Make a call; `operation` and `key` are given where they matter."""
    named = {"operation": "lists", "key": "page 1"} | more
    return guard.send(request=prepared(method, URL, {}), read=read, **named)


def failure(guard: Guard, method: str = "GET", **more: Any) -> UpstreamError:
    """Make a call and return how it failed."""
    with pytest.raises(UpstreamError) as caught:
        send(guard, method, **more)
    return caught.value


# -- what comes back


@pytest.mark.parametrize("status", [200, 201, 302, 404, 409, 422])
def test_guard_when_the_upstream_answers_then_the_caller_reads_it(
    make: Make, tmdb: Tmdb, status: int
) -> None:
    """Status and body of what is no failure by itself."""
    tmdb.get(URL, b"{}", status=status, headers={"Location": "/elsewhere"})
    guard = make()
    answered = send(guard, read=lambda response, content: (response.status_code, content))
    assert answered == (status, b"{}")
    assert guard.last_success is not None


@pytest.mark.parametrize("status", [500, 501, 599, 401, 403])
def test_guard_when_the_upstream_fails_or_refuses_our_credential_then_nobody_reads_its_words(
    make: Make, tmdb: Tmdb, status: int
) -> None:
    """A wrong credential is our fault, not the caller's."""
    tmdb.get(URL, b"planted words", status=status)
    guard = make()
    error = failure(guard, read=lambda *_: pytest.fail("it was read"))
    assert type(error) is (UpstreamFailed if status >= 500 else CredentialRefused)
    assert "planted" not in str(error)
    assert guard.last_success is None


def wrapped(reason: Exception) -> requests.ConnectionError:
    """Return an error as `requests` wraps it."""
    pool = urllib3.HTTPConnectionPool("tmdb.test")
    return requests.ConnectionError(urllib3.exceptions.MaxRetryError(pool, "/", reason))


def aborted(cause: Exception) -> urllib3.exceptions.ProtocolError:
    """Return how urllib3 says that a connection broke."""
    return urllib3.exceptions.ProtocolError("Connection aborted.", cause)


REFUSED = urllib3.exceptions.NewConnectionError(urllib3.connection.HTTPConnection("a"), "refused")
NO_NAME = urllib3.exceptions.NameResolutionError(
    "a",
    urllib3.connection.HTTPConnection("a"),
    OSError("no name"),  # type: ignore[arg-type]
)
RAISED: list[tuple[Exception, type[UpstreamError]]] = [
    (requests.ConnectTimeout("x"), ConnectTimeout),
    (wrapped(urllib3.exceptions.ConnectTimeoutError("x")), ConnectTimeout),
    (wrapped(urllib3.exceptions.ProxyError("x", TimeoutError("x"))), UpstreamTimeout),
    (requests.ReadTimeout("x"), UpstreamTimeout),
    (requests.ConnectionError(aborted(TimeoutError("x"))), UpstreamTimeout),
    (wrapped(REFUSED), ConnectFailed),
    (wrapped(NO_NAME), ConnectFailed),
    (wrapped(urllib3.exceptions.ProxyError("x", REFUSED)), ConnectFailed),
    (requests.ConnectionError("x"), ConnectFailed),
    (requests.ConnectionError(aborted(ConnectionResetError("x"))), Unreachable),
    (requests.ConnectionError(aborted(http.client.RemoteDisconnected("x"))), Unreachable),
    (requests.exceptions.SSLError(ssl.SSLError("x")), Unreachable),
    (requests.ConnectionError(aborted(http.client.LineTooLong("header line"))), BadResponse),
    (requests.exceptions.ChunkedEncodingError("x"), BadResponse),
    (requests.exceptions.ContentDecodingError("x"), BadResponse),
    (requests.exceptions.InvalidHeader("x"), BadResponse),
]


@pytest.mark.parametrize(("raised", "kind"), RAISED, ids=lambda value: type(value).__name__)
def test_guard_when_the_session_raises_then_the_error_is_one_of_ours(
    make: Make, tmdb: Tmdb, raised: Exception, kind: type[UpstreamError]
) -> None:
    """Each exception leaves as what it means, with its cause for who debugs."""
    tmdb.post(URL, body=raised)
    error = failure(make(), "POST")
    assert type(error) is kind
    assert error.__cause__ is raised


@pytest.mark.parametrize("raised", [requests.ReadTimeout("x"), requests.ConnectTimeout("x")])
@pytest.mark.parametrize(("left_s", "cut"), [(5, True), (15, False), (30, False)])
def test_guard_when_the_request_left_little_time_then_a_timeout_is_cut_short(
    make: Make, tmdb: Tmdb, raised: Exception, left_s: float, cut: bool
) -> None:
    """Less than half of the upstream's time proves nothing; more does."""
    tmdb.get(URL, body=raised)
    context.enter(RequestContext("x", Deadline.after(left_s)))
    assert (type(failure(make(timeout_s=20))) is CutShort) == cut


@pytest.mark.parametrize("raised", [NotFound("tmdb", "film 5"), ZeroDivisionError()])
def test_guard_when_the_reader_raises_then_it_comes_out_as_it_is(
    make: Make, tmdb: Tmdb, raised: Exception
) -> None:
    """An answer of the upstream's, or a bug of ours: neither is asked for again."""
    call = tmdb.get(URL, b"{}")

    def read(*_: object) -> None:
        raise raised

    with pytest.raises(type(raised)) as caught:
        send(make(POLICY), read=read)
    assert caught.value is raised
    assert call.call_count == 1


def test_guard_when_a_call_is_over_then_log_metrics_and_timings_tell_of_it(
    make: Make, tmdb: Tmdb, caplog: pytest.LogCaptureFixture
) -> None:
    """One of each for an attempt: the operation, the outcome, and nothing of the address."""
    caplog.set_level(logging.DEBUG, "bff")
    tmdb.get(URL, status=503)
    tmdb.get(URL, b"{}")
    counter = metrics.UPSTREAM_CALLS.labels("tmdb", "told", "upstream_error")
    before = counter._value.get()
    send(make(), operation="told")
    outcomes = [(timing.operation, timing.outcome) for timing in context.current().timings]
    assert outcomes == [("told", "upstream_error"), ("told", "ok")]
    assert counter._value.get() == before + 1
    told = [fields for name, fields in logged(caplog) if name == "upstream.call"]
    assert [(one["operation"], one["outcome"]) for one in told] == outcomes
    assert "tmdb.test" not in caplog.text


# -- packed bodies


def test_guard_when_a_body_is_packed_and_says_nothing_of_it_then_is_unpacked(make: Make) -> None:
    """TMDB has sent gzip without a word; half of an answer, or more than 8 MiB, is none."""
    guard, most = make(), bytes(MOST_BYTES - 1)
    for content in (b"", b"{}", most):
        assert guard.unpacked(content) == content
        assert guard.unpacked(packed(content)) == content
    whole = packed(b"{}")
    for content in (b"\x1f\x8b", whole[:-1], whole[:-8] + bytes(8), packed(bytes(MOST_BYTES + 1))):
        with pytest.raises(BadResponse):
            guard.unpacked(content)


# -- retries


PASSING: list[dict[str, Any]] = [
    *({"status": status} for status in (502, 503, 504)),
    {"body": wrapped(REFUSED)},
    {"body": requests.ConnectionError(aborted(ConnectionResetError("x")))},
]
LASTING: list[dict[str, Any]] = [
    *({"status": status} for status in (400, 401, 403, 404, 409, 429, 500, 501, 505)),
    {"status": 503, "headers": {"Retry-After": "7"}},
    {"body": requests.ReadTimeout("x")},
    {"body": requests.ConnectTimeout("x")},
    {"body": requests.exceptions.ChunkedEncodingError("x")},
]


@pytest.mark.parametrize("fault", PASSING, ids=str)
def test_guard_when_a_get_meets_a_passing_failure_then_sends_once_more_and_no_third_time(
    make: Make, tmdb: Tmdb, fault: dict[str, Any]
) -> None:
    """It may be over the next time."""
    tmdb.get(URL, **fault)
    tmdb.get(URL, b"{}")
    assert send(make()) == b"{}"
    tmdb.reset()
    call = tmdb.get(URL, **fault)
    failure(make())
    assert call.call_count == 2


@pytest.mark.parametrize("fault", LASTING, ids=str)
def test_guard_when_asking_again_cannot_help_then_sends_once(
    make: Make, tmdb: Tmdb, fault: dict[str, Any]
) -> None:
    """A bug, a refusal, "not now" and a timeout are not sent again."""
    call = tmdb.get(URL, **fault)
    error = failure(make(), read=only_200)
    assert call.call_count == 1
    if "headers" in fault:
        assert error.retry_after_s == 7


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "HEAD"])
@pytest.mark.parametrize("fault", PASSING, ids=str)
def test_guard_when_a_write_fails_then_it_is_never_sent_twice(
    make: Make, tmdb: Tmdb, method: str, fault: dict[str, Any]
) -> None:
    """Only a GET is sent again."""
    call = tmdb.add(method, URL, **fault)
    failure(make(), method)
    assert call.call_count == 1


def test_guard_when_no_time_is_left_for_a_retry_then_does_not_begin_one(
    make: Make, tmdb: Tmdb, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pause that ends after the deadline is not begun."""
    monkeypatch.setattr(guard_module, "RETRY_PAUSE_S", 1e9)
    call = tmdb.get(URL, status=503)
    failure(make())
    assert call.call_count == 1


def test_guard_when_everything_fails_then_ten_retries_a_minute_go_out(
    make: Make, tmdb: Tmdb
) -> None:
    """So an outage does not double the load; calls that are refused here use none of them."""
    call, guard = tmdb.get(URL, status=503), make(POLICY)
    with time_machine.travel(1_800_000_000, tick=False) as wall:
        for number in range(30):
            with pytest.raises((UpstreamFailed, CircuitOpen)):
                send(guard, key=f"page {number % 2}", operation="lists")
        assert call.call_count == 30 + RETRIES.amount
        wall.shift(61)
        failure(guard)
        assert call.call_count == 32 + RETRIES.amount


def test_guard_when_its_circuit_is_open_then_neither_permits_nor_retries_are_used(
    make: Make, tmdb: Tmdb
) -> None:
    """Calls for a dead operation leave the ceiling to those of the others."""
    call = tmdb.get(URL, status=500)
    with time_machine.travel(1_800_000_000, tick=False):
        guard = make(POLICY, per_second=10)
        for number in range(40):
            failure(guard, operation="films", key=f"film {number}")
        assert call.call_count == 5
        tmdb.reset()
        tmdb.get(URL, b"{}")
        assert [send(guard) for _ in range(5)] == [b"{}"] * 5
        assert isinstance(failure(guard), RateLimited)


# -- the circuit


def test_guard_when_garbage_comes_for_many_keys_then_the_circuit_opens_and_for_one_it_does_not(
    make: Make, tmdb: Tmdb
) -> None:
    """What `read` refuses counts as the upstream's failure."""
    call, guard = tmdb.get(URL, b"<html>", status=203), make(POLICY)
    for _ in range(30):
        failure(guard, read=only_200)
    assert call.call_count == 30
    send(guard)
    for number in range(5):
        failure(guard, read=only_200, key=f"page {number}")
    assert isinstance(failure(guard), CircuitOpen)
    (circuit,) = guard.health()["tmdb:circuit"]
    assert (circuit["componentId"], circuit["observedValue"]) == ("lists", "open")


def test_guard_when_a_request_is_too_late_then_nothing_goes_out_and_nothing_is_counted(
    make: Make, tmdb: Tmdb
) -> None:
    """A request without time neither opens a circuit nor decides about one that is half-open."""
    call = tmdb.get(URL, body=requests.ConnectTimeout("x"))
    with time_machine.travel(1_800_000_000, tick=False) as wall:
        guard = make(POLICY)
        in_time, late = context.current(), RequestContext("late", Deadline.after(-1))
        for state, calls in (("closed", 0), ("open", 5)):
            context.enter(late)
            for _ in range(20):
                assert isinstance(failure(guard), CutShort)
            assert call.call_count == calls
            assert [breaker.state for breaker in guard.breakers.all()] == [state]
            context.enter(in_time)
            for _ in range(5 - calls):
                assert type(failure(guard)) is ConnectTimeout
            wall.shift(60)
        tmdb.reset()
        tmdb.get(URL, b"{}")
        assert send(guard) == b"{}"


# -- the upstream asks to wait


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({}, 1),
        ({"Retry-After": "7", "Content-Length": "100"}, 7),  # and half of a body
        ({"Retry-After": "soon"}, 1),
    ],
)
def test_guard_when_the_upstream_limits_us_then_everybody_waits(
    make: Make, tmdb: Tmdb, clock: Clock, headers: dict[str, str], wait_s: float
) -> None:
    """The next call of any operation does not go out before the time that a 429 names."""
    call, guard = tmdb.get(URL, status=429, headers=headers), make(POLICY)
    for operation in ("lists", "search"):
        error = failure(guard, operation=operation)
        assert isinstance(error, RateLimited)
        assert error.retry_after_s == pytest.approx(wait_s)
    assert call.call_count == 1
    assert guard.health()["tmdb:pause"][0]["observedValue"] == wait_s
    clock.move(wait_s)
    failure(guard)
    assert call.call_count == 2


def test_guard_when_it_has_waited_two_minutes_then_one_call_looks_and_its_answer_ends_the_pause(
    make: Make, tmdb: Tmdb, clock: Clock
) -> None:
    """An hour is not obeyed blindly; who looks in vain waits again."""
    call, guard = tmdb.get(URL, status=429, headers={"Retry-After": "3600"}), make()
    for looks in range(1, 4):
        assert failure(guard).retry_after_s == (3600 if looks == 1 else pytest.approx(3600))
        assert failure(guard).retry_after_s == pytest.approx(120)
        assert call.call_count == looks
        clock.move(120)
    tmdb.reset()
    tmdb.get(URL, b"{}")
    assert [send(guard) for _ in range(3)] == [b"{}"] * 3
    assert guard.health()["tmdb:pause"][0]["observedValue"] == 0


def test_guard_when_an_answer_was_out_as_the_pause_began_then_it_does_not_end_it(
    make: Make, tmdb: Tmdb
) -> None:
    """Twenty calls are out when the twenty-first meets the limit."""
    guard, reading, go_on = make(), threading.Event(), threading.Event()

    def slowly(_: requests.Response, content: bytes) -> bytes:
        reading.set()
        assert go_on.wait(10)
        return content

    tmdb.get(URL, b"{}")
    thread = threading.Thread(target=send, args=(guard, "GET", slowly))
    thread.start()
    assert reading.wait(10)
    tmdb.reset()
    call = tmdb.get(URL, status=429, headers={"Retry-After": "7"})
    failure(guard)
    go_on.set()
    thread.join(10)
    assert failure(guard).retry_after_s == pytest.approx(7)
    assert call.call_count == 1


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
        ("Wed, 21 Oct 2015 07:28:00 +99999999999", 0),
        ("Mon, 01 Jan 0001 00:00:00 +2359", 0),
        (",", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("Wed, 21 Oct 2015 07:28:00", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86_400),
    ],
)
def test_retry_after_when_read_then_is_seconds_or_nothing(text: str, seconds: float | None) -> None:
    """Seconds and dates are read and bounded; anything else is nothing."""
    assert retry_after_s({"Retry-After": text}) == seconds


def test_retry_after_when_a_date_then_is_the_time_until_it() -> None:
    """A date lies ahead or is over."""
    assert retry_after_s({"Retry-After": http_date(30)}) == pytest.approx(30, abs=5)
    assert retry_after_s({"Retry-After": http_date(-30)}) == 0
    assert retry_after_s({}) is None


@settings(deadline=None, max_examples=50)
@given(st.one_of(st.text(), st.from_regex(r"[A-Z][a-z]{2}, \d+ [A-Z][a-z]{2} \d+ [\d:]+ [+-]?\w+")))
def test_retry_after_when_anything_then_never_raises(text: str) -> None:
    """Whatever an upstream writes there."""
    wait_s = retry_after_s({"Retry-After": text})
    assert wait_s is None or 0 <= wait_s <= 86_400
