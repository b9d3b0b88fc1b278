"""Measure the BFF under load, beside a bare Flask route and two peers; print one Markdown table.

bench/run.sh                          every row, about ten minutes
bench/run.sh --rows warm bare         rows whose name has one of these words
bench/run.sh --server gunicorn        gunicorn, granian, or both (the default)
bench/run.sh --seconds 2 --rounds 3   how long a row is loaded, and how often; medians are shown
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

import requests

from bench.house import House, Served, house
from bench.inputs import FEED, Inputs
from bench.load import Client
from bench.measure import Load, Memory, load, need_wrk
from bench.replay import need_nginx
from scripts.processes import ROOT

# More than a server can do in a second.
MOST_NEW, MOST_COLD, MOST_SEARCHES, MOST_SLOW = 2500, 1200, 2500, 50
RECORDERS = 8
TMDB_MS, USERS_MS = 200, 50
SLOW_CLIENTS = 4
COUNTED = 20  # requests whose upstream calls are counted
ENRICHED, COMPLETE = "/api/dashboard/movie/550/enriched", "/api/dashboard/complete"


@dataclass(frozen=True)
class Row:
    """One line: a server, and what it is asked for."""

    name: str
    server: str  # as in House.server; the BFF's get the server's name behind a slash
    requests: Callable[[Inputs, int], Sequence[str]]  # so many that were not made before
    most: int = 1  # in a second
    connections: int = 16
    warm: bool = True
    revalidate: bool = False
    half_of: str = ""  # at half of the rate that this row, which stands shortly before, reached
    at_random: bool = False  # and that at random moments
    recorded: bool = False  # the upstreams' answers are recorded first, and replayed
    slow_upstreams: bool = False


def _same(path: str) -> Callable[[Inputs, int], Sequence[str]]:
    return lambda _inputs, _count: [path]


BARE = Row("bare Flask route", "bare", _same("/bare"))
NEW, HERE = "feed of a new user, films warm", "upstreams on the same cores"
HALF, RANDOM = "half of the peak", "half of the peak, at random moments"
# Rows that are compared with each other stand side by side: the machine changes in a round.
BFF = (
    Row(f"{BARE.name}, {HALF}", "bare", _same("/bare"), half_of=BARE.name),
    Row(f"{BARE.name}, {RANDOM}", "bare", _same("/bare"), half_of=BARE.name, at_random=True),
    Row("warm feed", "bff", _same(FEED)),
    Row("warm feed, 256 clients", "bff", _same(FEED), connections=256),
    Row(f"warm feed, {HALF}", "bff", _same(FEED), half_of="warm feed"),
    Row(f"warm feed, {RANDOM}", "bff", _same(FEED), half_of="warm feed", at_random=True),
    Row("conditional feed, 304", "bff", _same(FEED), revalidate=True),
    Row("warm enriched movie", "bff", _same(ENRICHED)),
    Row("warm complete", "bff", _same(COMPLETE)),
    Row(NEW, "bff", Inputs.new_users, MOST_NEW, warm=False, recorded=True),
    Row("cold feed", "cold", Inputs.cold, MOST_COLD, warm=False, recorded=True),
    Row("cold search", "cold", Inputs.searches, MOST_SEARCHES, warm=False, recorded=True),
    Row(f"{NEW}, {HERE}", "direct", Inputs.new_users, MOST_NEW, warm=False),
    Row(f"cold feed, {HERE}", "direct", Inputs.cold, MOST_COLD, warm=False),
    Row(
        "cold feed, TMDB 200 ms, users 50 ms",
        "direct",
        Inputs.cold,
        MOST_SLOW,
        connections=SLOW_CLIENTS,
        warm=False,
        slow_upstreams=True,
    ),
)
PEERS = (
    Row(
        "TMDB's stub alone, 200 ms",
        "tmdb-stub",
        Inputs.lists,
        MOST_SLOW,
        connections=SLOW_CLIENTS,
        warm=False,
        slow_upstreams=True,
    ),
    Row("FastAPI + httpx, 3 calls", "fastapi", _same(FEED)),
    Row("Fastify + undici, 3 calls", "fastify", _same(FEED)),
    Row("Fastify + undici, TMDB's answer kept, 2 calls", "fastify-cached", _same(FEED)),
)


@dataclass
class Result:
    """What the rounds of one row measured."""

    loads: list[Load] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    ratio: list[float] = field(default_factory=list)
    calls: float = 0
    memory: Memory = field(default_factory=lambda: Memory(0, 0))

    def line(self, name: str) -> str:
        """Return the line of the table."""
        rate = statistics.median(one.requests / one.seconds for one in self.loads)
        p50 = statistics.median(one.p50_ms for one in self.loads)
        p99 = statistics.median(one.p99_ms for one in self.loads)
        failed = sum(one.refused + one.broken for one in self.loads)
        asked = sum(one.requests for one in self.loads)
        cells = (
            name + (f" (**{failed} of {asked} failed**)" if failed else ""),
            f"{rate:,.0f}",
            f"{p50:.2f}",
            f"{p99:.2f}",
            f"{statistics.median(self.cpu_ms):.3f}",
            f"{statistics.median(self.ratio):.2f}",
            f"{self.calls:.2f}",
            f"{self.memory.rss_mb:.0f} / {self.memory.pss_mb:.0f}",
        )
        return "| " + " | ".join(cells) + " |"


class Bench:
    """Measures rows, round by round, each beside the bare route of gunicorn."""

    def __init__(self, built: House, users: int, seconds: int) -> None:
        self.house, self.seconds = built, seconds
        # For each server: nothing that one was asked for is known to another.
        self.inputs: dict[str, Inputs] = defaultdict(lambda: Inputs(users))
        self.results: dict[str, Result] = defaultdict(Result)

    def round(self, plan: Sequence[tuple[str, str, Row]]) -> None:
        """Measure each row once. `plan`: the row's name in the table, its server, the row."""
        bare: dict[str, float] = {}
        for name, server, row in plan:
            sys.stderr.write(f"  {name}\n")
            yardstick = "bare/granian" if server.endswith("/granian") else "bare/gunicorn"
            found, cpu_ms = self._measure(name, server, row)
            if row is BARE:
                bare[server] = cpu_ms
            result = self.results[name]
            result.loads.append(found)
            result.cpu_ms.append(cpu_ms)
            result.ratio.append(cpu_ms / bare[yardstick])

    def _measure(self, name: str, server: str, row: Row) -> tuple[Load, float]:
        served = self.house.server(server)
        asked = row.requests(self.inputs[server], row.most * self.seconds)
        headers = self._prepare(served, row, asked[0])
        peak = self.results[name.replace(row.name, row.half_of)].loads[-1] if row.half_of else None
        pace = peak.requests / peak.seconds / 2 if peak else 0.0
        if row.recorded:
            self._record(asked)
        stack = self.house.stack
        if row.slow_upstreams:
            self._slow_down()
        self._settle()
        before = served.cpu_s()
        found = load(
            served.base,
            asked,
            self.house.directory / "requests",
            seconds=self.seconds,
            connections=row.connections,
            pace=pace,
            at_random=row.at_random,
            headers=headers,
        )
        used = served.cpu_s() - before
        if row.slow_upstreams:
            stack.faults("tmdb")
            stack.faults("users")
        if len(asked) > 1 and found.requests > len(asked):
            raise SystemExit(f"{name}: {found.requests} requests, only {len(asked)} were prepared")
        result = self.results[name]
        result.calls = self._calls(served, row.requests(self.inputs[server], COUNTED), headers)
        result.memory = served.memory()
        return found, used / found.requests * 1000

    def _record(self, asked: Sequence[str]) -> None:
        """Have another BFF ask for all of it once, so that the answers can be replayed."""
        base = self.house.server("recorder/gunicorn").base

        def ask(lines: Sequence[str]) -> None:
            client = Client(base)
            for line in lines:
                path, _, token = line.partition("\t")
                if client.get(path, token).status != HTTPStatus.OK:
                    raise SystemExit(f"{path} could not be recorded")
            client.close()

        with ThreadPoolExecutor(RECORDERS) as pool:
            list(pool.map(ask, (asked[first::RECORDERS] for first in range(RECORDERS))))

    def _slow_down(self) -> None:
        """Have the upstreams' answers take 200 and 50 ms.

        The fault is what TMDB's stub waits before it works, so it waits that much less.
        """
        stack, stub = self.house.stack, self.house.server("tmdb-stub")
        stack.faults("users", latency_ms=USERS_MS)
        stack.faults("tmdb", latency_ms=TMDB_MS)
        seen = load(
            stub.base,
            self.inputs["tmdb-stub"].lists(MOST_SLOW),
            self.house.directory / "requests",
            seconds=2,
            connections=SLOW_CLIENTS,
        )
        stack.faults("tmdb", latency_ms=2 * TMDB_MS - seen.p50_ms)

    def _settle(self) -> None:
        """Return when what wrk has left behind is done: no upstream is called any more."""
        seen = None
        while (now := self.house.upstream_calls()) != seen:
            seen = now
            time.sleep(0.3)

    def _calls(self, served: Served, asked: Sequence[str], headers: list[str]) -> float:
        """Return the upstream calls of a request; one after the other, so that all are counted."""
        self._settle()
        before = self.house.upstream_calls()
        sent = dict(header.split(": ") for header in headers)
        for line in (list(asked) * COUNTED)[:COUNTED]:
            path, _, token = line.partition("\t")
            authorization = {"Authorization": f"Bearer {token}"} if token else {}
            requests.get(served.base + path, headers=sent | authorization, timeout=10)
        return (self.house.upstream_calls() - before) / COUNTED

    def _prepare(self, served: Served, row: Row, asked: str) -> list[str]:
        """Have every worker know what is warm, and return the headers to send."""
        if row.server in ("bare", "tmdb-stub"):
            return []
        path = asked if row.warm else FEED
        for _ in range(24):  # connections of their own, so that each worker is met
            answer = requests.get(served.base + path, timeout=10)
            answer.raise_for_status()
        return [f"If-None-Match: {answer.headers['ETag']}"] if row.revalidate else []


def plan(servers: Sequence[str], words: Sequence[str]) -> list[tuple[str, str, Row]]:
    """Return what to measure; the bare route is always there, to compare with."""
    found = []
    for server in ("gunicorn", "granian"):
        rows = [BARE, *(row for row in BFF if _wanted(f"{server}: {row.name}", words))]
        if server in servers or server == "gunicorn":
            chosen = rows if server in servers else [BARE]
            found += [(f"{server}: {row.name}", f"{row.server}/{server}", row) for row in chosen]
    needed = {row.half_of for _, _, row in found} - {""}
    if needed - {row.name for _, _, row in found}:
        raise SystemExit(f"--rows: needed as well: {', '.join(needed)}")
    return found + [(row.name, row.server, row) for row in PEERS if _wanted(row.name, words)]


def _wanted(name: str, words: Sequence[str]) -> bool:
    return not words or any(word.lower() in name.lower() for word in words)


def _users(chosen: Sequence[tuple[str, str, Row]], seconds: int) -> int:
    """Return how many users the server with the most of them is asked for in a round."""
    needed: dict[str, int] = defaultdict(int)
    for _, server, row in chosen:
        needed[server] += row.most * seconds + COUNTED
    return max(needed.values())


def machine() -> str:
    """Return what the figures depend on."""
    info = Path("/proc/cpuinfo").read_text()
    model = next((line for line in info.splitlines() if line.startswith("model name")), ": ?")
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    load_1m = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} cores, {model.partition(':')[2].strip()}, Python "
        f"{platform.python_version()}, load average before the run {load_1m:.1f}, "
        f"commit {commit or 'unknown'}"
    )


HEAD = (
    "| | requests/s | p50 ms | p99 ms | CPU ms per request | ratio to bare | "
    "upstream calls per request | memory of a worker, RSS / PSS MB |\n"
    "|---|---|---|---|---|---|---|---|"
)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="bench/run.sh", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rows", nargs="*", default=[], metavar="WORD")
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--server", choices=("gunicorn", "granian", "both"), default="both")
    options = parser.parse_args()
    need_wrk()
    need_nginx()
    servers = ("gunicorn", "granian") if options.server == "both" else (options.server,)
    chosen = plan(servers, options.rows)
    about = machine()
    users = _users(chosen, options.seconds) * options.rounds
    with (
        tempfile.TemporaryDirectory(prefix="bff-bench-") as folder,
        house(Path(folder), users, replay=True) as built,
    ):
        bench = Bench(built, users, options.seconds)
        for number in range(options.rounds):
            sys.stderr.write(f"round {number + 1} of {options.rounds}\n")
            bench.round(chosen)
    lines = [bench.results[name].line(name) for name, _, _ in chosen]
    rounds = f"{about}; {options.rounds} rounds of {options.seconds} s"
    sys.stdout.write("\n".join([rounds, "", HEAD, *lines]) + "\n")


if __name__ == "__main__":
    main()
