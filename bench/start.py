"""Measure how long the BFF takes to start, what it costs while idle, and its memory under load.

.venv/bin/python -m bench.start                   start, idle cost and memory
.venv/bin/python -m bench.start --many 100000     memory over so many requests as well:
                                                  5,000 films, 2,000 users
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.house import House, house
from bench.inputs import Inputs
from bench.measure import load, need_wrk, threads
from scripts.processes import ROOT
from tests.e2e.stack import clean_environment

IDLE_S = 5
FILMS, USERS = 5_000, 2_000
PARTS = 5


def imports() -> Iterator[str]:
    """Yield the time to import the application, and its dearest packages."""
    ran = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import bff"],
        cwd=ROOT,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    packages: dict[str, float] = {}
    for own, name in re.findall(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)", ran.stderr):
        package = name.partition(".")[0]
        packages[package] = packages.get(package, 0) + int(own) / 1000
    dearest = sorted(packages.items(), key=lambda item: -item[1])[:8]
    yield f"| import of the application, traced | {sum(packages.values()):.0f} ms |"
    yield f"| the dearest packages | {', '.join(f'{name} {ms:.0f}' for name, ms in dearest)} ms |"


def start(built: House, server: str) -> Iterator[str]:
    """Start one server, and yield what that took and what it costs while nobody asks."""
    begun = time.monotonic()
    served = built.server(f"bff/{server}")
    yield f"| {server}: start to first answer | {time.monotonic() - begun:.1f} s |"
    time.sleep(2)  # all workers are up
    worker = max(served.workers(), key=threads)
    memory = served.memory()
    size = f"{memory.rss_mb:.0f} / {memory.pss_mb:.0f} MB"
    yield f"| {server}: memory of a worker, RSS / PSS | {size} |"
    yield f"| {server}: threads of an idle worker | {threads(worker)} |"
    before = served.cpu_s()
    time.sleep(IDLE_S)
    cost_ms = (served.cpu_s() - before) / IDLE_S * 1000
    yield f"| {server}: all processes, idle | {cost_ms:.1f} ms of CPU a second |"


def many(built: House, server: str, requests: int) -> Iterator[str]:
    """Yield the memory of a worker along many requests over many films and users."""
    served = built.server(f"cold/{server}")
    inputs = Inputs(USERS)
    sent, goal, failed = 0, 0, 0
    for part in range(1, PARTS + 1):
        goal = requests * part // PARTS
        while sent < goal:
            asked = inputs.wide(20_000, FILMS, USERS, sent)
            found = load(
                served.base, asked, built.directory / "requests", seconds=5, connections=16
            )
            failed += found.refused + found.broken
            sent += found.requests
        memory = served.memory()
        size = f"{memory.rss_mb:.0f} / {memory.pss_mb:.0f} MB"
        yield f"| {server}: the same after {sent:,} requests | {size} |"
    yield f"| {server}: of these requests failed | {failed} |"
    yield f"| {server}: threads of a busy worker | {max(map(threads, served.workers()))} |"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--many", type=int, default=0, metavar="REQUESTS")
    parser.add_argument("--server", nargs="*", default=["gunicorn", "granian"])
    options = parser.parse_args()
    need_wrk()

    def say(line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    say("| | |\n|---|---|")
    for line in imports():
        say(line)
    with (
        tempfile.TemporaryDirectory(prefix="bff-bench-") as folder,
        house(Path(folder), USERS) as built,
    ):
        for server in options.server:
            for line in start(built, server):
                say(line)
            if options.many:
                for line in many(built, server, options.many):
                    say(line)


if __name__ == "__main__":
    main()
