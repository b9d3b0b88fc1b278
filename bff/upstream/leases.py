"""Leases that the workers of one machine share: who asks TMDB for a key, and until when nobody may.

A call takes a lease and gives it back. In the SQLite file beside it, that was
two transactions of a cold page's three: see docs/decisions/0015.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path

SLOTS = 4096
PROBES = 16
WAIT_S = 0.05
LONGEST_S = 86_400.0  # what ends later is from before the clock was set back
_WORD = 8  # bytes, which a processor writes and reads in one piece


class LeasesLocked(OSError):
    """Others had the table for too long."""


class Leases:
    """A table in a file that is mapped into memory: a slot has a key's hash and an end.

    Thread-safe, and safe between processes that open the same file; not to be
    used across a fork. Ends are moments of the wall clock, and stay when their
    holder dies. What changes the table has it alone for some microseconds;
    `LeasesLocked` where it does not get it within `WAIT_S`. `OSError`: the file is of no use.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        size = SLOTS * _WORD
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._lock = threading.Lock()
        try:
            if os.fstat(self._file).st_size < 2 * size:
                with self._alone():
                    _fill(self._file, 2 * size)
            memory = memoryview(mmap.mmap(self._file, 2 * size))
        except BaseException:
            os.close(self._file)
            raise
        self._keys, self._ends = memory[:size].cast("Q"), memory[size:].cast("d")

    def take(self, key: str, for_s: float) -> float | None:
        """Take the lease of a key and return its end, which tells it; None: another has it.

        Where 16 others are held whose keys hash to the same spot, it is given without a note.
        """
        number, now = _hash(key), time.time()
        end = now + for_s
        with self._alone():
            at = self._place(number, now)
            if at is None:
                return end
            # One that ends later than it could have is from before the clock was set back.
            if self._keys[at] == number and now < self._ends[at] <= end + 1:
                return None
            self._keys[at], self._ends[at] = number, end
        return end

    def give_back(self, key: str, end: float) -> None:
        """Give a lease back, if it is still the one that was taken."""
        number = _hash(key)
        with self._alone():
            at = self._find(number)
            if at is not None and self._ends[at] == end:
                self._ends[at] = 0.0

    def hold(self, key: str, for_s: float) -> None:
        """Take a lease whoever has it; never shortens it."""
        number, now = _hash(key), time.time()
        with self._alone():
            at = self._place(number, now)
            if at is not None:
                same = self._keys[at] == number and _is_held(self._ends[at], now)
                end = max(now + for_s, self._ends[at]) if same else now + for_s
                self._keys[at], self._ends[at] = number, end

    def held_s(self, key: str) -> float:
        """Return for how many seconds a lease is still held; 0: by nobody."""
        now = time.time()
        at = self._find(_hash(key))
        end = self._ends[at] if at is not None else 0.0
        return end - now if _is_held(end, now) else 0.0

    def clear(self) -> None:
        """Forget all of them."""
        with self._alone():
            for at in range(SLOTS):
                self._ends[at] = 0.0

    def close(self) -> None:
        """Close the file; from now on nothing can be taken."""
        with self._lock:
            os.close(self._file)
            self._file = -1  # not the number of a file that is opened later

    def _find(self, number: int) -> int | None:
        """Return the slot of a key."""
        return next((at for at in _spots(number) if self._keys[at] == number), None)

    def _place(self, number: int, now: float) -> int | None:
        """Return the slot of a key, or one for it."""
        at = self._find(number)
        if at is not None:
            return at
        return next((at for at in _spots(number) if not _is_held(self._ends[at], now)), None)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        until = time.monotonic() + WAIT_S
        if not self._lock.acquire(timeout=WAIT_S):
            raise LeasesLocked("by another thread")
        try:
            if self._file < 0:
                raise OSError("closed")
            while True:
                try:
                    fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError as error:
                    if time.monotonic() > until:
                        raise LeasesLocked("by another process") from error
                    time.sleep(0.0005)
            try:
                yield
            finally:
                fcntl.flock(self._file, fcntl.LOCK_UN)
        finally:
            self._lock.release()


def _fill(file: int, size: int) -> None:
    """Give a file its size, without a hole: a write to one on a full disk is a SIGBUS."""
    has = os.fstat(file).st_size
    if has < size and os.pwrite(file, bytes(size - has), has) < size - has:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _is_held(end: float, now: float) -> bool:
    return now < end <= now + LONGEST_S


def _spots(number: int) -> Iterator[int]:
    return ((number + step) % SLOTS for step in range(PROBES))


def _hash(key: str) -> int:
    return int.from_bytes(blake2b(key.encode(), digest_size=_WORD).digest(), "little") or 1
