"""Keep the BFF at half of its peak behind nginx: reload it under load, then watch it for minutes.

.venv/bin/python -m bench.steady                 a minute of reloads, then ten minutes
.venv/bin/python -m bench.steady --minutes 2     a shorter watch

One instance as shipped behind nginx as shipped, both on this machine with the stubs and wrk. The
load is a mix of pages and reads of 500 users. Printed are the peak, the requests that failed while
gunicorn was told to reload (HUP), and memory and file handles of its workers along the minutes.
"""

from __future__ import annotations

import argparse
import itertools
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from bench.house import Served, house
from bench.inputs import FEED, tokens
from bench.measure import Load, load, memory, need_wrk
from tests.deploy.proxy import Nginx

USERS, CONNECTIONS = 500, 16
PATHS = (
    FEED,
    "/api/movies/popular",
    "/api/users/favorites",
    "/api/dashboard/movie/550/enriched",
    "/api/dashboard/complete",
    "/api/configuration",
)
RELOADS, RELOAD_EVERY_S, RELOADS_S = 4, 12, 60
PEAK_S, SAMPLE_S = 10, 30


class Steady:
    """A running BFF behind nginx, and the load upon it."""

    def __init__(self, directory: Path, served: Served, url: str) -> None:
        self._file, self._served, self._url = directory / "requests", served, url
        who = itertools.cycle(tokens(USERS))
        self._asked = [f"{path}\t{next(who)}" for _ in range(USERS) for path in PATHS]
        self._pace = 0.0

    def peak(self) -> Iterator[str]:
        """Find out what it can, and take half of it from now on."""
        self._load(5)  # every worker knows the users
        found = self._load(PEAK_S)
        self._pace = found.requests / found.seconds / 2
        yield f"| peak | {found.requests / found.seconds:,.0f} requests/s |"
        yield f"| half of it, as asked for | {self._pace:,.0f} requests/s |"

    def reloads(self) -> Iterator[str]:
        """Reload it several times in a minute."""
        over = threading.Event()

        def reload() -> None:
            for _ in range(RELOADS):
                if over.wait(RELOAD_EVERY_S):
                    return
                os.kill(self._served.process.pid, signal.SIGHUP)

        thread = threading.Thread(target=reload)
        thread.start()
        try:
            found = self._load(RELOADS_S)
        finally:
            over.set()
            thread.join()
        yield (
            f"| {RELOADS} reloads in {RELOADS_S} s | {found.requests:,} requests, "
            f"{found.refused + found.broken} failed, p50 {found.p50_ms:.1f} ms, "
            f"p99 {found.p99_ms:.1f} ms |"
        )

    def minutes(self, minutes: float) -> Iterator[str]:
        """Watch it for so long."""
        sent = failed = 0
        for sample in range(int(minutes * 60 / SAMPLE_S) + 1):
            if sample:
                found = self._load(SAMPLE_S)
                sent += found.requests
                failed += found.refused + found.broken
            workers = self._served.workers()
            size = memory(workers)
            handles = [len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in workers]
            yield (
                f"| after {sample * SAMPLE_S / 60:.1f} min | {sent:,} requests, {failed} failed; "
                f"largest worker {size.rss_mb:.1f} / {size.pss_mb:.1f} MB RSS / PSS; "
                f"handles {' and '.join(map(str, handles))} |"
            )

    def _load(self, seconds: int) -> Load:
        return load(
            self._url,
            self._asked,
            self._file,
            seconds=seconds,
            connections=CONNECTIONS,
            pace=self._pace,
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10)
    options = parser.parse_args()
    need_wrk()
    with (
        tempfile.TemporaryDirectory() as directory,
        house(Path(directory), USERS, TRUSTED_PROXY_HOPS=1) as built,
    ):
        served = built.server("bff/gunicorn")
        with Nginx(served.process.port) as nginx:
            steady = Steady(Path(directory), served, nginx.url)
            _say("| | |\n|---|---|")
            for line in itertools.chain(
                steady.peak(), steady.reloads(), steady.minutes(options.minutes)
            ):
                _say(line)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()  # a line each half a minute, to be seen as it comes


if __name__ == "__main__":
    main()
