"""bff/limiter.py: counted in Redis, and in memory while it is gone."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from limits import RateLimitItemPerMinute
from limits.errors import StorageError
from limits.storage import RedisStorage, Storage
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
    caplog.set_level(logging.WARNING, "bff")
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


class Strategy:
    """A strategy that says which storage it counts in; Redis answers when the test lets it."""

    tried, answers = threading.Event(), threading.Event()

    def __init__(self, storage: Storage) -> None:
        self._redis = isinstance(storage, RedisStorage)

    def where(self) -> str:
        """Return the storage."""
        if not self._redis:
            return "memory"
        self.tried.set()
        assert self.answers.wait(60)
        raise StorageError(ConnectionError("refused"))


def test_limiter_when_one_caller_tries_redis_again_then_the_others_do_not_wait() -> None:
    """They count in memory until it is known whether Redis is back."""
    clock = Clock()
    limiter: Limiter[Any] = Limiter(Strategy, "redis://127.0.0.1:1/0", clock)  # type: ignore[type-var]
    Strategy.answers.set()
    assert limiter.ask(Strategy.where) == "memory"
    clock.move(FAIL_OPEN_S)
    Strategy.tried.clear()
    Strategy.answers.clear()
    first = threading.Thread(target=limiter.ask, args=(Strategy.where,))
    first.start()
    assert Strategy.tried.wait(60)

    assert limiter.ask(Strategy.where) == "memory"

    assert first.is_alive()
    Strategy.answers.set()
    first.join()
