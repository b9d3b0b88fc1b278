"""Simulate how often the cache of TMDB's answers is hit, and how often TMDB is asked.

    .venv/bin/python -m bench.capacity
    .venv/bin/python -m bench.capacity --films 20000 --entries 2000 --rate 1000

Requests ask for films by Zipf's law: the film of rank r is wanted in proportion to 1 / r ** s.
Each worker has a memory (the least recently used film leaves), all workers share one store. As in
`bff/upstream/cache.py`: an answer lives for its ttl, shortened at random by up to a tenth; in the
grace after it the old answer is served and TMDB is asked once, behind. Time is simulated, and
begins in the state of a system that has run for long.
"""

from __future__ import annotations

import argparse
import bisect
import itertools
import random
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

JITTER = 0.1
TMDB_CEILING = 40


@dataclass(frozen=True)
class Case:
    """What is simulated. Rate in requests a second over all workers; times in seconds."""

    films: int = 20_000
    exponent: float = 1.0
    entries: int = 2_000
    shared: int = 10_000  # the store's file holds five times CACHE_ENTRIES
    ttl_s: float = 3_600
    grace_s: float = 600
    rate: float = 100
    workers: int = 2


@dataclass
class Found:
    """What was counted, after the warm-up."""

    requests: int = 0
    memory: int = 0
    shared: int = 0
    waited: int = 0  # requests that had to wait for TMDB
    behind: int = 0  # calls to TMDB that nobody waited for
    seconds: float = 0

    @property
    def calls_per_second(self) -> float:
        """Calls to TMDB a second, waited for or not."""
        return (self.waited + self.behind) / self.seconds


class Lru:
    """What was put in last, up to a number of entries: film -> moment at which it ends."""

    def __init__(self, entries: int) -> None:
        self._entries, self._held = entries, OrderedDict[int, float]()

    def get(self, film: int) -> float:
        """Return when a film's answer ends, or a moment long past."""
        end = self._held.get(film)
        if end is None:
            return float("-inf")
        self._held.move_to_end(film)
        return end

    def put(self, film: int, end: float) -> None:
        """Keep an answer."""
        self._held[film] = end
        self._held.move_to_end(film)
        if len(self._held) > self._entries:
            self._held.popitem(last=False)


def popularity(films: int, exponent: float, numbers: random.Random) -> Callable[[], int]:
    """Return a function that draws a film's rank."""
    sums = list(itertools.accumulate(1 / rank**exponent for rank in range(1, films + 1)))
    total = sums[-1]
    return lambda: bisect.bisect_left(sums, numbers.random() * total)


def settle(case: Case, store: Lru, numbers: random.Random) -> None:
    """Fill the store as it is after a long time: a film's answer is renewed when it is asked for.

    A cycle is the ttl and then the wait for the next request, on average 1 / (the film's rate).
    """
    total = sum(1 / rank**case.exponent for rank in range(1, case.films + 1))
    ttl_s = case.ttl_s * (1 - JITTER / 2)
    for rank in range(case.films, 0, -1):
        rate = case.rate / rank**case.exponent / total
        fresh = numbers.random() < ttl_s / (ttl_s + 1 / rate)
        end = numbers.uniform(0, ttl_s) if fresh else -numbers.expovariate(rate)
        store.put(rank - 1, end)


def simulate(case: Case, requests: int, seed: int = 1) -> Found:
    """Play `requests` requests, the first half of them as warm-up."""
    numbers = random.Random(seed)
    draw = popularity(case.films, case.exponent, numbers)
    memories = [Lru(case.entries) for _ in range(case.workers)]
    store = Lru(case.shared)
    settle(case, store, numbers)
    found = Found()
    now = begun = 0.0
    for number in range(requests):
        now += numbers.expovariate(case.rate)
        if number == requests // 2:
            found, begun = Found(), now
        film = draw()
        found.requests += 1
        memory = memories[numbers.randrange(case.workers)]
        end = memory.get(film)
        if end > now:
            found.memory += 1
            continue
        known, end = end, store.get(film)
        if end > now:  # another worker has asked
            found.shared += 1
        elif max(known, end) + case.grace_s > now:
            found.memory += known + case.grace_s > now
            found.shared += known + case.grace_s <= now
            found.behind += 1
            end = now + case.ttl_s * numbers.uniform(1 - JITTER, 1)
        else:
            found.waited += 1
            end = now + case.ttl_s * numbers.uniform(1 - JITTER, 1)
        memory.put(film, end)
        store.put(film, end)
    found.seconds = now - begun
    return found


def cases(base: Case) -> Iterator[Case]:
    """Yield the lines of the table."""
    for films, entries, ttl_s, rate in itertools.product(
        (5_000, 20_000, 100_000), (500, 2_000, 10_000), (300, 3_600), (10, 100, 1_000)
    ):
        yield Case(
            films, base.exponent, entries, 5 * entries, ttl_s, base.grace_s, rate, base.workers
        )


def line(case: Case, found: Found) -> str:
    """Return a line of the table."""
    share = found.requests / 100
    over = " **over the ceiling**" if found.calls_per_second > TMDB_CEILING else ""
    cells = (
        f"{case.films:,}",
        f"{case.entries:,}",
        f"{case.ttl_s:,.0f}",
        f"{case.rate:,.0f}",
        f"{found.memory / share:.1f} %",
        f"{found.shared / share:.1f} %",
        f"{found.waited / share:.1f} %",
        f"{found.calls_per_second:.2f}{over}",
    )
    return "| " + " | ".join(cells) + " |"


HEAD = (
    "| films | entries of a worker | ttl s | requests/s | from memory | from the shared store | "
    "waits for TMDB | TMDB calls/s |\n|---|---|---|---|---|---|---|---|"
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table, or the one line that was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    base = Case()
    parser.add_argument("--films", type=int, help="films that are asked for")
    parser.add_argument("--exponent", type=float, default=base.exponent, help="Zipf's s")
    parser.add_argument("--entries", type=int, default=base.entries)
    parser.add_argument("--shared", type=int, default=base.shared, help="entries of the store")
    parser.add_argument("--ttl", type=float, default=base.ttl_s)
    parser.add_argument("--grace", type=float, default=base.grace_s)
    parser.add_argument("--rate", type=float, default=base.rate, help="requests a second")
    parser.add_argument("--workers", type=int, default=base.workers)
    parser.add_argument("--requests", type=int, default=200_000, help="how many")
    asked = parser.parse_args(arguments)
    base = Case(
        asked.films or base.films,
        asked.exponent,
        asked.entries,
        asked.shared,
        asked.ttl,
        asked.grace,
        asked.rate,
        asked.workers,
    )
    print_out = sys.stdout.write
    print_out(f"{HEAD}\n")
    for case in [base] if asked.films else cases(base):
        print_out(line(case, simulate(case, asked.requests)) + "\n")


if __name__ == "__main__":
    main()
