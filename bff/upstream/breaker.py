"""A circuit breaker that is fit for threads, on pybreaker's state machine.

pybreaker holds a lock through `call`, lets everybody through when half-open,
and counts failures in a row only. Here the call runs outside any lock, one
probe at a time goes out, and the failure rate over a window counts as well.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime

import pybreaker

from bff.errors import CircuitOpen
from bff.upstream.board import Board, NoBoard

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BreakerPolicy:
    """When a circuit opens and closes.

    Opens after `failures` in a row, or when at least `rate` of the calls of
    the last `window_s` failed and there were `least_calls` of them. A call
    longer than `slow_s` counts as failed. `open_s` later one probe goes out;
    after `successes` good probes the circuit is closed.
    """

    failures: int = 5
    open_s: float = 60
    slow_s: float = 1.4
    window_s: float = 30
    least_calls: int = 20
    rate: float = 0.5
    successes: int = 2


class _SlowCall(Exception):
    """A good answer that came too late to count as one."""


class NoBreaker:
    """No circuit at all: every call goes out."""

    def check(self) -> None:
        """Let it pass."""

    def calling(self) -> AbstractContextManager[None]:
        """Let it pass."""
        return nullcontext()


class _Log(pybreaker.CircuitBreakerListener):
    def state_change(
        self,
        cb: pybreaker.CircuitBreaker,
        old_state: pybreaker.CircuitBreakerState | None,
        new_state: pybreaker.CircuitBreakerState,
    ) -> None:
        old = old_state.name if old_state else "-"
        log.warning("breaker.state breaker=%s from=%s to=%s", cb.name, old, new_state.name)


class _Tell(pybreaker.CircuitBreakerListener):
    """Puts what happens to a circuit on the board."""

    def __init__(
        self, board: Board, storage: pybreaker.CircuitBreakerStorage, policy: BreakerPolicy
    ) -> None:
        self._board, self._storage, self._policy = board, storage, policy

    def state_change(
        self,
        cb: pybreaker.CircuitBreaker,
        old_state: pybreaker.CircuitBreakerState | None,
        new_state: pybreaker.CircuitBreakerState,
    ) -> None:
        name = str(cb.name)
        if new_state.name == pybreaker.STATE_OPEN:
            opened_at = self._storage.opened_at or datetime.now(UTC)
            # Kept beyond its time, so that it ends by a probe and not by being forgotten.
            self._board.open(name, opened_at.timestamp(), 10 * self._policy.open_s)
        elif new_state.name == pybreaker.STATE_CLOSED:
            self._board.close(name)


class Breaker:
    """One circuit. Thread-safe; lives as long as the app.

    Where the `board` is shared, a circuit that one worker opened or closed is
    so for all of them, and one probe goes out over all of them.
    """

    def __init__(
        self, upstream: str, operation: str, policy: BreakerPolicy, board: Board | None = None
    ) -> None:
        self.upstream, self.operation = upstream, operation
        self.name = f"{upstream}.{operation}"
        self._policy = policy
        self._board = board or NoBoard()
        self._storage = pybreaker.CircuitMemoryStorage(pybreaker.STATE_CLOSED)
        self._circuit = pybreaker.CircuitBreaker(
            name=self.name,
            fail_max=policy.failures,
            reset_timeout=policy.open_s,
            success_threshold=policy.successes,
            state_storage=self._storage,
            listeners=[_Log(), _Tell(self._board, self._storage, policy)],
            throw_new_error_on_trip=False,
        )
        self._probe = threading.Lock()
        self._window: deque[tuple[float, bool]] = deque(maxlen=10_000)
        self._window_lock = threading.Lock()

    @property
    def state(self) -> str:
        """Return `closed`, `open` or `half-open`."""
        if self._board.shared:
            self._follow()
        return self._circuit.current_state

    def check(self) -> None:
        """Raise `CircuitOpen` while no call, not even a probe, may go out; takes nothing."""
        opened_at = self._storage.opened_at
        if self.state == pybreaker.STATE_OPEN and opened_at is not None:
            wait_s = self._policy.open_s - (datetime.now(UTC) - opened_at).total_seconds()
            if wait_s > 0:
                raise CircuitOpen(self.upstream, retry_after_s=wait_s)

    @contextmanager
    def calling(self) -> Iterator[None]:
        """Let the block run as a call; raise `CircuitOpen` where it may not go out.

        An exception from the block is a failure of the upstream and is raised
        as it is.
        """
        self.check()
        if self.state == pybreaker.STATE_CLOSED:
            with self._counted():
                yield
            return
        if not self._probe.acquire(blocking=False):
            raise CircuitOpen(self.upstream, "a probe is out", 1.0)
        try:
            if not self._board.probe(self.name, 2 * self._policy.slow_s):
                raise CircuitOpen(self.upstream, "another worker's probe is out", 1.0)
            try:
                with self._counted():
                    yield
            finally:
                self._board.probed(self.name)
        finally:
            self._probe.release()

    def _follow(self) -> None:
        """Take over what other workers found out."""
        opened = self._board.opened_at(self.name)
        local = self._circuit.current_state
        if opened is not None and local == pybreaker.STATE_CLOSED:
            self._circuit.open()
            self._storage.opened_at = datetime.fromtimestamp(opened, UTC)
        elif opened is None and local != pybreaker.STATE_CLOSED:
            self._circuit.close()

    @contextmanager
    def _counted(self) -> Iterator[None]:
        started = time.monotonic()
        entered = False
        try:
            with self._circuit.calling():
                entered = True
                yield
                if time.monotonic() - started > self._policy.slow_s:
                    raise _SlowCall
        except pybreaker.CircuitBreakerError:
            raise CircuitOpen(self.upstream, retry_after_s=1.0) from None
        except _SlowCall:
            self._record(failed=True)
        except BaseException:
            if entered:
                self._record(failed=True)
            raise
        else:
            self._record(failed=False)

    def _record(self, *, failed: bool) -> None:
        now = time.monotonic()
        with self._window_lock:
            self._window.append((now, failed))
            while self._window[0][0] < now - self._policy.window_s:
                self._window.popleft()
            calls = len(self._window)
            failures = sum(bad for _, bad in self._window) if failed else 0
            tripped = calls >= self._policy.least_calls and failures >= calls * self._policy.rate
            if tripped:
                self._window.clear()
        if tripped and self.state == pybreaker.STATE_CLOSED:
            self._circuit.open()
