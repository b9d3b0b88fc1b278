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

from bff import context
from bff.context import Deadline, RequestContext, Timing
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
    """Thread-safe; lives as long as the app. `submit` runs a refresh in the pool."""

    def __init__(
        self,
        policy: CachePolicy,
        store: Store,
        submit: Callable[..., Future[Any]],
        refresh_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._policy, self._store, self._submit = policy, store, submit
        self._refresh_s, self._clock = refresh_s, clock
        least_size = policy.most_bytes / policy.entries
        self._entries: LRUCache[str, _Entry] = LRUCache(
            policy.most_bytes, getsizeof=lambda entry: max(entry.size, least_size)
        )
        self._entries_lock = threading.Lock()
        self._flights: dict[str, Future[_Entry]] = {}
        self._flights_lock = threading.Lock()
        self.results = {"hit": 0, "miss": 0, "stale": 0, "refresh": 0}

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    def peek(self, request: Request[T]) -> Ok[T] | None:
        """Return the answer from memory if it may be served without asking; never blocks."""
        entry = self._lookup(request.key)
        if entry is None or entry.missing:
            return None
        served = self._serve(request, entry)
        if served is not None:
            self._count(request, "hit")
        return served

    def fetch(self, request: Request[T]) -> Ok[T]:
        """Return the answer, from memory, the store or the upstream; may block to the deadline.

        Raises `NotFound` or `UpstreamError`, the latter only where there is no
        answer young enough to be served in place of it.
        """
        while True:
            entry = self._lookup(request.key)
            served = self._serve(request, entry) if entry else None
            if served is not None:
                self._count(request, "hit")
                return served
            flight, leads = self._join(request.key)
            if leads:
                self._lead(request, flight, entry)
            try:
                entry = flight.result(timeout=max(0.0, context.current().deadline.left_s()))
            except TimeoutError:
                return self._stale_or_raise(request, UpstreamTimeout(request.upstream))
            except UpstreamTimeout as error:
                if not leads and context.current().deadline.left_s() > 0.05:
                    continue  # the leader had less time than we have: lead ourselves
                return self._stale_or_raise(request, error)
            except UpstreamError as error:
                return self._stale_or_raise(request, error)
            return self._answer(request, entry)

    # -- what may be served as it is

    def _serve(self, request: Request[T], entry: _Entry) -> Ok[T] | None:
        """Return the entry as an answer while it is fresh or in grace; raise for a fresh 404."""
        age_s = max(0.0, self._clock() - entry.stored_at)
        if age_s < entry.ttl_s:
            return self._answer(request, entry)
        if entry.missing or age_s >= entry.ttl_s + self._policy.stale_s:
            return None
        if entry.failure and self._clock() - entry.failed_at < PAUSE_AFTER_FAILURE_S:
            return self._answer(request, entry)
        if age_s < entry.ttl_s + self._policy.grace_s:
            self._refresh(request)
            return self._answer(request, entry)
        return None

    def _answer(self, request: Request[T], entry: _Entry) -> Ok[T]:
        if entry.missing:
            raise NotFound(request.upstream, request.what)
        age_s = max(0.0, self._clock() - entry.stored_at)
        return Ok(entry.value, age_s, max(0.0, entry.ttl_s - age_s), entry.failure)

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

    def _join(self, key: str) -> tuple[Future[_Entry], bool]:
        with self._flights_lock:
            flight = self._flights.get(key)
            if flight is not None:
                return flight, False
            flight = self._flights[key] = Future()
            return flight, True

    def _lead(self, request: Request[Any], flight: Future[_Entry], known: _Entry | None) -> None:
        try:
            flight.set_result(self._obtain(request, known))
        except BaseException as error:
            flight.set_exception(error)
        finally:
            with self._flights_lock:
                self._flights.pop(request.key, None)

    def _obtain(self, request: Request[Any], known: _Entry | None) -> _Entry:
        """Return an entry from the store, from another worker's call, or by a call of our own."""
        while True:
            shared = self._from_store(request, known)
            if shared is not None:
                return shared
            left_s = context.current().deadline.left_s()
            if self._store.lease(request.key, max(0.1, min(left_s, self._refresh_s))):
                return self._ask(request)
            while self._store.leased(request.key):
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
        if in_grace and not fresh:
            self._refresh(request)
        return entry if fresh or in_grace else None

    def _ask(self, request: Request[Any]) -> _Entry:
        try:
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

    # -- refresh behind

    def _refresh(self, request: Request[Any]) -> None:
        flight, leads = self._join(request.key)
        if not leads:
            return
        try:
            self._submit(self._refresh_now, request, flight)
        except RuntimeError:  # the pool is closed: the process is ending
            with self._flights_lock:
                self._flights.pop(request.key, None)

    def _refresh_now(self, request: Request[Any], flight: Future[_Entry]) -> None:
        """Lead the flight with a deadline of its own, not that of the request that saw it."""
        now = context.current()
        context.enter(
            RequestContext(now.request_id, Deadline.after(self._refresh_s), background=True)
        )
        self._count(request, "refresh")
        self._lead(request, flight, self._lookup(request.key))
        error = flight.exception()
        if isinstance(error, UpstreamError):
            entry = self._lookup(request.key)
            if entry is not None and not entry.missing:
                failed = replace(entry, failure=error.outcome(), failed_at=self._clock())
                self._keep(request.key, failed)
        elif error is not None and not isinstance(error, NotFound):
            log.error("cache.refresh_failed key=%s", request.key, exc_info=error)

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
        self.results[result] += 1
        if result in ("hit", "stale"):
            context.current().timings.append(Timing(request.upstream, request.operation, "hit"))
