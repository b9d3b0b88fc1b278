"""Whose turn it is to call TMDB, in Redis, for the workers of all machines."""

from __future__ import annotations

from typing import Any

import redis

from bff.upstream.bypass import Bypass
from bff.upstream.governor import BACKGROUND_SHARE, WINDOW_S, Ceiling, LocalTurns
from bff.upstream.over_redis.client import HOLD, briefly

# One step, so that no two workers take the last turn. Times are Redis' own, in milliseconds.
_TAKE = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local paused = redis.call('PTTL', KEYS[3])
if paused > 0 then return paused end
local window, rate, most, hold = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]),
                                 tonumber(ARGV[5])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - window)
if redis.call('ZCARD', KEYS[1]) >= rate then
  local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
  return math.max(1, first[2] + window - now)
end
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
if redis.call('ZCARD', KEYS[2]) >= most then return 20 end
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('PEXPIRE', KEYS[1], window * 2)
redis.call('ZADD', KEYS[2], now + hold, ARGV[1])
redis.call('PEXPIRE', KEYS[2], hold * 2)
return 0
"""


class RedisTurns:
    """The whole ceiling, shared by all workers of all machines; alone while Redis is gone.

    A worker that dies gives its connections back after `hold_s`.
    """

    def __init__(
        self,
        client: redis.Redis,
        ceiling: Ceiling,
        alone: LocalTurns,
        hold_s: float,
        prefix: str = "bff:tmdb:",
    ) -> None:
        self._client, self._ceiling, self._alone = briefly(client), ceiling, alone
        self._hold_s = hold_s
        self._keys = [f"{prefix}sent", f"{prefix}open", f"{prefix}pause"]
        self._script = client.register_script(_TAKE)
        self._longer = client.register_script(HOLD)
        self._try = Bypass("redis", (redis.RedisError, OSError))
        self._taken_alone: set[str] = set()

    def take(self, ticket: str, *, background: bool) -> float:
        """Take a turn and return 0.0, or return the seconds after which to try again."""
        paused_s = self._alone.paused_s()
        if paused_s > 0:  # Redis may have lost it
            return paused_s
        part = BACKGROUND_SHARE if background else 1.0
        wait_ms: Any = self._try(
            lambda: self._script(
                keys=self._keys,
                args=[
                    ticket,
                    int(WINDOW_S * 1000),
                    max(1, int(self._ceiling.per_second * part)),
                    max(1, int(self._ceiling.connections * part)),
                    int(self._hold_s * 1000),
                ],
            ),
            None,
        )
        if wait_ms == 0:
            self._alone.note()
        if wait_ms is not None:
            return float(wait_ms) / 1000
        wait_s = self._alone.take(ticket, background=background)
        if wait_s == 0:
            self._taken_alone.add(ticket)
        return wait_s

    def done(self, ticket: str) -> None:
        """Give the connection back."""
        if ticket in self._taken_alone:
            self._taken_alone.discard(ticket)
            self._alone.done(ticket)
        else:
            self._try(lambda: self._client.zrem(self._keys[1], ticket), None)

    def pause(self, for_s: float) -> None:
        """Let no worker of any machine have a turn for a while."""
        self._alone.pause(for_s)
        milliseconds = max(1, int(for_s * 1000))
        self._try(lambda: self._longer(keys=[self._keys[2]], args=[milliseconds]), None)
