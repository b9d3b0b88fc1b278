"""The circuit breakers of one upstream: pybreaker, one probe at a time, failures by key and rate.

pybreaker counts failures to connect in a row, turns the states, and keeps them in memory or
in Redis. It lets everybody through when half-open, so a gate stands before it. An answer
that went wrong may be the fault of what was asked for, so those count here, by their keys.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

import pybreaker

from bff.errors import (
    BadResponse,
    CircuitOpen,
    ConnectFailed,
    ConnectTimeout,
    CredentialRefused,
    CutShort,
    Unreachable,
    UpstreamFailed,
    UpstreamTimeout,
)
from bff.observability import metrics
from bff.observability.logs import event
from bff.upstream.shared import RedisClient, try_lock

log = logging.getLogger(__name__)
T = TypeVar("T")

PROBE_S = 25.0  # the most that a probe can take; the timeout of a call is 20 s at most
PROBE_WAIT_S = 1.0  # when asking again may help while a probe is out

CONNECTION = (ConnectFailed, ConnectTimeout)
FAILURES = (UpstreamTimeout, Unreachable, UpstreamFailed, BadResponse)
NEVER = (CutShort, CredentialRefused)

# It logs a traceback for each command that Redis does not answer; RedisClient warns once.
logging.getLogger("pybreaker").setLevel(logging.CRITICAL)


@dataclass(frozen=True)
class BreakerPolicy:
    """When a circuit opens and closes.

    Opens after `failures` in a row, or when `rate` of the calls of the last `window_s` failed
    and there were `least_calls` of them; `open_s` later one probe goes out. Failed answers
    open it only where they belong to at least `least_keys` different keys.
    """

    failures: int = 5
    open_s: float = 60
    window_s: float = 30
    least_calls: int = 20
    rate: float = 0.5
    least_keys: int = 3


class Results:
    """The results of the last calls, to tell an upstream that fails from one bad key.

    Thread-safe. `clock` is monotonic, in seconds.
    """

    def __init__(self, policy: BreakerPolicy, clock: Callable[[], float]) -> None:
        self._policy, self._clock = policy, clock
        self._last: deque[tuple[float, object]] = deque(maxlen=1000)
        self._row: list[object] = []  # keys of the failures since the last good answer
        self._lock = threading.Lock()

    def succeeded(self) -> None:
        """Note a good answer."""
        with self._lock:
            self._row.clear()
            self._last.append((self._clock(), None))

    def failed(self, key: object) -> bool:
        """Note a failed answer; whether the upstream must be taken for ill."""
        policy = self._policy
        with self._lock:
            now = self._clock()
            self._row = [*self._row, key][-max(policy.failures, policy.least_keys) :]
            self._last.append((now, key))
            while self._last[0][0] < now - policy.window_s:
                self._last.popleft()
            calls, failures = len(self._last), [it for _, it in self._last if it is not None]
            in_a_row = self._row if len(self._row) >= policy.failures else []
            by_rate = failures if calls >= policy.least_calls else []
            if len(by_rate) < calls * policy.rate:
                by_rate = []
            return max(len(set(in_a_row)), len(set(by_rate))) >= policy.least_keys

    def clear(self) -> None:
        """Forget all: the circuit has turned."""
        with self._lock:
            self._row.clear()
            self._last.clear()


class _Listener(pybreaker.CircuitBreakerListener):
    """Tells of each change of a circuit in the log and in the metrics."""

    def __init__(self, results: Results) -> None:
        self._results = results

    def state_change(
        self,
        cb: pybreaker.CircuitBreaker,
        old_state: pybreaker.CircuitBreakerState | None,
        new_state: pybreaker.CircuitBreakerState,
    ) -> None:
        old = old_state.name if old_state else "-"
        if old == new_state.name:  # one more failure of a call that was out when it opened
            return
        event(
            log, logging.WARNING, "breaker.state", breaker=cb.name, before=old, now=new_state.name
        )
        metrics.breaker_is(str(cb.name), new_state.name)
        self._results.clear()


class Breaker:
    """The circuit of one class of operations. Thread-safe; lives as long as the app.

    With a `client` its state and its one probe are shared through Redis, under `namespace`.
    """

    def __init__(
        self,
        upstream: str,
        operation: str,
        policy: BreakerPolicy,
        client: RedisClient | None = None,
        namespace: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.operation = operation
        self._upstream, self._policy, self._client = upstream, policy, client
        self._namespace = f"{namespace}:{operation}"
        self._storage: pybreaker.CircuitBreakerStorage = (
            pybreaker.CircuitMemoryStorage(pybreaker.STATE_CLOSED)
            if client is None
            else pybreaker.CircuitRedisStorage(
                pybreaker.STATE_CLOSED, client, namespace=self._namespace
            )
        )
        self._results = Results(policy, clock)
        self._circuit = pybreaker.CircuitBreaker(
            name=f"{upstream}.{operation}",
            fail_max=policy.failures,
            reset_timeout=policy.open_s,
            exclude=[lambda error: not isinstance(error, CONNECTION)],
            listeners=[_Listener(self._results)],
            state_storage=self._storage,
            throw_new_error_on_trip=False,
        )
        self._probe = threading.Lock()
        self._bad_probes: set[str] = set()
        metrics.breaker_is(f"{upstream}.{operation}", self.state)

    @property
    def state(self) -> str:
        """Return `closed`, `open` or `half-open`."""
        return self._circuit.current_state

    def close(self) -> None:
        """Close the circuit: the upstream is known to be back."""
        if self.state != pybreaker.STATE_CLOSED:
            self._circuit.close()

    @contextmanager
    def calling(self, key: str, permit: Callable[[], T]) -> Iterator[T]:
        """Let the block run as a call for `key`; raise `CircuitOpen` where it may not go out.

        `permit` is asked for where the circuit lets the call out, and its answer is yielded;
        what it raises says nothing about the upstream.
        """
        if self.state != pybreaker.STATE_CLOSED:
            with self._probing():
                permitted = permit()
                with self._probed(key):
                    yield permitted
            return
        try:
            permitted = permit()
            with self._circuit.calling(), self._noted(key):
                yield permitted
        except pybreaker.CircuitBreakerError as error:
            raise CircuitOpen(self._upstream, retry_after_s=self._policy.open_s) from error

    @contextmanager
    def _probing(self) -> Iterator[None]:
        """Be the one call that looks whether the upstream is back."""
        opened_at = self._storage.opened_at
        if opened_at is not None and self.state == pybreaker.STATE_OPEN:
            left_s = self._policy.open_s - (datetime.now(UTC) - opened_at).total_seconds()
            if left_s > 0:
                raise CircuitOpen(self._upstream, retry_after_s=left_s)
        if not self._probe.acquire(blocking=False):
            raise CircuitOpen(self._upstream, "a probe is out", PROBE_WAIT_S)
        try:
            with self._shared_probe() as mine:
                if not mine:
                    raise CircuitOpen(self._upstream, "a probe is out elsewhere", PROBE_WAIT_S)
                yield
        finally:
            self._probe.release()

    def _shared_probe(self) -> AbstractContextManager[bool]:
        if self._client is None:
            return nullcontext(True)
        return try_lock(self._client, f"{self._namespace}:probe", PROBE_S)

    @contextmanager
    def _noted(self, key: str) -> Iterator[None]:
        """Run the block, and open the circuit where too many calls fail, for too many keys."""
        try:
            yield
        except FAILURES as error:
            if not isinstance(error, NEVER):
                # Where no connection is made, it cannot be the fault of what was asked for.
                ill = self._results.failed(object() if isinstance(error, CONNECTION) else key)
                if ill and self.state == pybreaker.STATE_CLOSED:
                    self._circuit.open()
            raise
        self._results.succeeded()

    @contextmanager
    def _probed(self, key: str) -> Iterator[None]:
        """Run the block as the probe: an answer closes the circuit, no connection opens it again.

        A failed answer may be the fault of its key, and leaves it to the next probe; failed
        answers for several keys open it again.
        """
        if self.state == pybreaker.STATE_OPEN:
            self._bad_probes.clear()
            self._circuit.half_open()
        try:
            yield
        except FAILURES as error:
            if isinstance(error, CredentialRefused):
                self._circuit.close()
            elif not isinstance(error, CutShort):
                self._bad_probes.add(key)
                several = len(self._bad_probes) >= self._policy.least_keys
                if several or isinstance(error, CONNECTION):
                    self._circuit.open()
            raise
        except Exception:  # an answer all the same, such as 404 or 429
            self._circuit.close()
            raise
        self._circuit.close()


class Breakers:
    """The circuits of one upstream, one for each class of operations. Thread-safe.

    `policy` None: no circuit at all.
    """

    def __init__(
        self,
        upstream: str,
        policy: BreakerPolicy | None,
        client: RedisClient | None = None,
        namespace: str = "bff:circuit",
    ) -> None:
        self._upstream, self._policy = upstream, policy
        self._client, self._namespace = client, namespace
        self._made: dict[str, Breaker] = {}
        self._lock = threading.Lock()

    def all(self) -> list[Breaker]:
        """Return the circuits that were used."""
        return list(self._made.values())

    def close(self) -> None:
        """Close every circuit: the upstream is known to be back."""
        for breaker in self.all():
            breaker.close()

    def calling(
        self, operation: str, key: str, permit: Callable[[], T]
    ) -> AbstractContextManager[T]:
        """Return what stands around a call; see `Breaker.calling`."""
        if self._policy is None:
            return nullcontext(permit())
        return self._of(operation, self._policy).calling(key, permit)

    def _of(self, operation: str, policy: BreakerPolicy) -> Breaker:
        with self._lock:
            breaker = self._made.get(operation)
            if breaker is None:
                of = (self._upstream, operation, policy, self._client, self._namespace)
                breaker = self._made[operation] = Breaker(*of)
            return breaker
