"""What each fault does to a call."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from stub_faults.control import ControlPaths
from stub_faults.middleware import FaultMiddleware, problem_body
from stub_faults.state import State
from tests.stub_faults.host_app import Host

POPULAR = "/3/movie/popular"
HANG_GUARD_S = 30


class Call(threading.Thread):
    """One request in a thread of its own; `status` is there after `join`."""

    def __init__(self, host: Host, method: str, path: str) -> None:
        super().__init__(daemon=True)
        self._host, self._method, self._path = host, method, path
        self.status = 0
        self.start()

    def run(self) -> None:
        """Send the request."""
        self.status = self._host.client.open(self._path, method=self._method).status_code


def wait_for(condition: Callable[[], Any]) -> None:
    """Return as soon as the condition holds."""
    end = time.monotonic() + HANG_GUARD_S
    while not condition():
        assert time.monotonic() < end


def test_status_when_set_then_the_application_is_not_called(host: Host) -> None:
    """Matching calls get the status, Retry-After and a problem document; HEAD has no body."""
    host.set_fault(status=429, retry_after=2)

    answer = host.client.get(POPULAR)
    head = host.client.head(POPULAR)

    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "2")
    assert answer.content_type == "application/problem+json"
    assert answer.json is not None
    assert answer.json["status"] == 429
    assert (head.status_code, head.data) == (429, b"")
    assert host.served == 0


def test_status_when_the_service_has_a_body_for_it_then_that_is_sent() -> None:
    """Body and content type of a status fault come from the service's own function."""
    host = Host(error_body=lambda status: (b'{"status_code":25}', f"application/x{status}"))
    host.set_fault(status=429)

    answer = host.client.get(POPULAR)

    assert (answer.data, answer.content_type) == (b'{"status_code":25}', "application/x429")


def test_garbage_when_set_then_the_answer_is_html_with_200(host: Host) -> None:
    """The body is not JSON, whatever the status says."""
    host.set_fault(garbage=True)

    answer = host.client.get(POPULAR)

    assert answer.status_code == 200
    assert answer.content_type.startswith("text/html")
    assert b"<html" in answer.data


def test_reset_when_the_server_gives_no_socket_then_it_raises(host: Host) -> None:
    """A test client sees ConnectionResetError, and the application is not called."""
    host.set_fault(reset=True)

    with pytest.raises(ConnectionResetError):
        host.client.get(POPULAR)
    assert host.served == 0


def test_slow_body_when_set_then_the_body_comes_in_pieces(host: Host) -> None:
    """The same body comes in pieces that together take the named time, at least."""
    whole = host.client.get(POPULAR).data
    host.set_fault(slow_body_ms=50)

    begun = time.monotonic()
    answer = host.client.get(POPULAR, buffered=False)
    pieces = [piece for piece in answer.iter_encoded() if piece]

    assert time.monotonic() - begun >= 0.05
    assert len(pieces) > 5
    assert b"".join(pieces) == whole


def test_slow_body_when_the_answer_is_an_event_stream_then_it_is_left_alone(host: Host) -> None:
    """An event stream has no end to wait for."""
    host.set_fault(slow_body_ms=60_000)

    assert host.client.get("/events").data == b"data: 1\n\ndata: 2\n\n"


def test_latency_when_set_then_the_answer_comes_later(host: Host) -> None:
    """Matching calls are delayed, and answered as usual then."""
    host.set_fault(latency_ms=50)

    begun = time.monotonic()
    answer = host.client.get(POPULAR)

    assert time.monotonic() - begun >= 0.05
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "fault", [{"hang": True}, {"latency_ms": 600_000}, {"slow_body_ms": 600_000}]
)
@pytest.mark.parametrize("end", ["delete", "replace"])
def test_held_call_when_the_fault_ends_then_it_is_answered(
    host: Host, fault: dict[str, Any], end: str
) -> None:
    """A call is held until the fault is deleted or replaced, and then served."""
    host.set_fault(**fault)
    call = Call(host, "GET", POPULAR)
    wait_for(lambda: host.client.get("/__calls").json)

    if end == "delete":
        host.client.delete("/__faults")
    else:
        host.set_fault(match="/elsewhere")
    call.join(HANG_GUARD_S)

    assert call.status == 200


def test_times_when_set_then_exactly_so_many_calls_fail(host: Host) -> None:
    """Calls side by side are counted exactly; calls that do not match use nothing up."""
    host.set_fault(status=503, times=5, match="/movie")
    elsewhere = host.client.get("/favorites").status_code
    calls = [Call(host, "GET", POPULAR) for _ in range(20)]
    for call in calls:
        call.join(HANG_GUARD_S)

    assert elsewhere == 200
    assert sorted(call.status for call in calls) == [200] * 15 + [503] * 5
    assert host.client.get("/__calls").json == {"GET /favorites": 1, f"GET {POPULAR}": 20}


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"error_rate": 0.5}, [500, 200, 500, 200]),
        ({"error_rate": 0.5, "status": 503}, [503, 200, 503, 200]),
        ({"error_rate": 0}, [200, 200, 200, 200]),
        ({"error_rate": 1}, [500, 500, 500, 500]),
    ],
)
def test_error_rate_when_set_then_draws_below_it_fail(
    host: Host, fault: dict[str, Any], expected: list[int]
) -> None:
    """The rate is the share of calls that fail."""
    draws = iter([0.1, 0.9, 0.49, 0.5])
    state = State()
    host.app.wsgi_app = FaultMiddleware(  # type: ignore[method-assign]
        Host().app.wsgi_app,
        state,
        ControlPaths(state, ""),
        base="/3",
        error_body=problem_body,
        draw=lambda: next(draws),
    )
    host.set_fault(**fault)

    assert [host.client.get(POPULAR).status_code for _ in range(4)] == expected


@pytest.mark.parametrize(
    ("fault", "status"), [({"status": 503}, 503), ({"garbage": True}, 200), ({"hang": True}, 504)]
)
def test_after_when_set_then_the_application_acts_once_before_the_failure(
    host: Host, fault: dict[str, Any], status: int
) -> None:
    """The call does what it does, and its answer is lost; a held one ends with 504."""
    host.set_fault(after=True, **fault)
    call = Call(host, "POST", "/favorites")
    wait_for(lambda: host.served)
    if fault.get("hang"):
        host.client.delete("/__faults")
    call.join(HANG_GUARD_S)

    assert (call.status, host.served) == (status, 1)


def test_health_when_the_fault_does_not_name_it_then_it_is_exempt(host: Host) -> None:
    """Whoever watches the stub still sees it."""
    host.set_fault(status=503)
    before = host.client.get("/health").status_code
    host.set_fault(status=503, match="/health")

    assert (before, host.client.get("/health").status_code) == (200, 503)


@pytest.mark.parametrize(
    ("profile", "status"), [("down", 503), ("rate_limited", 429), ("garbage", 200)]
)
def test_profile_when_set_at_the_start_then_it_holds_until_it_is_ended(
    profile: str, status: int
) -> None:
    """FAULT_PROFILE applies from the first call on; after DELETE calls pass untouched."""
    host = Host(profile=profile)
    before = host.client.get(POPULAR)
    host.client.delete("/__faults")

    assert before.status_code == status
    assert host.client.get(POPULAR).json == {"path": POPULAR, "filling": "x" * 100}


def test_counts_when_there_are_too_many_paths_then_the_rest_is_counted_together() -> None:
    """The number of counters is bounded."""
    state = State()
    for number in range(10_005):
        state.count("GET", f"/{number}")

    assert len(state.calls()) == 10_001
    assert state.calls()["other"] == 5
