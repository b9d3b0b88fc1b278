"""Counters that the workers of one machine share, for rate limits without Redis and without a lock.

Each process counts in a table of its own and adds up what stands in those of
the others. A lock on a file, which every request of every worker would take,
was a fifth of the cost of a warm page: see docs/decisions/0014.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import threading
import time
from hashlib import blake2b
from pathlib import Path

from limits.storage import Storage

TABLES = 32  # processes that count at the same time, old and new ones of a reload together
PROBES = 16
# A slot of a table: the key's hash, the end of its window (wall clock, ms), its count.
_END, _COUNT, _SLOT = 1, 2, 3
_WORD = 8  # bytes, which a processor writes and reads in one piece


class SharedCounts(Storage):
    """A storage of the `limits` library in a memory-mapped file.

    Thread-safe, and safe between processes that open the same file; not to be
    used across a fork. A process owns one of `TABLES` tables, which holds
    `slots` counters, for as long as it holds the lock of a file beside it; the
    next owner goes on with what stands there. A request is counted before the
    others' tables are read, so that no limit is exceeded; of two that come in
    the same microseconds as the last one allowed, both may be refused.

    Where more callers hash to one spot than it has slots, the one that ends
    first is forgotten: its caller gains what this process has counted, and
    nobody else loses anything.
    """

    STORAGE_SCHEME = ["bff+shared"]  # noqa: RUF012 - the library's own attribute

    def __init__(self, path: Path, slots: int = 16_384) -> None:
        super().__init__()
        self._slots = slots
        self._size = (slots + PROBES) * _SLOT
        path.parent.mkdir(parents=True, exist_ok=True)
        length = (1 + TABLES * self._size) * _WORD  # mostly a hole: what nobody uses takes no room
        with open(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # workers start at the same moment
            os.ftruncate(file.fileno(), length)
            memory = memoryview(mmap.mmap(file.fileno(), length)).cast("Q")
            self._words = memory[1:]
            self._used = memory[:1]  # how many tables anybody has owned
            number, self._claim = _claimed(path)
            self._own = number * self._size
            self._used[0] = max(self._used[0], number + 1)
            fcntl.flock(file, fcntl.LOCK_UN)  # the mapping would keep it
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
        words, number, now = self._words, _hash(key), int(time.time() * 1000)
        latest = now + expiry * 1000  # a window that ends later is from before the clock was set
        with self._lock:
            at = self._slot(number)
            end = words[at + _END]
            if words[at] == number and now < end <= latest:
                total = words[at + _COUNT] = words[at + _COUNT] + amount
            else:
                others = [words[other + _END] for other in self._others(number)]
                end = min((end for end in others if now < end <= latest), default=latest)
                words[at + _END] = 0  # nobody takes the new count for one of the old window
                words[at], words[at + _COUNT], words[at + _END] = number, amount, end
                total = amount
        for other in self._others(number):
            if now < words[other + _END] <= latest:
                total += words[other + _COUNT]
        return total, end / 1000

    def get(self, key: str) -> int:
        """Return the count of the key."""
        return self._seen(key)[0]

    def get_expiry(self, key: str) -> float:
        """Return the end of the key's window."""
        return self._seen(key)[1]

    def check(self) -> bool:
        """Say that it works."""
        return True

    def reset(self) -> int | None:
        """Forget every count."""
        for at in range(0, self._used[0] * self._size, _SLOT):
            self._words[at + _END] = 0
        return None

    def clear(self, key: str) -> None:
        """Forget the count of a key."""
        for at in self._places(_hash(key)):
            self._words[at + _END] = 0

    def close(self) -> None:
        """Leave the table to the next process."""
        os.close(self._claim)

    def _seen(self, key: str) -> tuple[int, float]:
        now = int(time.time() * 1000)
        places = [at for at in self._places(_hash(key)) if self._words[at + _END] > now]
        ends = [self._words[at + _END] for at in places]
        return sum(self._words[at + _COUNT] for at in places), max(ends, default=now) / 1000

    def _slot(self, number: int) -> int:
        """Return where the key stands or may stand in the own table."""
        words = self._words
        first = at = self._own + number % self._slots * _SLOT
        oldest = first
        for at in range(first, first + PROBES * _SLOT, _SLOT):
            if words[at] in (number, 0):
                return at
            if words[at + _END] < words[oldest + _END]:
                oldest = at
        return oldest

    def _others(self, number: int) -> list[int]:
        """Return where the key stands in the tables of others."""
        return [at for at in self._places(number) if at // self._size * self._size != self._own]

    def _places(self, number: int) -> list[int]:
        words, found = self._words, []
        spot = number % self._slots * _SLOT
        for first in range(spot, self._used[0] * self._size, self._size):
            for at in range(first, first + PROBES * _SLOT, _SLOT):
                if words[at] == number:
                    found.append(at)
                    break
                if words[at] == 0:
                    break
        return found


def _claimed(path: Path) -> tuple[int, int]:
    """Return the number of a table that no process owns, and the file that is locked for it."""
    for number in range(TABLES):
        file = os.open(f"{path}.{number}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(file)
        else:
            return number, file
    raise OSError(f"more than {TABLES} processes count in {path.name}")


def _hash(key: str) -> int:
    return int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "little") or 1
