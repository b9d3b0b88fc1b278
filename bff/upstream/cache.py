"""The cache of TMDB's answers: decoded in memory, above the tier that workers share.

Fresh for its ttl, then served and renewed behind the page for the grace, then kept for
stale-if-error. "There is no such thing" is kept for a minute. One worker asks at a time
(`Tier.lock`); within a worker the fan-out has calls with one key share a flight. Never for
user data.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
import requests
from cachetools import LRUCache
from requests_cache.models.response import CachedResponse

from bff import context
from bff.context import Timing
from bff.errors import BadResponse, NotFound, UpstreamError, UpstreamTimeout
from bff.model import Failed, Ok, new_number
from bff.observability import metrics
from bff.upstream.guard import Guard
from bff.upstream.tier import Tier

Json = dict[str, Any]
MISSING_TTL_S = 60
# While an old answer is served because a call failed, the next call waits this long at the
# least, so that not every request pays for the failure.
PAUSE_AFTER_FAILURE_S = 0.5
# TMDB counts max-age down to 0 on its own caches; an answer of ours lives this long at least,
# or a popular list would be asked for on every request in its last seconds.
LEAST_TTL_S = 30
SAME_S = 1.0  # within which the tier's answer is the one that this worker has put there
MOST_SKEW_S = 5.0  # by which the clocks of two machines may differ
# The room that a decoded answer takes, in lengths of its JSON; recorded ones take 2.0 to 3.7.
DECODED = 3.75
OVERHEAD = 500  # bytes of an entry without its answer
_MAX_AGE = re.compile(r"max-age=(\d{1,9})", re.ASCII)


@dataclass(frozen=True)
class CachePolicy:
    """Times of a cache; `grace_s` and `stale_s` count from the end of the ttl."""

    grace_s: float = 600
    stale_s: float = 86_400
    most_bytes: int = 64 * 2**20


@dataclass(frozen=True)
class Query:
    """What is asked for: a request, how its answer is read, and how long that stays fresh.

    `decode` raises `BadResponse`. `names_a_thing`: a 404 says that there is no such thing.
    `thing` is what a failure may be the fault of, see `Guard.send`.
    """

    key: str
    operation: str
    what: str
    thing: str
    ttl_s: int
    names_a_thing: bool
    request: Callable[[], requests.PreparedRequest]
    decode: Callable[[bytes], Json]


@dataclass(frozen=True, slots=True)
class _Entry:
    """An answer; `value` None: there is no such thing. `failure`: why it could not be renewed."""

    value: Json | None
    stored_at: float
    ttl_s: float
    size: int
    failure: Failed | None = None
    failed_at: float = 0.0
    number: int = field(default_factory=new_number)


class Cache:
    """Thread-safe; lives as long as the app; keeps at most `policy.most_bytes` in memory."""

    def __init__(
        self,
        policy: CachePolicy,
        tier: Tier,
        guard: Guard,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._policy, self._tier, self._guard, self.clock = policy, tier, guard, clock
        self._entries: LRUCache[str, _Entry] = LRUCache(
            policy.most_bytes, getsizeof=lambda entry: entry.size
        )
        self._lock = threading.Lock()

    def cached(self, query: Query) -> Ok[Json] | None:
        """Return the answer from memory if it may be served without asking; never blocks."""
        entry = self._lookup(query.key)
        if entry is None or entry.value is None or not self._servable(entry):
            return None
        self._count(query, "hit")
        return self._answer(query, entry)

    def load(self, query: Query) -> Ok[Json]:
        """Return the answer from the shared tier or from TMDB; blocks.

        It has the time of a call, whatever is left to the request that asked first: others
        may wait for it as well. Raise `NotFound` or `UpstreamError`.
        """
        context.enter(context.current().apart(self._guard.timeout_s))
        try:
            return self._answer(query, self._obtain(query))
        except UpstreamError as error:
            self._label(query.key, error)
            raise

    def fallback(self, query: Query, error: UpstreamError) -> Ok[Json]:
        """Return an old answer that says why it is old, or raise `error`; asks nobody."""
        entry = self._lookup(query.key)
        if entry is None:
            self._shared(query, self._tier.name(query.request()), None)
            entry = self._lookup(query.key)
        if entry is None or entry.value is None or self._late_s(entry) >= self._policy.stale_s:
            raise error
        if self._late_s(entry) >= 0:  # else it has come this very moment
            entry = replace(entry, failure=error.outcome(), failed_at=self.clock())
            self._count(query, "stale")
        return self._answer(query, entry)

    # -- what may be served

    def _late_s(self, entry: _Entry) -> float:
        """Return the seconds since the end of the ttl; negative: it is fresh.

        An answer from the future is from before the clock was set back: its age is unknown.
        """
        age_s = self.clock() - entry.stored_at
        return 0.0 if age_s < -MOST_SKEW_S else age_s - entry.ttl_s

    def _servable(self, entry: _Entry) -> bool:
        """Whether an entry may be served without asking first."""
        late_s = self._late_s(entry)
        if late_s < 0:
            return True
        paused = entry.failure and self.clock() - entry.failed_at < PAUSE_AFTER_FAILURE_S
        within = self._policy.stale_s if paused else self._policy.grace_s
        return entry.value is not None and late_s < within

    def _may_serve(self, entry: _Entry) -> bool:
        """Whether an entry is an answer to who asks: a refresh wants a fresh one."""
        return self._late_s(entry) < 0 if context.current().background else self._servable(entry)

    def _answer(self, query: Query, entry: _Entry) -> Ok[Json]:
        if entry.value is None:
            raise NotFound(self._guard.name, query.what)
        late_s = self._late_s(entry)
        paused = entry.failure and self.clock() - entry.failed_at < PAUSE_AFTER_FAILURE_S
        return Ok(
            entry.value,
            age_s=max(0.0, self.clock() - entry.stored_at),
            fresh_s=max(0.0, -late_s),
            stale_because=entry.failure,
            renew=late_s >= 0 and not paused,
            number=entry.number,
        )

    # -- asking

    def _obtain(self, query: Query) -> _Entry:
        known = self._lookup(query.key)
        if known is not None and self._may_serve(known):
            return known  # it has come, or is known to be missing
        request = query.request()
        name = self._tier.name(request)
        shared = self._shared(query, name, known)
        if shared is not None:
            return shared
        left_s = max(0.0, context.current().deadline.left_s())
        with self._tier.lock(name, left_s) as mine:
            # Another worker may have brought it meanwhile.
            shared = self._shared(query, name, known)
            if shared is not None:
                return shared
            if not mine:
                raise UpstreamTimeout(self._guard.name, "waited for another worker")
            self._count(query, "refresh" if context.current().background else "miss")
            return self._guard.send(
                query.operation,
                query.thing,
                request,
                lambda response, body: self._keep(query, response, body, self.clock()),
                force_refresh=True,
                expire_after=query.ttl_s,
            )

    def _shared(self, query: Query, name: str, known: _Entry | None) -> _Entry | None:
        """Return what the tier has, if it is newer than what is known and may be served."""
        response = self._tier.get(name)
        if response is None:
            return None
        stored_at = response.created_at.timestamp()
        if known is not None and stored_at <= known.stored_at + SAME_S:
            return None
        try:
            body = self._guard.unpacked(response.content)
            entry = self._keep(query, response, body, stored_at)
        except BadResponse:  # of a release that read it otherwise
            return None
        if not self._may_serve(entry):
            return None
        self._count(query, "shared")
        return entry

    def _keep(
        self,
        query: Query,
        response: requests.Response | CachedResponse,
        body: bytes,
        stored_at: float,
    ) -> _Entry:
        """Read an answer and keep it in memory; raise `BadResponse` where it is none."""
        if response.status_code == 404 and query.names_a_thing:
            entry = _Entry(None, stored_at, MISSING_TTL_S, OVERHEAD)
        elif response.status_code == 200:
            ttl_s = _ttl_s(response.headers.get("Cache-Control", ""), query.ttl_s)
            value = query.decode(body)  # often a small part of the body
            size = int(len(orjson.dumps(value)) * DECODED) + OVERHEAD
            entry = _Entry(value, stored_at, ttl_s, size)
        else:
            raise BadResponse(self._guard.name, f"status {response.status_code}")
        with self._lock:
            try:
                self._entries[query.key] = entry
            except ValueError:  # larger than the whole cache
                self._entries.pop(query.key, None)
        return entry

    # -- memory

    def _lookup(self, key: str) -> _Entry | None:
        with self._lock:
            return self._entries.get(key)

    def _label(self, key: str, error: UpstreamError) -> None:
        """Put a failure on an old entry, so that who is served it hears why."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None and entry.value is not None and self._late_s(entry) >= 0:
                self._entries[key] = replace(entry, failure=error.outcome(), failed_at=self.clock())

    def _count(self, query: Query, result: str) -> None:
        metrics.CACHE.labels(result).inc()
        if result in ("hit", "stale"):
            timing = Timing(self._guard.name, query.operation, "hit")
            context.current().timings.append(timing)


def _ttl_s(cache_control: str, most_s: int) -> float:
    """Return how long an answer stays fresh: as long as TMDB says, within our own bounds."""
    found = _MAX_AGE.search(cache_control)
    return min(most_s, max(LEAST_TTL_S, int(found[1]))) if found else most_s
