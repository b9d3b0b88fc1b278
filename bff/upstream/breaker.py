"""A circuit breaker that is fit for threads, on pybreaker's state machine.

pybreaker holds a lock through `call`, lets everybody through when half-open,
and counts failures in a row only. Here the call runs outside any lock, one
probe at a time goes out, and the failure rate over a window counts as well.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from bff.errors import CircuitOpen, UpstreamTimeout
from bff.observability import metrics
from bff.observability.logs import event
from bff.upstream.board import Board, NoBoard
from bff.upstream.recent import Recent
from bff.upstream.spare import without

with without("redis"):  # loaded for a storage that is not used here, it takes 8 MB of a worker
    import pybreaker

log = logging.getLogger(__name__)

PROBE_WAIT_S = 1.0  # when asking again may help while a probe is out


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


class CutShort(UpstreamTimeout):
    """The request left the upstream too little time: it says nothing about its health."""


class _Failed(Exception):
    """Stands for a failure where pybreaker counts; it never leaves this module."""


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
        event(
            log, logging.WARNING, "breaker.state", breaker=cb.name, before=old, now=new_state.name
        )
        metrics.breaker_is(str(cb.name), new_state.name)


class _Turn(pybreaker.CircuitBreakerListener):
    """Has the breaker note each change of its circuit at the moment when it happens."""

    def __init__(self, turned: Callable[[str], None]) -> None:
        self._turned = turned

    def state_change(
        self,
        cb: pybreaker.CircuitBreaker,
        old_state: pybreaker.CircuitBreakerState | None,
        new_state: pybreaker.CircuitBreakerState,
    ) -> None:
        self._turned(new_state.name)


class Breaker:
    """One circuit. Thread-safe; lives as long as the app.

    pybreaker is told of a call when it is over, so that a result that comes
    late, after the circuit has turned, can be left out. `clock` is monotonic:
    a wall clock that is set back would keep a circuit open.

    Where the `board` is shared, a circuit that one worker opened or closed is
    so for all of them, and one probe goes out over all of them.
    """

    def __init__(
        self,
        upstream: str,
        operation: str,
        policy: BreakerPolicy,
        board: Board | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.upstream, self.operation = upstream, operation
        self.name = f"{upstream}.{operation}"
        self._policy, self._clock = policy, clock
        self._board = board or NoBoard()
        self._circuit = pybreaker.CircuitBreaker(
            name=self.name,
            fail_max=policy.failures,
            reset_timeout=policy.open_s,
            success_threshold=policy.successes,
            listeners=[_Log(), _Turn(self._turned)],
            throw_new_error_on_trip=False,
        )
        self._opened = 0.0  # by the breaker's clock
        self._heard: float | None = None  # what the board said when it was last followed
        self._turns = 0  # how often the circuit has turned
        self._telling = 0  # how many threads are about to tell the board
        self._probe = threading.Lock()
        self._calls, self._failures = Recent(policy.window_s), Recent(policy.window_s)
        metrics.breaker_is(self.name, pybreaker.STATE_CLOSED)
        # Held for a few steps, never through a call. pybreaker reports changes inside of it.
        self._lock = threading.RLock()

    @property
    def state(self) -> str:
        """Return `closed`, `open` or `half-open`."""
        if self._board.shared:
            self._follow()
        return self._circuit.current_state

    def check(self) -> None:
        """Raise `CircuitOpen` while no call, not even a probe, may go out; takes nothing."""
        if self._board.shared:
            self._follow()
        self._check()

    def _check(self) -> None:
        state = self._circuit.current_state
        if state == pybreaker.STATE_CLOSED:
            return
        if state == pybreaker.STATE_OPEN:
            wait_s = self._opened + self._policy.open_s - self._clock()
            if wait_s > 0:
                raise CircuitOpen(self.upstream, retry_after_s=wait_s)
        if self._probe.locked():
            raise CircuitOpen(self.upstream, "a probe is out", PROBE_WAIT_S)

    @contextmanager
    def calling(self) -> Iterator[None]:
        """Let the block run as a call; raise `CircuitOpen` where it may not go out.

        An exception from the block is a failure of the upstream and is raised
        as it is. `CutShort` says nothing about the upstream and is not counted.
        """
        self.check()
        with self._lock:
            self._check()
            turn = self._turns
            closed = self._circuit.current_state == pybreaker.STATE_CLOSED
            if not closed and not self._probe.acquire(blocking=False):
                raise CircuitOpen(self.upstream, "a probe is out", PROBE_WAIT_S)
        if closed:
            with self._counted(turn):
                yield
            return
        try:
            if not self._board.probe(self.name, 2 * self._policy.slow_s):
                raise CircuitOpen(self.upstream, "another worker's probe is out", PROBE_WAIT_S)
            try:
                with self._counted(self._half_opened()):
                    yield
            finally:
                self._board.probed(self.name)
        finally:
            self._probe.release()

    def _half_opened(self) -> int:
        with self._lock:
            if self._circuit.current_state == pybreaker.STATE_OPEN:
                self._circuit.half_open()
            return self._turns

    @contextmanager
    def _counted(self, turn: int) -> Iterator[None]:
        started = self._clock()
        try:
            yield
        except CutShort:
            raise
        except BaseException:
            self._count(turn, failed=True)
            raise
        self._count(turn, failed=self._clock() - started > self._policy.slow_s)

    def _count(self, turn: int, *, failed: bool) -> None:
        """Take the result of a call that began at `turn`; too late, it counts for nothing."""
        with self._lock:
            if turn != self._turns:
                return
            before = self._circuit.current_state
            with suppress(_Failed), self._circuit.calling():
                if failed:
                    raise _Failed
            if before == pybreaker.STATE_CLOSED and turn == self._turns and self._rate(failed):
                self._circuit.open()
            if turn == self._turns:
                return
            # A failed probe has opened the circuit anew, or the last good one has closed it.
            opened = self._circuit.current_state == pybreaker.STATE_OPEN
            at = self._heard = datetime.now(UTC).timestamp() if opened else None
            self._telling += 1
        try:  # outside of the lock: the board may be slow
            if at is None:
                self._board.close(self.name)
            else:
                # Kept beyond its time, so that it ends by a probe and not by being forgotten.
                self._board.open(self.name, at, 10 * self._policy.open_s)
        finally:
            with self._lock:
                self._telling -= 1

    def _rate(self, failed: bool) -> bool:
        """Note a result; whether too many of the last calls have failed."""
        now = self._clock()
        calls = self._calls.add(now)
        if not failed:
            return False
        failures = self._failures.add(now)
        return calls >= self._policy.least_calls and failures >= calls * self._policy.rate

    def _turned(self, state: str) -> None:
        """Note that the circuit is in another state; what came before counts no more."""
        with self._lock:
            self._turns += 1
            self._calls.clear()
            self._failures.clear()
            if state == pybreaker.STATE_OPEN:
                self._opened = self._clock()

    def _follow(self) -> None:
        """Take over what other workers found out; they are not told their own news."""
        with self._lock:
            turn = self._turns
            if self._telling:
                return
        heard = self._board.opened_at(self.name)
        if heard == self._heard:
            return
        with self._lock:
            if turn != self._turns or self._telling:
                return  # older than what was found out here meanwhile
            known, self._heard = self._heard, heard
            closed = self._circuit.current_state == pybreaker.STATE_CLOSED
            if heard is None:
                if not closed:
                    self._circuit.close()
            elif closed or known is None or heard > known:
                # Another machine's clock may go wrong: at least now, at most a whole time ago.
                age_s = datetime.now(UTC).timestamp() - heard
                self._circuit.open()
                self._opened = self._clock() - min(max(0.0, age_s), self._policy.open_s)
