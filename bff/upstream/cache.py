"""The cache of one upstream: decoded answers in memory above a store that workers share.

One upstream call for any number of callers (single flight), refresh behind
(past its ttl an answer is served and asked for anew in the pool), stale on
error, and "there is no such thing" for a minute. Never for user data.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from cachetools import LRUCache

from bff import context, metrics
from bff.context import Timing
from bff.errors import BadResponse, NotFound, UpstreamError, UpstreamTimeout
from bff.model import Failed, Ok
from bff.upstream.store import Store, Stored

log = logging.getLogger(__name__)
T = TypeVar("T")

MISSING_TTL_S = 60.0
JITTER = 0.1
POLL_S = 0.01
# While an old answer is served because a call failed, the next call waits this long at the
# least, so that not every request pays for the failure.
PAUSE_AFTER_FAILURE_S = 0.5


@dataclass(frozen=True)
class CachePolicy:
    """Times of a cache; `grace_s` and `stale_s` count from the end of the ttl."""

    grace_s: float = 600
    stale_s: float = 86_400
    entries: int = 2000
    most_bytes: int = 24 * 1024 * 1024


@dataclass(frozen=True)
class Request(Generic[T]):
    """What is asked for: `load` asks the upstream, `decode` reads its body.

    `load` returns body and ttl in seconds; it raises `NotFound` or
    `UpstreamError`. `decode` raises `BadResponse`, and what does not decode is
    never stored.
    """

    key: str
    upstream: str
    operation: str
    what: str
    load: Callable[[], tuple[bytes, float]]
    decode: Callable[[bytes], T]


@dataclass(frozen=True, slots=True)
class _Entry:
    """A decoded answer. `failure` is why the last attempt to renew it failed, if it did."""

    value: Any
    missing: bool
    stored_at: float
    ttl_s: float
    size: int
    failure: Failed | None = None
    failed_at: float = 0.0


class Cache:
    """Thread-safe; lives as long as the app.

    `begin` has a task done by a thread of the pool, in a slot of the
    upstream's bulkhead; `call_s` is what one call may take.
    """

    def __init__(
        self,
        policy: CachePolicy,
        store: Store,
        begin: Callable[..., Future[Any]],
        call_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._policy, self._store, self._begin = policy, store, begin
        self._call_s, self._clock = call_s, clock
        least_size = policy.most_bytes / policy.entries
        self._entries: LRUCache[str, _Entry] = LRUCache(
            policy.most_bytes, getsizeof=lambda entry: max(entry.size, least_size)
        )
        self._entries_lock = threading.Lock()
        self._flights: dict[str, Future[_Entry]] = {}
        self._flights_lock = threading.Lock()

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    def peek(self, request: Request[T]) -> Ok[T] | None:
        """Return the answer from memory if it may be served without asking; never blocks."""
        entry = self._lookup(request.key)
        if entry is None or entry.missing or not self._servable(request, entry):
            return None
        self._count(request, "hit")
        return self._answer(request, entry)

    def start(self, request: Request[T]) -> Future[Any]:
        """Join the flight of the key, or begin one; never blocks."""
        entry = self._lookup(request.key)
        if entry is not None and self._servable(request, entry):  # known to be missing
            self._count(request, "hit")
            known: Future[Any] = Future()
            known.set_result(entry)
            return known
        return self._fly(request, entry)

    def finish(self, request: Request[T], flight: Future[Any]) -> Ok[T]:
        """Return what the flight brought, or an old answer in place of a failure.

        Raises `NotFound`, or the `UpstreamError` where there is no answer that
        is young enough. A flight that is not done has come too late.
        """
        if not flight.done():
            return self._stale_or_raise(request, UpstreamTimeout(request.upstream))
        error = flight.exception()
        if isinstance(error, UpstreamError):
            return self._stale_or_raise(request, error)
        return self._answer(request, flight.result())

    # -- what may be served as it is

    def _servable(self, request: Request[Any], entry: _Entry) -> bool:
        """Whether an entry is fresh, or in grace, in which case it is refreshed behind."""
        late_s = self._clock() - entry.stored_at - entry.ttl_s
        if late_s < 0:
            return True
        if entry.missing or late_s >= self._policy.stale_s:
            return False
        if entry.failure and self._clock() - entry.failed_at < PAUSE_AFTER_FAILURE_S:
            return True
        if late_s < self._policy.grace_s:
            self._fly(request, entry, background=True)
            return True
        return False

    def _answer(self, request: Request[T], entry: _Entry) -> Ok[T]:
        if entry.missing:
            raise NotFound(request.upstream, request.what)
        age_s = max(0.0, self._clock() - entry.stored_at)
        return Ok(entry.value, age_s, max(0.0, entry.ttl_s - age_s), entry.failure, kept=True)

    def _stale_or_raise(self, request: Request[T], error: UpstreamError) -> Ok[T]:
        entry = self._lookup(request.key)
        failure = error.outcome()
        if entry is None or entry.missing:
            raise error
        if self._clock() - entry.stored_at >= entry.ttl_s + self._policy.stale_s:
            raise error
        entry = replace(entry, failure=failure, failed_at=self._clock())
        self._keep(request.key, entry)
        self._count(request, "stale")
        return self._answer(request, entry)

    # -- single flight

    def _fly(
        self, request: Request[Any], known: _Entry | None, *, background: bool = False
    ) -> Future[_Entry]:
        """Return the flight of a key; the first who asks has it begun."""
        with self._flights_lock:
            flight = self._flights.get(request.key)
            if flight is not None:
                return flight
            flight = self._flights[request.key] = Future()
        task = self._begin(self._lead, request, flight, known, background)
        # A task that had no slot never ran: what its future holds is the flight's end.
        task.add_done_callback(lambda done: self._unstarted(request, flight, done))
        return flight

    def _unstarted(self, request: Request[Any], flight: Future[_Entry], task: Future[Any]) -> None:
        if flight.done():
            return
        with self._flights_lock:
            self._flights.pop(request.key, None)
        refused = UpstreamTimeout(request.upstream) if task.cancelled() else task.exception()
        flight.set_exception(refused or UpstreamTimeout(request.upstream))

    def _lead(
        self,
        request: Request[Any],
        flight: Future[_Entry],
        known: _Entry | None,
        background: bool,
    ) -> None:
        """Bring the answer for everybody who waits for it, now and until it is there.

        Its time is that of a call, not what is left to the request that asked
        first: others who join have more.
        """
        context.enter(context.current().apart(self._call_s, background=background))
        entry: _Entry | None = None
        error: BaseException | None = None
        try:
            if background:
                self._count(request, "refresh")
            entry = self._obtain(request, known)
        except BaseException as raised:
            error = raised
            self._note_failure(request, raised, background)
        with self._flights_lock:
            self._flights.pop(request.key, None)
        if entry is not None:
            flight.set_result(entry)
        else:
            flight.set_exception(error)

    def _note_failure(self, request: Request[Any], error: BaseException, background: bool) -> None:
        """Put a failure on the old entry, so that who is served it hears why."""
        entry = self._lookup(request.key)
        if isinstance(error, UpstreamError):
            if entry is not None and not entry.missing:
                failed = replace(entry, failure=error.outcome(), failed_at=self._clock())
                self._keep(request.key, failed)
        elif background:
            log.error("cache.refresh_failed key=%s", request.key, exc_info=error)

    def _obtain(self, request: Request[Any], known: _Entry | None) -> _Entry:
        """Return an entry from the store, from another worker's call, or by a call of our own."""
        while True:
            shared = self._from_store(request, known)
            if shared is not None:
                return shared
            if self._store.lease(request.key, self._call_s + 0.1):
                return self._ask(request, known)
            while self._store.held_s(request.key) > 0:
                if context.current().deadline.left_s() <= 0:
                    raise UpstreamTimeout(request.upstream, "waited for another worker")
                time.sleep(POLL_S)

    def _from_store(self, request: Request[Any], known: _Entry | None) -> _Entry | None:
        """Return what the store has, if it is newer than what we know and can be served."""
        stored = self._store.get(request.key)
        if stored is None or (known and stored.stored_at <= known.stored_at):
            return None
        try:
            entry = self._decoded(request, stored)
        except BadResponse:
            return None
        self._keep(request.key, entry)
        age_s = self._clock() - stored.stored_at
        fresh = age_s < stored.ttl_s
        in_grace = not entry.missing and age_s < stored.ttl_s + self._policy.grace_s
        return entry if fresh or (in_grace and not context.current().background) else None

    def _ask(self, request: Request[Any], known: _Entry | None) -> _Entry:
        try:
            # Another worker may have brought it between our look and our lease.
            shared = self._from_store(request, known)
            if shared is not None:
                return shared
            self._count(request, "miss")
            try:
                body, ttl_s = request.load()
                stored = Stored(body, self._clock(), ttl_s * random.uniform(1 - JITTER, 1))
            except NotFound:
                stored = Stored(None, self._clock(), MISSING_TTL_S)
            entry = self._decoded(request, stored)
            self._keep(request.key, entry)
            keep_s = stored.ttl_s + (0 if entry.missing else self._policy.stale_s)
            self._store.put(request.key, stored, keep_s)
            return entry
        finally:
            self._store.release(request.key)

    # -- memory

    def _decoded(self, request: Request[Any], stored: Stored) -> _Entry:
        missing = stored.body is None
        value = None if stored.body is None else request.decode(stored.body)
        # Decoded JSON takes about five times the room of its text.
        size = 5 * len(stored.body or b"") + 500
        return _Entry(value, missing, stored.stored_at, stored.ttl_s, size)

    def _lookup(self, key: str) -> _Entry | None:
        with self._entries_lock:
            return self._entries.get(key)

    def _keep(self, key: str, entry: _Entry) -> None:
        with self._entries_lock:
            try:
                self._entries[key] = entry
            except ValueError:  # larger than the whole cache
                self._entries.pop(key, None)

    def _count(self, request: Request[Any], result: str) -> None:
        metrics.cache_of(result).inc()
        if result in ("hit", "stale"):
            context.current().timings.append(Timing(request.upstream, request.operation, "hit"))
