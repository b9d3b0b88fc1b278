"""What pybreaker 1.4.1 does that the breaker works around, so that an upgrade shows it."""

from __future__ import annotations

import threading
from importlib.metadata import version

import pybreaker
import pytest

from tests.upstream.tools import together

BOOM = ValueError("boom")


def fail() -> None:
    """Fail."""
    raise BOOM


def test_pybreaker_when_upgraded_then_its_traps_have_to_be_looked_at_again() -> None:
    """The version is the one that the traps were measured with."""
    assert version("pybreaker") == "1.4.1"


def test_pybreaker_call_when_it_runs_then_it_locks_out_the_others() -> None:
    """`call` holds its lock throughout: a second caller comes in only after the first."""
    circuit, inside, leave = pybreaker.CircuitBreaker(), threading.Event(), threading.Event()

    def slow() -> None:
        inside.set()
        leave.wait(5)

    thread = threading.Thread(target=circuit.call, args=(slow,))
    thread.start()
    assert inside.wait(5)
    free: list[bool] = []
    other = threading.Thread(target=lambda: free.append(circuit._lock.acquire(blocking=False)))
    other.start()
    other.join()
    leave.set()
    thread.join()
    assert free == [False]


def test_pybreaker_calling_when_half_open_then_everybody_comes_through() -> None:
    """`calling` holds no lock, but eight callers of a half-open circuit all go out."""
    circuit = pybreaker.CircuitBreaker()
    circuit.half_open()
    barrier = threading.Barrier(8)

    def probe(_: int) -> None:
        with circuit.calling():
            barrier.wait(5)
            fail()

    assert together(8, probe).count(BOOM) == 0  # it raises its own error on the trip
    assert barrier.n_waiting == 0


def test_pybreaker_when_failures_are_interleaved_then_it_never_opens() -> None:
    """It counts failures in a row only: 67 % failures leave it closed."""
    circuit = pybreaker.CircuitBreaker(fail_max=5)
    for _ in range(100):
        for _ in range(2):
            with pytest.raises(ValueError, match="boom"):
                circuit.call(fail)
        circuit.call(str)
    assert circuit.current_state == pybreaker.STATE_CLOSED


def test_pybreaker_when_it_trips_then_it_hides_the_cause_unless_told() -> None:
    """On the trip it raises its own error, and the cause only with the option off."""
    with pytest.raises(pybreaker.CircuitBreakerError):
        pybreaker.CircuitBreaker(fail_max=1).call(fail)
    with pytest.raises(ValueError, match="boom"):
        pybreaker.CircuitBreaker(fail_max=1, throw_new_error_on_trip=False).call(fail)


def test_pybreaker_when_a_failure_comes_late_then_the_open_circuit_opens_anew() -> None:
    """A call that began while it was closed moves the time of an open circuit on."""
    circuit = pybreaker.CircuitBreaker(fail_max=1, throw_new_error_on_trip=False)
    late = circuit.calling()
    late.__enter__()
    circuit.open()
    circuit._state_storage.opened_at = None  # type: ignore[assignment]
    assert not late.__exit__(ValueError, BOOM, None)
    assert circuit._state_storage.opened_at is not None


def test_pybreaker_when_an_exception_is_excluded_then_it_counts_as_success() -> None:
    """What is excluded resets the count of failures."""
    circuit = pybreaker.CircuitBreaker(fail_max=2, exclude=[KeyError])
    with pytest.raises(ValueError, match="boom"):
        circuit.call(fail)
    with pytest.raises(KeyError):
        circuit.call({}.__getitem__, "x")
    assert circuit.fail_counter == 0
