"""bff/limiter.py: counted in Redis, and in memory while it is gone."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from limits import RateLimitItemPerMinute
from limits.strategies import FixedWindowRateLimiter, MovingWindowRateLimiter, RateLimiter

from bff.limiter import FAIL_OPEN_S, Limiter
from tests.bff.upstream.servers import RedisServer
from tests.bff.upstream.tools import Clock, logged


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis of its own that can be killed and started again."""
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.close()


TEN = RateLimitItemPerMinute(10)


def taken(limiter: Limiter[RateLimiter], times: int) -> int:
    """Return how many permits of so many tries there were."""
    return sum(limiter.ask(lambda it: it.hit(TEN, "caller")) for _ in range(times))


@pytest.mark.e2e
@pytest.mark.parametrize("strategy", [FixedWindowRateLimiter, MovingWindowRateLimiter])
def test_limiter_when_redis_goes_and_comes_back_then_it_counts_in_memory_meanwhile(
    redis_server: RedisServer,
    caplog: pytest.LogCaptureFixture,
    strategy: type[RateLimiter],
) -> None:
    """Together no more than one alone may have; no caller fails, and one line tells of it."""
    caplog.set_level(logging.WARNING)
    clock = Clock()
    url = f"redis://127.0.0.1:{redis_server.port}/0"
    one, other = Limiter(strategy, url, clock), Limiter(strategy, url, clock)
    assert taken(one, 6) + taken(other, 6) == 10
    redis_server.kill()
    assert [taken(one, 11), taken(other, 11)] == [10, 10]
    redis_server.start()
    assert taken(one, 1) == 0  # it is left alone for a while
    clock.move(FAIL_OPEN_S)
    assert taken(one, 6) + taken(other, 6) == 10
    assert [name for name, _ in logged(caplog)] == ["limits.local"] * 2
