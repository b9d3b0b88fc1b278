"""Keeps the calls to TMDB below its ceiling, over all workers together.

TMDB allows about 40 requests a second and 20 connections for one address, and
a deployment is one address. Interactive calls go before refreshes, and when
TMDB says to wait, everybody waits.
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Protocol

from bff import context
from bff.errors import RateLimited
from bff.steps import Steps, Wait
from bff.upstream.store import Store

# Calls that leave within a second may arrive within less, so the window is a little longer.
WINDOW_S = 1.05
MOST_WAIT_S = 0.5  # an interactive call waits this long for its turn, then a stale answer is better
BACKGROUND_SHARE = 0.75  # of the ceiling that refreshes may use up
STEP_S = 0.02


@dataclass(frozen=True)
class Ceiling:
    """What an upstream allows: calls in a second, and connections at once."""

    per_second: int
    connections: int

    def share(self, workers: int) -> Ceiling:
        """Return an equal part for each of `workers`."""
        return Ceiling(max(1, self.per_second // workers), max(1, self.connections // workers))


class Turns(Protocol):
    """Whose turn it is. Thread-safe."""

    def take(self, ticket: str, *, background: bool) -> float:
        """Take a turn and return 0.0, or return the seconds after which to try again."""

    def done(self, ticket: str) -> None:
        """Give the connection back."""

    def pause(self, for_s: float) -> None:
        """Let nobody have a turn for a while."""


class LocalTurns:
    """An equal share of the ceiling for this worker; a pause is told through the store."""

    PAUSE = "pause"

    def __init__(self, share: Ceiling, store: Store) -> None:
        self._share, self._store = share, store
        self._sent: deque[float] = deque()
        self._open = 0
        self._paused_until = 0.0
        self._lock = threading.Lock()

    def take(self, ticket: str, *, background: bool) -> float:
        """Take a turn and return 0.0, or return the seconds after which to try again."""
        paused_s = max(self.paused_s(), self._store.held_s(self.PAUSE))
        if paused_s > 0:
            return paused_s
        part = BACKGROUND_SHARE if background else 1.0
        with self._lock:
            now = time.monotonic()
            while self._sent and self._sent[0] <= now - WINDOW_S:
                self._sent.popleft()
            if len(self._sent) >= max(1, int(self._share.per_second * part)):
                return max(0.001, self._sent[0] + WINDOW_S - now)
            if self._open >= max(1, int(self._share.connections * part)):
                return STEP_S
            self._sent.append(now)
            self._open += 1
            return 0.0

    def done(self, ticket: str) -> None:
        """Give the connection back."""
        with self._lock:
            self._open -= 1

    def pause(self, for_s: float) -> None:
        """Let no worker of this machine have a turn for a while."""
        with self._lock:
            self._paused_until = max(self._paused_until, time.monotonic() + for_s)
        self._store.hold(self.PAUSE, for_s)

    def paused_s(self) -> float:
        """Return for how long this worker itself was told to wait."""
        return self._paused_until - time.monotonic()

    def note(self) -> None:
        """Count a turn that was had elsewhere, so that the share is not had on top of it."""
        with self._lock:
            self._sent.append(time.monotonic())
            if len(self._sent) > self._share.per_second:
                self._sent.popleft()


class Governor:
    """Hands out turns. Thread-safe; lives as long as the app."""

    def __init__(self, upstream: str, turns: Turns) -> None:
        self._upstream, self._turns = upstream, turns
        self._waiting = 0
        self._lock = threading.Lock()

    def turn(self) -> Steps[str]:
        """Wait for a turn and return its ticket; raise `RateLimited` where it comes too late."""
        ticket = f"{random.getrandbits(128):032x}"
        now = context.current()
        until = time.monotonic() + min(MOST_WAIT_S, max(0.0, now.deadline.left_s()))
        counted = not now.background
        self._count(counted)
        try:
            while True:
                wait_s = self._take(ticket, now.background)
                if wait_s == 0:
                    return ticket
                moment = time.monotonic() + wait_s
                if moment > until:
                    raise RateLimited(self._upstream, "no turn in time", wait_s)
                yield Wait(moment)
        finally:
            self._count(counted, -1)

    def done(self, ticket: str) -> None:
        """Give a turn back."""
        self._turns.done(ticket)

    def pause(self, for_s: float) -> None:
        """Obey a Retry-After, all workers together."""
        self._turns.pause(for_s)

    def _take(self, ticket: str, background: bool) -> float:
        if background and self._waiting:
            return STEP_S  # somebody waits for an answer: refreshes come after
        return self._turns.take(ticket, background=background)

    def _count(self, counted: bool, step: int = 1) -> None:
        if counted:
            with self._lock:
                self._waiting += step
