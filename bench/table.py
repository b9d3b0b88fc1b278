"""The results: what a round has measured, and the two tables that are made of it."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.rows import BARE, COMPARED, ROWS

START, END = "<!-- results:start -->\n", "<!-- results:end -->\n"
HEAD = (
    "| | requests/s | p50 ms | p99 ms | CPU ms per request | times the bare route | at most | "
    "upstream calls per request | RSS of a worker, MB |\n|---|---|---|---|---|---|---|---|---|"
)
SECOND_HEAD = "| | measured | at most |\n|---|---|---|"


@dataclass(frozen=True)
class Load:
    """What wrk measured. `failed`: without an answer, with another status, or degraded."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    failed: int


@dataclass(frozen=True)
class Measured:
    """One row in one round; `calls` are all upstream calls under the load."""

    load: Load
    cpu_ms: float
    calls: int
    rss_mb: float


Results = Mapping[str, Sequence[Measured]]  # by the row's name, round by round


def lines(results: Results) -> Iterator[str]:
    """Yield the first table: each row with the medians of its rounds."""
    yield HEAD
    for row in ROWS:
        if row.name not in results:
            continue
        rounds = results[row.name]
        asked = sum(one.load.requests for one in rounds)
        failed = sum(one.load.failed for one in rounds)
        calls = sum(one.calls for one in rounds) / asked
        cells = (
            row.name + (f" (**{failed} of {asked} failed**)" if failed else ""),
            f"{_median(rounds, lambda one: one.load.requests / one.load.seconds):,.0f}",
            f"{_median(rounds, lambda one: one.load.p50_ms):.1f}",
            f"{_median(rounds, lambda one: one.load.p99_ms):.1f}",
            f"{_median(rounds, lambda one: one.cpu_ms):.3f}",
            _bounded(_times(rounds, results[BARE.name]), row.at_most),
            f"{row.at_most:g}" if row.at_most else "",
            f"{calls:.2g}",
            f"{_median(rounds, lambda one: one.rss_mb):.0f}",
        )
        yield f"| {' | '.join(cells)} |"


def compared(results: Results) -> Iterator[str]:
    """Yield the lines of the second table that set one row against another."""
    for what, row, other, at_most in COMPARED:
        if row.name in results and other.name in results:
            yield line(what, _times(results[row.name], results[other.name]), at_most)


def line(what: str, value: float, at_most: float | None) -> str:
    """Return a line of the second table."""
    return f"| {what} | {_bounded(value, at_most)} | {'' if at_most is None else f'{at_most:g}'} |"


def write(page: Path, text: str) -> None:
    """Put the results into a page, in place of those between its markers."""
    before, start, rest = page.read_text().partition(START)
    _, end, after = rest.partition(END)
    if not end:
        raise SystemExit(f"{page}: the markers of the results are missing")
    page.write_text(f"{before}{start}{text}{end}{after}")


def _times(rounds: Sequence[Measured], others: Sequence[Measured]) -> float:
    """Return the CPU of a row as a multiple of another's: the median over the rounds."""
    pairs = zip(rounds, others, strict=True)
    return statistics.median(one.cpu_ms / other.cpu_ms for one, other in pairs)


def _median(rounds: Sequence[Measured], of: Callable[[Measured], float]) -> float:
    return statistics.median(map(of, rounds))


def _bounded(value: float, at_most: float | None) -> str:
    """Return a figure with two decimals, or none where it is a whole one; bold over its bound."""
    text = f"{value:.2f}" if isinstance(value, float) else str(value)
    return f"**{text}**" if at_most is not None and value > at_most else text
