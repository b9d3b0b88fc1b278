"""The call counts and the fault that is set."""

from __future__ import annotations

import threading
from collections.abc import Callable

from stub_faults.fault import Fault

# A long-running service would otherwise keep one counter for each path anybody ever asked for.
MOST_PATHS = 10_000
OTHER_PATHS = "other"


class ActiveFault:
    """A fault while it is set. `ended` is an event that wakes whoever it holds."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.ended = threading.Event()
        self._left = fault.times
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Use up one of `times`; return whether the fault still applies. Thread-safe."""
        if self._left is None:
            return True
        with self._lock:
            if self._left == 0:
                return False
            self._left -= 1
            return True


class State:
    """Call counts and the active fault of one process. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: dict[str, int] = {}
        self._active: ActiveFault | None = None
        # Called with a fault when it is set, by the thread that sets it.
        self.on_fault: Callable[[Fault], None] = lambda _fault: None

    @property
    def active(self) -> ActiveFault | None:
        """The fault that is set, if any."""
        return self._active

    def set_fault(self, active: ActiveFault | None) -> None:
        """Set a fault, or none; the earlier one ends and what it held goes on."""
        with self._lock:
            earlier, self._active = self._active, active
        if earlier is not None:
            earlier.ended.set()
        if active is not None:
            self.on_fault(active.fault)

    def count(self, method: str, path: str) -> None:
        """Add one call; past `MOST_PATHS` different ones it is counted as `other`."""
        name = f"{method} {path}"
        with self._lock:
            if name not in self._calls and len(self._calls) >= MOST_PATHS:
                name = OTHER_PATHS
            self._calls[name] = self._calls.get(name, 0) + 1

    def calls(self) -> dict[str, int]:
        """Return a copy of the counts: method and path -> number of calls."""
        with self._lock:
            return dict(self._calls)

    def reset_calls(self) -> None:
        """Forget the counts."""
        with self._lock:
            self._calls.clear()
