"""Users' collections in memory, for as long as the event stream says that they are current.

Why a read is never older than the caller's own write. The user service numbers every change
of a user's library; the number is the library's revision.
1. The answer of a write carries its revision, and `changed` drops what is older at once, on
   the worker that wrote.
2. The caller gets that revision too (a header, and a cookie for browsers) and sends it with
   its reads: `get` gives out nothing of an older revision, on any worker.
3. Other workers hear of the write from the stream, which beats four times a second. Without
   a beat for `SILENCE_S` nothing is served from memory, so nobody sees what is older than a
   second.
4. An answer that was asked for before a change came in, or across a gap of the stream, is not
   kept: `ticket` is taken before asking and handed back to `keep`.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson
from cachetools import LRUCache

from bff.model import new_number

SILENCE_S = 0.7
MOST_REVISIONS = 20_000  # users whose last change is remembered


@dataclass(frozen=True, slots=True)
class Kept:
    """A collection as of a revision of its user's library, as JSON.

    Decoded it takes six times the room.
    """

    text: bytes
    revision: int
    number: int = field(default_factory=new_number, compare=False)

    @property
    def value(self) -> Any:
        """The collection, decoded."""
        return orjson.loads(self.text)


class LibraryCache:
    """Thread-safe; lives as long as the app; keeps at most `most_bytes`. `clock` is monotonic."""

    def __init__(
        self, most_bytes: int = 16 * 2**20, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._kept: LRUCache[tuple[str, str], Kept] = LRUCache(
            most_bytes, getsizeof=lambda kept: len(kept.text) + 400
        )
        # The least revision that may still be kept, of users whose library changed lately.
        self._least: OrderedDict[str, int] = OrderedDict()
        self._epoch = 0
        self._beat = float("-inf")
        self._lock = threading.Lock()

    def get(self, user: str, name: str, least: int = 0) -> Kept | None:
        """Return a collection that is current and at least of revision `least`, or None."""
        if not self.alive():
            return None
        with self._lock:
            kept = self._kept.get((user, name))
        return None if kept is None or kept.revision < least else kept

    def alive(self) -> bool:
        """Whether the stream says that what is kept is current."""
        return self._clock() - self._beat <= SILENCE_S

    def ticket(self) -> int | None:
        """Return what to hand back with an answer; None while nothing may be kept."""
        return self._epoch if self.alive() else None

    def keep(self, user: str, name: str, kept: Kept, ticket: int | None) -> None:
        """Keep what was asked for after `ticket` was taken."""
        with self._lock:
            if ticket is None or ticket != self._epoch:
                return
            small = len(kept.text) <= self._kept.maxsize // 16
            if kept.revision < self._least.get(user, 0) or not small:
                return
            before = self._kept.get((user, name))
            if before is None or before.revision <= kept.revision:
                self._kept[user, name] = kept

    def changed(self, user: str, revision: int) -> None:
        """Drop what is older than a change."""
        with self._lock:
            self._least[user] = max(revision, self._least.pop(user, 0))
            if len(self._least) > MOST_REVISIONS:
                self._least.popitem(last=False)
                self._epoch += 1  # who asked before may not know of the change that is forgotten
            for name in ("favorites", "watchlist", "history"):
                kept = self._kept.get((user, name))
                if kept is not None and kept.revision < revision:
                    del self._kept[user, name]

    def beat(self) -> None:
        """Note that everything that has changed until now is known."""
        self._beat = self._clock()

    def clear(self) -> None:
        """Forget everything: the stream has a gap."""
        with self._lock:
            self._beat = float("-inf")
            self._epoch += 1
            self._kept.clear()
            self._least.clear()
