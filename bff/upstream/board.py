"""Where the circuit breakers of all workers tell each other that a circuit is open."""

from __future__ import annotations

from typing import Protocol


class Board(Protocol):
    """What breakers know of each other. Thread-safe; never raises."""

    def opened_at(self, name: str) -> float | None:
        """Return when a circuit was opened by any worker (wall clock); None: it is closed."""

    def open(self, name: str, at: float, keep_s: float) -> None:
        """Tell that a circuit is open."""

    def close(self, name: str) -> None:
        """Tell that a circuit is closed."""

    def probe(self, name: str, for_s: float) -> bool:
        """Whether the caller is the one over all workers whose probe goes out."""

    def probed(self, name: str) -> None:
        """Tell that the probe has come back."""

    @property
    def shared(self) -> bool:
        """Whether other workers look at it."""


class NoBoard:
    """A worker on its own."""

    shared = False

    def opened_at(self, name: str) -> float | None:
        """Know nothing."""
        return None

    def open(self, name: str, at: float, keep_s: float) -> None:
        """Tell nobody."""

    def close(self, name: str) -> None:
        """Tell nobody."""

    def probe(self, name: str, for_s: float) -> bool:
        """Let the worker's own gate decide."""
        return True

    def probed(self, name: str) -> None:
        """Tell nobody."""
