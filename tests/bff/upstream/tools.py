"""What the tests of the upstream room measure and wait with."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from limits.strategies import MovingWindowRateLimiter

from bff.limiter import Limiter
from bff.upstream.rate import Permits


class Clock:
    """A clock that is moved by hand."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += seconds


def until(holds: Callable[[], Any], within_s: float = 5.0) -> bool:
    """Wait until something holds; False where it does not in time."""
    end = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.002)
    return True


def together(count: int, task: Callable[[int], Any]) -> list[Any]:
    """Run a task in so many threads that begin at once; return results or exceptions."""
    results: list[Any] = [None] * count
    barrier = threading.Barrier(count)

    def run(number: int) -> None:
        barrier.wait(10)
        try:
            results[number] = task(number)
        except Exception as error:
            results[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    return results


def permits(redis_url: str = "") -> Permits:
    """Return what counts calls and retries."""
    return Limiter(MovingWindowRateLimiter, redis_url)


def logged(caplog: pytest.LogCaptureFixture) -> list[tuple[str, dict[str, Any]]]:
    """Return the events that were logged, each with its fields."""
    return [
        (
            line.getMessage(),
            {key: it for key, it in vars(line).get("fields", {}).items() if key != "request_id"},
        )
        for line in caplog.records
    ]
