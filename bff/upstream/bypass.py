"""Going on without what may be lost: a file, a server."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from bff.observability.logs import event
from bff.readiness import Checks, check

log = logging.getLogger(__name__)
T = TypeVar("T")

BYPASS_S = 5.0
# After a lock that did not come free in time, which on a busy machine says only that its holder
# had no processor just then: workers that go without the file for long ask everything twice.
BYPASS_LOCKED_S = 0.25


class Bypass:
    """Runs operations on what may be lost: a file, a server. Thread-safe.

    After a fault it skips them for `BYPASS_S` (`BYPASS_LOCKED_S` where it was
    only locked, which `is_locked` says), then one caller tries again. One
    warning tells that it is lost, and one line that it is back.
    """

    def __init__(
        self,
        name: str,
        faults: tuple[type[Exception], ...],
        is_locked: Callable[[Exception], bool] = lambda _error: False,
    ) -> None:
        self._name, self._faults, self._is_locked = name, faults, is_locked
        self._until = 0.0
        self._lost = False
        self._lock = threading.Lock()

    def __call__(self, operation: Callable[[], T], otherwise: T) -> T:
        """Return what the operation returns, or `otherwise` where the store is of no use."""
        retries = self._lost
        if retries and not self._may_try():
            return otherwise
        try:
            result = operation()
        except self._faults as error:
            self._fault(error)
            return otherwise
        if retries:
            self._back()
        return result

    @property
    def lost(self) -> bool:
        """Whether operations are skipped, or one of them is being tried again."""
        return self._lost

    def health(self) -> Checks:
        """Return whether operations are skipped just now."""
        state = "bypassed" if self._lost else "in use"
        output = "it had a fault, and is tried again in some seconds at the most"
        return {
            "cache:store": [
                check(state, not self._lost, kind="datastore", of=self._name, output=output)
            ]
        }

    def close(self) -> None:
        """Skip everything from now on, silently."""
        with self._lock:
            self._lost, self._until = True, float("inf")

    def _may_try(self) -> bool:
        with self._lock:
            if time.monotonic() < self._until:
                return False
            self._until = max(self._until, time.monotonic() + BYPASS_S)  # the others wait for us
            return True

    def _fault(self, error: Exception) -> None:
        with self._lock:
            known, self._lost = self._lost, True
            wait_s = min(BYPASS_S, BYPASS_LOCKED_S) if self._is_locked(error) else BYPASS_S
            if self._until != float("inf"):  # closed meanwhile
                self._until = time.monotonic() + wait_s
        if not known:
            event(
                log,
                logging.WARNING,
                "cache.bypassed",
                store=self._name,
                fault=type(error).__name__,
            )

    def _back(self) -> None:
        with self._lock:
            if self._until == float("inf"):
                return
            known, self._lost = self._lost, False
        if known:
            event(log, logging.INFO, "cache.back", store=self._name)
