"""The way out to an upstream: what each failure is called, what is sent again, who waits."""

from __future__ import annotations

import gzip
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
import responses
import time_machine
import urllib3

from bff import context
from bff.context import Deadline, RequestContext
from bff.errors import (
    BadResponse,
    CircuitOpen,
    ConnectFailed,
    ConnectTimeout,
    CredentialRefused,
    CutShort,
    RateLimited,
    Unreachable,
    UpstreamError,
    UpstreamFailed,
    UpstreamTimeout,
)
from bff.upstream import guard as guard_module
from bff.upstream.breaker import BreakerPolicy, Breakers
from bff.upstream.guard import Guard, retry_after_s
from bff.upstream.rate import RETRIES, Ceiling, Pause
from bff.upstream.session import MOST_BYTES, configure, prepared
from tests.bff.upstream.tools import Clock, permits

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


@pytest.fixture
def make(clock: Clock) -> Make:
    """Return a maker of guards; `policy` of the breaker, `timeout_s`, `per_second`."""

    def make(
        policy: BreakerPolicy | None = None, timeout_s: float = 2.0, per_second: int = 0
    ) -> Guard:
        session, limiter = configure(requests.Session(), 4), permits()
        ceiling = Ceiling("tmdb", per_second, limiter) if per_second else None
        pause, breakers = Pause("tmdb", clock=clock), Breakers("tmdb", policy)
        return Guard("tmdb", session, timeout_s, breakers, limiter, pause, ceiling)

    return make


def body(response: requests.Response, content: bytes) -> bytes:
    """Take any answer below 400."""
    if response.status_code >= 400:
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


def wrapped(reason: Exception) -> dict[str, Any]:
    """Return an error as `requests` wraps it."""
    pool = urllib3.HTTPConnectionPool("tmdb.test")
    error = urllib3.exceptions.MaxRetryError(pool, "/", reason)
    return {"body": requests.ConnectionError(error)}


def aborted(cause: Exception) -> dict[str, Any]:
    """Return how a connection breaks."""
    error = urllib3.exceptions.ProtocolError("Connection aborted.", cause)
    return {"body": requests.ConnectionError(error)}


CONNECTION = urllib3.connection.HTTPConnection("a")
REFUSED = urllib3.exceptions.NewConnectionError(CONNECTION, "refused")
NO_NAME = urllib3.exceptions.NameResolutionError("a", CONNECTION, OSError("no name"))  # type: ignore[arg-type]
# What happens, what it is called, and how often a GET goes out; test_session has real sockets.
FAILURES: list[tuple[dict[str, Any], type[UpstreamError], int]] = [
    *(({"status": status}, UpstreamFailed, 2) for status in (502, 503, 504)),
    *(({"status": status}, UpstreamFailed, 1) for status in (500, 501, 505, 599)),
    ({"status": 503, "headers": {"Retry-After": "7"}}, UpstreamFailed, 1),
    *(({"status": status}, CredentialRefused, 1) for status in (401, 403)),
    *(({"status": status}, BadResponse, 1) for status in (400, 404, 409)),
    ({"status": 429, "headers": {"Retry-After": "7"}}, RateLimited, 1),
    (wrapped(REFUSED), ConnectFailed, 2),
    (wrapped(NO_NAME), ConnectFailed, 2),
    (wrapped(urllib3.exceptions.ProxyError("x", REFUSED)), ConnectFailed, 2),
    ({"body": requests.ConnectionError("x")}, ConnectFailed, 2),
    (aborted(ConnectionResetError("x")), Unreachable, 2),
    ({"body": requests.exceptions.SSLError(ssl.SSLError("x"))}, Unreachable, 2),
    ({"body": requests.ConnectTimeout("x")}, ConnectTimeout, 1),
    (wrapped(urllib3.exceptions.ConnectTimeoutError("x")), ConnectTimeout, 1),
    ({"body": requests.ReadTimeout("x")}, UpstreamTimeout, 1),
    (wrapped(urllib3.exceptions.ProxyError("x", TimeoutError("x"))), UpstreamTimeout, 1),
    (aborted(TimeoutError("x")), UpstreamTimeout, 1),
    ({"body": requests.exceptions.ChunkedEncodingError("x")}, BadResponse, 1),
    ({"body": requests.exceptions.InvalidHeader("x")}, BadResponse, 1),
]


@pytest.mark.parametrize(("fault", "kind", "sent"), FAILURES)
def test_guard_when_a_call_fails_then_it_has_its_name_and_a_get_may_be_sent_once_more(
    make: Make, tmdb: Tmdb, fault: dict[str, Any], kind: type[UpstreamError], sent: int
) -> None:
    """Twice where it may be over the next time, and never a third time; a write once."""
    raised = fault.get("body")
    for method in ("GET", "POST", "PUT", "DELETE"):
        tmdb.reset()
        call = tmdb.add(method, URL, **({"body": b"planted words"} | fault))
        guard = make()
        error = failure(guard, method)
        assert type(error) is kind or (kind is UpstreamFailed and isinstance(error, kind))
        assert call.call_count == (sent if method == "GET" else 1)
        assert error.__cause__ is raised
        assert "planted" not in str(error)
        assert error.retry_after_s == (7 if "headers" in fault else None)
        assert guard.last_success is None
    tmdb.reset()
    tmdb.get(URL, **fault)
    tmdb.get(URL, b"{}")
    if sent == 2:
        guard = make()
        assert send(guard) == b"{}"
        assert guard.last_success is not None
        assert context.current().timings[-1].outcome == "ok"


@pytest.mark.parametrize("raised", [requests.ReadTimeout("x"), requests.ConnectTimeout("x")])
@pytest.mark.parametrize(("left_s", "cut"), [(5, True), (15, False), (30, False)])
def test_guard_when_the_request_left_little_time_then_a_timeout_is_cut_short(
    make: Make, tmdb: Tmdb, raised: Exception, left_s: float, cut: bool
) -> None:
    """Less than half of the upstream's time proves nothing; more does."""
    tmdb.get(URL, body=raised)
    context.enter(RequestContext("x", Deadline.after(left_s)))
    assert (type(failure(make(timeout_s=20))) is CutShort) == cut


def test_guard_when_a_body_is_packed_and_says_nothing_of_it_then_is_unpacked(make: Make) -> None:
    """TMDB has sent gzip without a word; half of an answer, or more than 8 MiB, is none."""
    guard, most = make(), bytes(MOST_BYTES - 1)
    for content in (b"", b"{}", most):
        assert guard.unpacked(content) == content
        assert guard.unpacked(gzip.compress(content)) == content
    whole, large = gzip.compress(b"{}"), gzip.compress(bytes(MOST_BYTES + 1))
    for content in (b"\x1f\x8b", whole[:-1], whole[:-8] + bytes(8), large):
        with pytest.raises(BadResponse):
            guard.unpacked(content)


# -- retries and the circuit


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
    """So an outage does not double the load. Two pages that fail open no circuit."""
    call, guard = tmdb.get(URL, status=503), make(POLICY)
    with time_machine.travel(1_800_000_000, tick=False) as wall:
        for number in range(30):
            assert type(failure(guard, key=f"page {number % 2}")) is not CircuitOpen
        assert call.call_count == 30 + RETRIES.amount
        wall.shift(61)
        failure(guard)
        assert call.call_count == 32 + RETRIES.amount


def test_guard_when_its_circuit_is_open_then_neither_permits_nor_retries_are_used(
    make: Make, tmdb: Tmdb
) -> None:
    """What `read` refuses opens it; a dead operation leaves the ceiling to the others."""
    call = tmdb.get(URL, b"<html>", status=404)
    with time_machine.travel(1_800_000_000, tick=False):
        guard = make(POLICY, per_second=10)
        for number in range(40):
            failure(guard, operation="films", key=f"film {number}")
        assert call.call_count == 5
        (circuit,) = guard.health()["tmdb:circuit"]
        assert (circuit["componentId"], circuit["observedValue"]) == ("films", "open")
        tmdb.reset()
        tmdb.get(URL, b"{}")
        assert [send(guard) for _ in range(5)] == [b"{}"] * 5
        assert isinstance(failure(guard), RateLimited)


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
        ({"Retry-After": "soon"}, 1),
        ({"Retry-After": "7", "Content-Length": "100"}, 7),  # and half of a body
        ({"Retry-After": "3600"}, 120),  # an hour is not obeyed blindly
    ],
)
def test_guard_when_the_upstream_limits_us_then_everybody_waits_until_one_call_is_answered(
    make: Make, tmdb: Tmdb, clock: Clock, headers: dict[str, str], wait_s: float
) -> None:
    """Calls of other operations too, and once more where the call that looks is refused."""
    call, guard = tmdb.get(URL, status=429, headers=headers), make(POLICY)
    for looks in (1, 2):
        failure(guard)
        for operation in ("lists", "search"):
            error = failure(guard, operation=operation)
            assert isinstance(error, RateLimited)
            assert error.retry_after_s == pytest.approx(wait_s)
        assert call.call_count == looks
        assert guard.health()["tmdb:pause"][0]["observedValue"] >= wait_s
        clock.move(wait_s)
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


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *((" 7 ", 7), ("0", 0), ("86400", 86_400), ("999999999999999999999999", 86_400)),
        *((text, None) for text in ("-1", "1.5", "\u0667", "", "soon", ",")),
        ("Wed, 21 Oct 99999999999999 07:28:00 GMT", None),
        ("Wed, 21 Oct 2015 07:28:00 +99999999999", 0),
        ("Mon, 01 Jan 0001 00:00:00 +2359", 0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86_400),
    ],
)
def test_retry_after_when_read_then_is_seconds_or_nothing(text: str, seconds: float | None) -> None:
    """Seconds and dates are read and bounded; anything else is nothing."""
    assert retry_after_s({"Retry-After": text}) == seconds
