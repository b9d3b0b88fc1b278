"""What the workers of all machines share: one Redis, whose loss costs no request."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from bff.observability.logs import event
from bff.readiness import Checks, check

__all__ = ["RedisClient", "RedisError", "connect", "try_lock"]
log = logging.getLogger(__name__)

TIMEOUT_S = 0.2
COOLDOWN_S = 5.0  # how long a Redis that failed is left alone
GONE = (redis.ConnectionError, redis.TimeoutError)


class RedisClient(redis.Redis):
    """A client that leaves Redis alone for `COOLDOWN_S` after a failure, with one warning.

    Thread-safe. While Redis is gone, commands raise `redis.ConnectionError` at once.
    """

    _gone_until = 0.0
    _warned = False

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Run a command."""
        if time.monotonic() < self._gone_until:
            raise redis.ConnectionError("Redis was gone a moment ago")
        try:
            answer = super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        except GONE as error:
            self._gone_until = time.monotonic() + COOLDOWN_S
            if not self._warned:
                self._warned = True
                event(log, logging.WARNING, "redis.gone", fault=type(error).__name__)
            raise
        if self._warned:
            self._warned = False
            event(log, logging.WARNING, "redis.back")
        return answer

    def setex(self, name: Any, time: Any, value: Any) -> Any:
        """Set a value for `time` seconds; requests-cache calls it, and redis warns of its own."""
        return self.set(name, value, ex=time)

    def setnx(self, name: Any, value: Any) -> Any:
        """Set a value where there is none; pybreaker asks where nothing catches a failure."""
        with suppress(RedisError):
            return super().setnx(name, value)

    def health(self) -> Checks:
        """Return what readiness tells: how long Redis took to answer, or that it did not."""
        begun = time.monotonic()
        try:
            self.ping()
        except (RedisError, OSError) as error:
            # The text of an error names hosts; its kind says enough.
            fault = type(error).__name__
            return {"redis:ping": [check("no answer", False, kind="datastore", output=fault)]}
        taken_ms = round((time.monotonic() - begun) * 1000, 1)
        return {"redis:ping": [check(taken_ms, kind="datastore", unit="ms")]}


def connect(url: str) -> RedisClient:
    """Return a client; asks nothing. It tries twice at most, and waits `TIMEOUT_S` each time.

    By itself the library tries eleven times with pauses. Once more, at once, is enough for a
    connection that Redis has closed because it was idle.
    """
    once_more = Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,))
    pool = redis.ConnectionPool.from_url(
        url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S, retry=once_more
    )
    return RedisClient(connection_pool=pool)


@contextmanager
def try_lock(client: redis.Redis, name: str, for_s: float, wait_s: float = 0.0) -> Iterator[bool]:
    """Hold a lock of all machines, or say that somebody else has it after `wait_s`.

    It ends by itself after `for_s`. While Redis is gone everybody has it.
    """
    lock = client.lock(name, timeout=for_s, sleep=0.01)
    try:
        got = lock.acquire(blocking=wait_s > 0, blocking_timeout=wait_s)
    except (RedisError, OSError):
        yield True
        return
    try:
        yield got
    finally:
        if got:
            with suppress(RedisError, OSError):  # it has run out, or Redis is gone
                lock.release()
