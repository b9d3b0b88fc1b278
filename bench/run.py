"""Measure the BFF under load beside a bare Flask route and two peers; print two Markdown tables.

bench/run.sh                           every row, about five minutes
bench/run.sh --rows "warm feed" cold   rows whose name has one of these words
bench/run.sh --seconds 3 --rounds 3    how long a row is loaded, and how often; medians are shown
bench/run.sh --write                   put the tables into bench/README.md as well
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import requests

from bench import table
from bench.rows import BARE, ROWS, WARM, Row
from bench.servers import WORKERS, Served, Servers, program
from bench.table import Load, Measured
from bench.waits import ONE_FLIGHT, SLOW_PAGE, one_flight, slow_page
from scripts.processes import ROOT

CONNECTIONS = 16
PASSES = 8  # over what is warm, before it counts as warm
FASTEST = 4000  # requests in a second, more than a server answers whose requests all differ
SCRIPT = Path(__file__).with_name("wrk.lua")


class Bench:
    """Measures rows, round by round. Not thread-safe."""

    def __init__(self, servers: Servers, seconds: int) -> None:
        self._servers, self._seconds = servers, seconds
        self._next: dict[str, int] = defaultdict(int)  # number of a server's next request
        self.results: dict[str, list[Measured]] = defaultdict(list)

    def measure(self, row: Row) -> None:
        """Load the row's server, and keep what that took."""
        served = self._servers.get(row.server)
        headers = self._warm(served, row)
        first = self._next[row.server] if row.different is None else 0
        asked = list(row.requests(self._servers.films, first, FASTEST * self._seconds))
        calls, cpu_s = self._servers.calls(), served.cpu_s()
        load = self._load(served, asked, self._seconds, headers)
        cpu_s = served.cpu_s() - cpu_s
        if row.different is None:
            self._next[row.server] += load.requests + CONNECTIONS
            if load.requests > len(asked):
                raise SystemExit(f"{row.name}: {load.requests} requests, {len(asked)} prepared")
        cpu_ms, calls = cpu_s / load.requests * 1000, self._servers.calls() - calls
        self.results[row.name].append(Measured(load, cpu_ms, calls, served.rss_mb()))

    def _warm(self, served: Served, row: Row) -> list[str]:
        """Load until nothing calls an upstream any more; return the headers to send.

        Where that does not happen in half a minute, the row's upstream calls will say so.
        """
        known = row if row.different else WARM
        asked = list(known.requests(self._servers.films, 0, 1))
        for seconds in (1, 1, 2, 4, 8, 16):
            calls = self._servers.calls()
            load = self._load(served, asked, seconds)
            calls = self._servers.calls() - calls
            # By then every worker has met every request, by all odds. A peer always calls.
            if load.requests >= PASSES * len(asked) and not (calls and "bff" in row.server):
                break
        if not row.revalidates:
            return []
        answer = requests.get(served.base + row.path, headers={"Accept-Encoding": ""}, timeout=10)
        return [f"If-None-Match: {answer.headers['ETag']}"]

    def _load(
        self, served: Served, asked: Sequence[str], seconds: int, headers: Sequence[str] = ()
    ) -> Load:
        """Have wrk send `asked` in their order, again from the first after the last."""
        file = self._servers.folder / "requests"
        file.write_text("\n".join(asked) + "\n")
        command = [program("wrk"), "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", "5s"]
        command += [part for header in headers for part in ("-H", header)]
        command += ["-s", str(SCRIPT), served.base, "--", str(file), "304" if headers else "200"]
        ran = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
        return Load(**json.loads(ran.stdout.splitlines()[-1]))


def run(chosen: Callable[[str], bool], rounds: int, seconds: int) -> str:
    """Measure what is chosen by its name, and return both tables."""
    rows = [row for row in ROWS if row is BARE or chosen(row.name)]
    with (
        tempfile.TemporaryDirectory(prefix="bff-bench-") as folder,
        Servers(Path(folder)) as servers,
    ):
        for size in {row.library for row in rows} - {None}:
            servers.give_library(f"library-{size}", size)
        bench = Bench(servers, seconds)
        for number in range(rounds):
            for row in rows:
                sys.stderr.write(f"round {number + 1} of {rounds}: {row.name}\n")
                bench.measure(row)
        second = list(table.compared(bench.results))
        if chosen(ONE_FLIGHT):
            second.append(table.line(ONE_FLIGHT, one_flight(servers), 1))
        if chosen(SLOW_PAGE):
            second.append(table.line(SLOW_PAGE, slow_page(servers), None))
    if second:
        second = ["", table.SECOND_HEAD, *second]
    return "\n".join([*table.lines(bench.results), *second])


def about(rounds: int, seconds: int) -> str:
    """Return what the figures depend on."""
    model = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    command = ["git", "describe", "--always", "--dirty"]
    git = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, commit {git.stdout.strip() or 'unknown'}: {rounds} rounds "
        f"of {seconds} s, {os.cpu_count()} cores ({model[1] if model else platform.machine()}), "
        f"load average before the run {os.getloadavg()[0]:.1f}, {WORKERS} workers, "
        f"Python {platform.python_version()}, gunicorn {importlib.metadata.version('gunicorn')}."
    )


def main() -> None:
    """Measure, print, and write where asked to."""
    parser = argparse.ArgumentParser(
        prog="bench/run.sh", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rows", nargs="*", default=[], metavar="WORD")
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    if options.write and options.rows:
        parser.error("--write is for a run of every row")
    words = [word.lower() for word in options.rows]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are ended
    head = about(options.rounds, options.seconds)
    tables = run(
        lambda name: not words or any(word in name.lower() for word in words),
        options.rounds,
        options.seconds,
    )
    sys.stdout.write(f"{head}\n\n{tables}\n")
    if options.write:
        table.write(Path(__file__).with_name("README.md"), f"{head}\n\n{tables}\n")


if __name__ == "__main__":
    main()
