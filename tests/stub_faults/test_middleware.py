"""What each fault does to a call."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from stub_faults.control import ControlPaths
from stub_faults.fault import Fault
from stub_faults.middleware import FaultMiddleware, problem_body
from stub_faults.state import ActiveFault, State
from tests.stub_faults.host_app import Host

POPULAR = "/3/movie/popular"


def test_call_without_a_fault_passes_untouched(host: Host) -> None:
    """Leave the application's answer alone while no fault is set."""
    answer = host.client.get(POPULAR)

    assert answer.status_code == 200
    assert answer.json is not None
    assert answer.json["path"] == POPULAR


def test_status_fault_answers_without_the_application(host: Host) -> None:
    """Answer matching calls with the status and Retry-After; the application is not called."""
    host.set_fault(status=429, retry_after=2)

    answer = host.client.get(POPULAR)

    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == "2"
    assert answer.content_type == "application/problem+json"
    assert answer.json is not None
    assert answer.json["status"] == 429
    assert host.served == 0


def test_status_fault_with_error_body_uses_it() -> None:
    """Take body and content type of a status fault from the service's own function."""
    host = Host(error_body=lambda status: (b'{"status_code":25}', f"application/x{status}"))
    host.set_fault(status=429)

    answer = host.client.get(POPULAR)

    assert (answer.data, answer.content_type) == (b'{"status_code":25}', "application/x429")


def test_status_fault_on_head_has_no_body(host: Host) -> None:
    """Answer HEAD with the status and no body."""
    host.set_fault(status=503)

    answer = host.client.head(POPULAR)

    assert (answer.status_code, answer.data) == (503, b"")


def test_garbage_fault_answers_html_with_200(host: Host) -> None:
    """Answer 200 with a body that is not JSON."""
    host.set_fault(garbage=True)

    answer = host.client.get(POPULAR)

    assert answer.status_code == 200
    assert answer.content_type.startswith("text/html")
    assert b"<html" in answer.data


def test_reset_fault_without_a_socket_raises(host: Host) -> None:
    """Raise ConnectionResetError where the server gives no socket."""
    host.set_fault(reset=True)

    with pytest.raises(ConnectionResetError):
        host.client.get(POPULAR)

    assert host.served == 0


def test_truncate_fault_breaks_off_after_half_of_the_body(host: Host) -> None:
    """Announce the whole length, give half of the body, then break off."""
    whole = host.client.get(POPULAR).data
    host.set_fault(truncate=True)

    answer = host.client.get(POPULAR, buffered=False)
    pieces = answer.iter_encoded()
    received = next(pieces) + next(pieces)
    with pytest.raises(ConnectionResetError):
        next(pieces)

    assert answer.headers["Content-Length"] == str(len(whole))
    assert received == whole[: len(whole) // 2]


def test_slow_body_fault_gives_the_body_in_pieces(host: Host) -> None:
    """Give the same body in pieces that together take the named time."""
    whole = host.client.get(POPULAR).data
    host.set_fault(slow_body_ms=50)

    begun = time.monotonic()
    answer = host.client.get(POPULAR, buffered=False)
    pieces = [piece for piece in answer.iter_encoded() if piece]

    assert time.monotonic() - begun >= 0.05
    assert len(pieces) > 5
    assert b"".join(pieces) == whole


def test_slow_body_fault_leaves_event_streams_alone(host: Host) -> None:
    """Pass an event stream through: it has no end to wait for."""
    host.set_fault(slow_body_ms=60_000)

    assert host.client.get("/events").data == b"data: 1\n\ndata: 2\n\n"


def test_latency_fault_delays_the_answer(host: Host) -> None:
    """Delay matching calls and answer them normally then."""
    host.set_fault(latency_ms=50)

    begun = time.monotonic()
    answer = host.client.get(POPULAR)

    assert time.monotonic() - begun >= 0.05
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "fault", [{"hang": True}, {"latency_ms": 60_000}, {"slow_body_ms": 60_000}]
)
@pytest.mark.parametrize("end", ["delete", "replace"])
def test_holding_fault_when_it_ends_wakes_the_call(
    host: Host, fault: dict[str, Any], end: str
) -> None:
    """Hold a call until the fault ends or is replaced, then answer it at once."""
    host.set_fault(**fault)
    statuses: list[int] = []
    call = threading.Thread(target=lambda: statuses.append(host.client.get(POPULAR).status_code))
    begun = time.monotonic()
    call.start()
    while not host.client.get("/__calls").json:
        assert time.monotonic() - begun < 5

    if end == "delete":
        host.client.delete("/__faults")
    else:
        host.set_fault(match="/elsewhere")
    call.join(5)

    assert statuses == [200]


def test_times_concerns_the_first_calls_only(host: Host) -> None:
    """Apply a fault to the first `times` matching calls; others do not use it up."""
    host.set_fault(status=503, times=2, match="/movie")

    elsewhere = host.client.get("/favorites").status_code
    here = [host.client.get(POPULAR).status_code for _ in range(4)]

    assert elsewhere == 200
    assert here == [503, 503, 200, 200]


def test_times_under_parallel_calls_is_exact(host: Host) -> None:
    """Count `times` exactly when calls come side by side."""
    host.set_fault(status=503, times=5)
    statuses: list[int] = []
    calls = [
        threading.Thread(target=lambda: statuses.append(host.client.get(POPULAR).status_code))
        for _ in range(20)
    ]
    for call in calls:
        call.start()
    for call in calls:
        call.join()

    assert sorted(statuses) == [200] * 15 + [503] * 5
    assert host.client.get("/__calls").json == {f"GET {POPULAR}": 20}


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"error_rate": 0.5}, [500, 200, 500, 200]),
        ({"error_rate": 0.5, "status": 503}, [503, 200, 503, 200]),
        ({"error_rate": 0}, [200, 200, 200, 200]),
        ({"error_rate": 1}, [500, 500, 500, 500]),
    ],
)
def test_error_rate_is_the_share_of_calls_that_fail(
    host: Host, fault: dict[str, Any], expected: list[int]
) -> None:
    """Fail the calls whose random draw is below the rate."""
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


@pytest.mark.parametrize(("fault", "status"), [({"status": 503}, 503), ({"garbage": True}, 200)])
def test_after_lets_the_application_act_before_the_failure(
    host: Host, fault: dict[str, Any], status: int
) -> None:
    """Call the application once, then lose its answer."""
    host.set_fault(after=True, **fault)

    assert host.client.post("/favorites").status_code == status
    assert host.served == 1


def test_after_with_hang_answers_504_when_released(host: Host) -> None:
    """Answer a call 504 that has acted and was held; it must not act a second time."""
    host.set_fault(after=True, hang=True)
    statuses: list[int] = []
    call = threading.Thread(
        target=lambda: statuses.append(host.client.post("/favorites").status_code)
    )
    call.start()
    begun = time.monotonic()
    while not host.served:
        assert time.monotonic() - begun < 5
    host.client.delete("/__faults")
    call.join(5)

    assert statuses == [504]
    assert host.served == 1


def test_health_is_exempt_unless_named(host: Host) -> None:
    """Keep /health out of a fault that does not name it."""
    host.set_fault(status=503)
    before = host.client.get("/health").status_code
    host.set_fault(status=503, match="/health")

    assert (before, host.client.get("/health").status_code) == (200, 503)


@pytest.mark.parametrize(
    ("profile", "status"), [("down", 503), ("rate_limited", 429), ("garbage", 200)]
)
def test_profile_at_the_start_applies_until_it_is_ended(profile: str, status: int) -> None:
    """Apply FAULT_PROFILE from the first call on; DELETE ends it."""
    host = Host(profile=profile)
    before = host.client.get(POPULAR)
    host.client.delete("/__faults")

    assert before.status_code == status
    assert host.client.get(POPULAR).json == {"path": POPULAR, "filling": "x" * 100}


def test_state_past_the_bound_counts_paths_together() -> None:
    """Keep the number of counters bounded."""
    state = State()
    for number in range(10_005):
        state.count("GET", f"/{number}")

    assert len(state.calls()) == 10_001
    assert state.calls()["other"] == 5


def test_active_fault_without_times_never_runs_out() -> None:
    """Apply without an end where `times` is not set."""
    active = ActiveFault(Fault(status=503))

    assert all(active.take() for _ in range(100))
