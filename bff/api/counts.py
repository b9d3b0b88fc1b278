"""Counters that the workers of one machine share, for exact rate limits without Redis."""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import threading
import time
from hashlib import blake2b
from pathlib import Path

from limits.storage import Storage

_SLOT = struct.Struct("<QdQ")  # key's hash, end of the window (wall clock), count
PROBES = 16


class SharedCounts(Storage):
    """A storage of the `limits` library in a memory-mapped file.

    Thread-safe and safe between processes that open the same file. A counter
    that has ended gives its slot away. Where more callers hash to one spot than
    it has slots, the one that ends first is forgotten: its caller gains one
    window, and nobody else loses anything. `slots` times 24 bytes large.
    """

    STORAGE_SCHEME = ["bff+shared"]  # noqa: RUF012 - the library's own attribute

    def __init__(self, path: Path, slots: int = 65_536) -> None:
        super().__init__()
        self._slots = slots
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.ftruncate(self._file, (slots + PROBES) * _SLOT.size)
        self._table = mmap.mmap(self._file, (slots + PROBES) * _SLOT.size)
        # A lock on a file keeps processes apart, but not the threads of one.
        self._lock = threading.Lock()

    @property
    def base_exceptions(self) -> type[Exception]:
        """Name what can go wrong."""
        return OSError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Count one more in the window of the key, which begins with its first count."""
        return self.hit(key, expiry, amount)[0]

    def hit(self, key: str, expiry: int, amount: int = 1) -> tuple[int, float]:
        """Count as `incr`, and return the count and the end of the window (wall clock)."""
        number, now = _hash(key), time.time()
        with self._lock:
            fcntl.lockf(self._file, fcntl.LOCK_EX)
            try:
                at, end, count = self._find(number, now)
                if end <= now:
                    end, count = now + expiry, 0
                _SLOT.pack_into(self._table, at, number, end, count + amount)
                return count + amount, end
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN)

    def get(self, key: str) -> int:
        """Return the count of the key."""
        _, end, count = self._find(_hash(key), time.time())
        return count if end > time.time() else 0

    def get_expiry(self, key: str) -> float:
        """Return the end of the key's window."""
        return max(self._find(_hash(key), time.time())[1], time.time())

    def check(self) -> bool:
        """Say that it works."""
        return True

    def reset(self) -> int | None:
        """Forget every count."""
        self._table[:] = bytes(len(self._table))
        return None

    def clear(self, key: str) -> None:
        """Forget the count of a key."""
        at, _, _ = self._find(_hash(key), time.time())
        _SLOT.pack_into(self._table, at, 0, 0.0, 0)

    def close(self) -> None:
        """Close the file."""
        self._table.close()
        os.close(self._file)

    def _find(self, number: int, now: float) -> tuple[int, float, int]:
        """Return where the key stands or may stand, the end of its window and its count."""
        first = (number % self._slots) * _SLOT.size
        free: tuple[float, int] | None = None
        for step in range(PROBES):
            at = first + step * _SLOT.size
            held, end, count = _SLOT.unpack_from(self._table, at)
            if held == number:
                return at, end, count
            if held == 0:
                return (at, 0.0, 0) if free is None or free[0] > now else (free[1], 0.0, 0)
            if free is None or end < free[0]:
                free = (end, at)
        assert free is not None  # noqa: S101 - PROBES is above 0
        return free[1], 0.0, 0


def _hash(key: str) -> int:
    return int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "little") or 1
