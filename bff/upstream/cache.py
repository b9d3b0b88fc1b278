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
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from cachetools import LRUCache

from bff import context
from bff.context import Timing
from bff.errors import BadResponse, NotFound, UpstreamError, UpstreamTimeout
from bff.model import Failed, Ok, new_number
from bff.observability import logs, metrics
from bff.steps import Steps, Task, Wait, alone
from bff.upstream.store import Store, Stored

log = logging.getLogger(__name__)
T = TypeVar("T")

MISSING_TTL_S = 60.0
JITTER = 0.1
POLL_S = 0.01
MOST_SKEW_S = 5.0  # by which the clocks of two machines may differ
# While an old answer is served because a call failed, the next call waits this long at the
# least, so that not every request pays for the failure.
PAUSE_AFTER_FAILURE_S = 0.5


@dataclass(frozen=True)
class CachePolicy:
    """Times of a cache; `grace_s` and `stale_s` count from the end of the ttl."""

    grace_s: float = 600
    stale_s: float = 86_400
    entries: int = 2000
    most_bytes: int = 6 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Loaded(Generic[T]):
    """What an upstream answered: the body, what it says, and how long it stays fresh."""

    body: bytes
    value: T
    ttl_s: float


@dataclass(frozen=True)
class Request(Generic[T]):
    """What is asked for: `load` asks the upstream, `decode` reads a body that was stored.

    `load` raises `NotFound` or `UpstreamError`, `BadResponse` among them: what
    does not decode is never stored. `decode` raises `BadResponse`.
    """

    key: str
    upstream: str
    operation: str
    what: str
    load: Callable[[], Steps[Loaded[T]]]
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
    number: int = field(default_factory=new_number)


class Cache:
    """Thread-safe; lives as long as the app.

    `begin` has a task done by a thread of the pool, in a slot of the
    upstream's bulkhead; `here` makes one for the caller's thread, if that
    would do (`Guard.here`). `call_s` is what one call may take.
    """

    def __init__(
        self,
        policy: CachePolicy,
        store: Store,
        begin: Callable[..., Future[Any]],
        here: Callable[..., Task[Any] | None],
        call_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._policy, self._store = policy, store
        self._begin, self._here = begin, here
        self._call_s, self._clock = call_s, clock
        least_size = -(-policy.most_bytes // policy.entries)  # so that entries are bounded, too
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

    def here(self, request: Request[T], *, last: bool) -> Task[Any] | None:
        """Return a flight of the key as a task for this thread; None: leave it to `start`.

        Others may join it, so it has the time of a call: a request with less left than
        that cannot give it.
        """
        entry = self._lookup(request.key)
        if context.current().deadline.left_s() < self._call_s or (
            entry is not None and self._servable(request, entry)
        ):
            return None
        flight: Future[_Entry] = Future()
        task = self._here(lambda: self._lead(request, flight, entry, False), last=last)
        if task is None:
            return None
        with self._flights_lock:
            if request.key in self._flights or self._landed(request, entry) is not None:
                return None
            self._flights[request.key] = flight
        task.future.add_done_callback(lambda done: self._land(request, flight, done))
        return task

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
        late_s = self._late_s(entry)
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

    def _late_s(self, entry: _Entry | Stored) -> float:
        """Return the seconds since the end of the ttl; negative: it is fresh.

        An answer from the future is from before the clock was set back. It is
        of unknown age, so that it is served and asked for anew.
        """
        age_s = self._clock() - entry.stored_at
        return 0.0 if age_s < -MOST_SKEW_S else age_s - entry.ttl_s

    def _answer(self, request: Request[T], entry: _Entry) -> Ok[T]:
        if entry.missing:
            raise NotFound(request.upstream, request.what)
        age_s = max(0.0, self._clock() - entry.stored_at)
        return Ok(entry.value, age_s, max(0.0, entry.ttl_s - age_s), entry.failure, entry.number)

    def _stale_or_raise(self, request: Request[T], error: UpstreamError) -> Ok[T]:
        entry = self._lookup(request.key)
        if entry is None or entry.missing or self._late_s(entry) >= self._policy.stale_s:
            raise error
        if self._late_s(entry) >= 0:  # else it has come this very moment, and is no old one
            entry = self._label(request.key, entry, error)
            self._count(request, "stale")
        return self._answer(request, entry)

    def _label(self, key: str, entry: _Entry, error: UpstreamError) -> _Entry:
        """Put a failure on an old entry; one that has replaced it meanwhile stays as it is."""
        failed = replace(entry, failure=error.outcome(), failed_at=self._clock())
        with self._entries_lock:
            now = self._entries.get(key)
            if now is not None and now.stored_at == entry.stored_at:
                self._entries[key] = failed
        return failed

    # -- single flight

    def _fly(
        self, request: Request[Any], known: _Entry | None, *, background: bool = False
    ) -> Future[_Entry]:
        """Return the flight of a key; the first who asks has it begun."""
        with self._flights_lock:
            flight = self._flights.get(request.key)
            if flight is not None:
                if not background:
                    self._count(request, "joined")
                return flight
            flight = Future()
            landed = self._landed(request, known)
            if landed is not None:
                if not background:
                    self._count(request, "joined")
                flight.set_result(landed)
                return flight
            self._flights[request.key] = flight
        try:
            task = self._begin(lambda: alone(self._lead(request, flight, known, background)))
        except BaseException as error:
            self._leave(request, flight)
            flight.set_exception(error)
            raise
        # Also where the task had no slot or was cancelled, so that no flight is left behind.
        task.add_done_callback(lambda done: self._land(request, flight, done))
        return flight

    def _landed(self, request: Request[Any], known: _Entry | None) -> _Entry | None:
        """Return an answer that has come since we looked, and found `known`."""
        entry = self._lookup(request.key)
        fresh = entry is not None and entry is not known and self._late_s(entry) < 0
        return entry if fresh else None

    def _land(self, request: Request[Any], flight: Future[_Entry], task: Future[_Entry]) -> None:
        self._leave(request, flight)
        if task.cancelled():
            flight.set_exception(UpstreamTimeout(request.upstream, "cancelled"))
        elif (error := task.exception()) is not None:
            flight.set_exception(error)
        else:
            flight.set_result(task.result())

    def _leave(self, request: Request[Any], flight: Future[_Entry]) -> None:
        """Let nobody join any more."""
        with self._flights_lock:
            if self._flights.get(request.key) is flight:
                del self._flights[request.key]

    def _lead(
        self,
        request: Request[Any],
        flight: Future[_Entry],
        known: _Entry | None,
        background: bool,
    ) -> Steps[_Entry]:
        """Bring the answer for everybody who waits for it, now and until it is there.

        Its time is that of a call, not what is left to the request that asked
        first: others who join have more.
        """
        context.enter(context.current().apart(self._call_s, background=background))
        try:
            if background:
                self._count(request, "refresh")
            return (yield from self._obtain(request, known))
        except BaseException as error:
            self._note_failure(request, error, background)
            raise
        finally:
            # Before the slot is given back, so that an idle upstream means an idle cache.
            self._leave(request, flight)

    def _note_failure(self, request: Request[Any], error: BaseException, background: bool) -> None:
        """Put a failure on the old entry, so that who is served it hears why."""
        if isinstance(error, UpstreamError):
            entry = self._lookup(request.key)
            if entry is not None and not entry.missing and self._late_s(entry) >= 0:
                self._label(request.key, entry, error)
        elif background:
            logs.failure(log, "cache.refresh_failed", error, key=request.key)

    def _obtain(self, request: Request[Any], known: _Entry | None) -> Steps[_Entry]:
        """Return an entry from the store, from another worker's call, or by a call of our own."""
        while True:
            shared = self._from_store(request, known)
            if shared is not None:
                self._count(request, "shared")
                return shared
            lease_s = self._call_s + 0.1
            if self._store.lease(request.key, lease_s):
                return (yield from self._ask(request, known))
            # One held for longer than it can be is from before the clock was set back.
            while 0 < self._store.held_s(request.key) <= lease_s + 1:
                if context.current().deadline.left_s() <= 0:
                    raise UpstreamTimeout(request.upstream, "waited for another worker")
                yield Wait(time.monotonic() + POLL_S)

    def _from_store(self, request: Request[Any], known: _Entry | None) -> _Entry | None:
        """Return what the store has, if it is newer than what we know and can be served."""
        stored = self._store.get(request.key)
        if stored is None or (known and stored.stored_at <= known.stored_at):
            return None
        try:
            value = None if stored.body is None else request.decode(stored.body)
        except BadResponse:
            return None
        entry = _entry(stored, value)
        self._keep(request.key, entry)
        late_s = self._late_s(stored)
        fresh = late_s < 0
        in_grace = not entry.missing and late_s < self._policy.grace_s
        return entry if fresh or (in_grace and not context.current().background) else None

    def _ask(self, request: Request[Any], known: _Entry | None) -> Steps[_Entry]:
        try:
            # Another worker may have brought it between our look and our lease.
            shared = self._from_store(request, known)
            if shared is not None:
                self._count(request, "shared")
                return shared
            self._count(request, "miss")
            try:
                loaded = yield from request.load()
                ttl_s = loaded.ttl_s * random.uniform(1 - JITTER, 1)
                stored = Stored(loaded.body, self._clock(), ttl_s)
                entry = _entry(stored, loaded.value)
            except NotFound:
                stored = Stored(None, self._clock(), MISSING_TTL_S)
                entry = _entry(stored, None)
            self._keep(request.key, entry)
            keep_s = stored.ttl_s + (0 if entry.missing else self._policy.stale_s)
            self._store.put(request.key, stored, keep_s)
            return entry
        finally:
            self._store.release(request.key)

    # -- memory

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


def _entry(stored: Stored, value: Any) -> _Entry:
    # Decoded JSON takes up to two and a half times the room of its text.
    size = 5 * len(stored.body or b"") // 2 + 500
    return _Entry(value, stored.body is None, stored.stored_at, stored.ttl_s, size)
