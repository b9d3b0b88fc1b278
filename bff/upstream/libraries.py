"""Users' collections in memory, for as long as a subscription says that they are current.

The user service numbers every change of a user's library (`revision`) and
publishes it. A collection is served from memory only while the stream of
changes is alive, and it is dropped when the stream says that it has changed.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import orjson
from cachetools import LRUCache

from bff.model import new_number

# The stream beats every quarter of a second. What is served is at most this old, and a
# change that others made is seen within a second.
SILENCE_S = 0.7
FLOORS = 20_000
MOST_DECODED_BYTES = 16_384


@dataclass(frozen=True, slots=True)
class Held:
    """A collection as of a revision of its user's library.

    It is held as JSON, because it takes six times the room when it is decoded.
    """

    text: bytes
    revision: int
    number: int = field(default_factory=new_number, compare=False)

    @property
    def value(self) -> Any:
        """The collection; not to be changed, since others may have the same."""
        large = len(self.text) > MOST_DECODED_BYTES
        return orjson.loads(self.text) if large else _decoded(self.text)


@lru_cache(maxsize=32)  # for who comes back at once; 3 MB at the most
def _decoded(text: bytes) -> Any:
    return orjson.loads(text)


class Libraries:
    """Thread-safe; lives as long as the app; holds at most `most_bytes`.

    A reader takes a `ticket` before it asks, and hands it back with the answer:
    what was read across a gap of the stream, or is older than a change that
    came in meanwhile, is not kept.
    """

    def __init__(
        self,
        most_bytes: int = 2 * 1024 * 1024,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._held: LRUCache[tuple[str, str], Held] = LRUCache(
            most_bytes, getsizeof=lambda held: len(held.text) + 400
        )
        # The least revision that may still be kept, of users whose library changed lately.
        self._floors: OrderedDict[str, int] = OrderedDict()
        self._epoch = 0
        self._beat = float("-inf")
        self._lock = threading.Lock()

    def known(self, user: str, name: str, least: int = 0) -> Held | None:
        """Return a collection that is current and at least of revision `least`, or None."""
        if self._clock() - self._beat > SILENCE_S:
            return None
        with self._lock:
            held = self._held.get((user, name))
        return None if held is None or held.revision < least else held

    def alive(self) -> bool:
        """Whether the stream says that what is kept is current."""
        return self._clock() - self._beat <= SILENCE_S

    def ticket(self) -> int | None:
        """Return what to hand back with an answer; None while nothing may be kept."""
        return None if self._clock() - self._beat > SILENCE_S else self._epoch

    def keep(self, user: str, name: str, held: Held, ticket: int | None) -> None:
        """Keep what was read after `ticket` was taken."""
        with self._lock:
            if ticket is None or ticket != self._epoch:
                return
            small = len(held.text) <= self._held.maxsize // 16
            if held.revision < self._floors.get(user, 0) or not small:
                return
            before = self._held.get((user, name))
            if before is None or before.revision <= held.revision:
                self._held[user, name] = held

    def changed(self, user: str, revision: int) -> None:
        """Drop what is older than a change."""
        with self._lock:
            self._floors[user] = max(revision, self._floors.pop(user, 0))
            if len(self._floors) > FLOORS:
                self._floors.popitem(last=False)
                self._epoch += 1  # who asked before may not know of the change that is forgotten
            for name in ("favorites", "watchlist", "history"):
                held = self._held.get((user, name))
                if held is not None and held.revision < revision:
                    del self._held[user, name]

    def beat(self) -> None:
        """Note that everything that has changed until now is known."""
        self._beat = self._clock()

    def lost(self) -> None:
        """Forget everything: the stream has a gap."""
        with self._lock:
            self._beat = float("-inf")
            self._epoch += 1
            self._held.clear()
            self._floors.clear()
