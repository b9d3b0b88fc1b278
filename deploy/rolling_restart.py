"""Restart a running BFF under load, and count what its users notice.

    python deploy/rolling_restart.py http://127.0.0.1:8080 --pid 1234 --pid 5678

sends reads and writes at a steady rate and meanwhile HUP to each gunicorn master in turn. Prints
one JSON object; exit code 1 where a request failed. The writes are those of the demo user, so not
for a deployment that real users use without tokens. Standard library only.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

FILMS = (550, 680, 13, 155, 27205, 603)
READS = (
    "/api/dashboard/feed",
    "/api/movies/popular",
    "/api/users/favorites",
    "/api/dashboard/movie/550/enriched",
    "/api/configuration",
)
JSON = {"Content-Type": "application/json"}


@dataclass
class Result:
    """What came back: how many requests by status, and each failure with its second."""

    by_status: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    durations_s: list[float] = field(default_factory=list)

    @property
    def requests(self) -> int:
        """How many requests were sent."""
        return len(self.durations_s)

    def summary(self) -> dict[str, Any]:
        """Return the numbers for people."""
        ordered = sorted(self.durations_s) or [0.0]

        def quantile(share: float) -> float:
            return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000, 1)

        return {
            "requests": self.requests,
            "failed": len(self.failures),
            "by_status": dict(self.by_status),
            "p50_ms": quantile(0.5),
            "p99_ms": quantile(0.99),
            "max_ms": quantile(1),
            "failures": self.failures[:20],
        }


def request_number(number: int) -> tuple[str, str, bytes | None]:
    """Return method, path and body of a request; each fifth one is a write."""
    film = FILMS[number // 5 % len(FILMS)]
    if number % 5:
        return "GET", READS[number % len(READS)], None
    if number % 10:
        return "PUT", f"/api/users/history/{film}", b'{"progress": 0.5}'
    # 409 where it is there already, which is an answer as well.
    return "POST", "/api/users/watchlist", json.dumps({"movie_id": film}).encode()


class Load:
    """Requests at a steady rate from `senders` kept connections, until `stop`.

    Open loop: the next request does not wait for the last answer as long as a sender is free.
    """

    def __init__(self, url: str, rate: float, senders: int = 16) -> None:
        self.result = Result()
        self._host = urlsplit(url).netloc
        self._every_s = 1 / rate
        self._numbers = itertools.count()
        self._begun = time.monotonic()
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._send) for _ in range(senders)]
        for thread in self._threads:
            thread.start()

    def seconds(self) -> float:
        """Return how long it has run; failures are noted by this clock."""
        return time.monotonic() - self._begun

    def stop(self) -> Result:
        """End the load after the open requests, and return what came back."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()
        return self.result

    def _send(self) -> None:
        connection = http.client.HTTPConnection(self._host, timeout=40)
        while True:
            with self._lock:
                number = next(self._numbers)
            due = self._begun + number * self._every_s
            if self._stopped.wait(max(0.0, due - time.monotonic())):
                break
            self._one(connection, number)
        connection.close()

    def _one(self, connection: http.client.HTTPConnection, number: int) -> None:
        method, path, body = request_number(number)
        begun = time.monotonic()
        text = ""
        try:
            connection.request(method, path, body, JSON if body else {})
            response = connection.getresponse()
            text = response.read().decode(errors="replace")
            status = str(response.status)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            status = type(error).__name__
        took_s = time.monotonic() - begun
        with self._lock:
            self.result.durations_s.append(took_s)
            self.result.by_status[status] += 1
            if not status.isdigit() or int(status) >= 500:
                at_s = begun - self._begun
                self.result.failures.append(f"{at_s:.2f} s: {method} {path}: {status} {text[:200]}")


def restart_under_load(
    url: str, restarts: list[Callable[[], None]], rate: float, seconds: float
) -> Result:
    """Send load for `seconds` and call each of `restarts` at even distances meanwhile."""
    load = Load(url, rate)
    pause_s = seconds / (len(restarts) + 1)
    try:
        for restart in restarts:
            time.sleep(pause_s)
            restart()
        time.sleep(pause_s)
    finally:
        result = load.stop()
    return result


def hup(pid: int) -> Callable[[], None]:
    """Return what has a gunicorn master replace its workers."""
    return lambda: os.kill(pid, signal.SIGHUP)


def main() -> int:
    """Read the command line, run, print, and return the exit code."""
    parser = argparse.ArgumentParser(description="Restart a BFF under load.")
    parser.add_argument("url", help="of nginx, such as http://127.0.0.1:8080")
    parser.add_argument("--pid", type=int, action="append", required=True, help="gunicorn master")
    parser.add_argument("--rate", type=float, default=50, help="requests a second (50)")
    parser.add_argument("--seconds", type=float, default=60, help="how long (60)")
    parser.add_argument("--rounds", type=int, default=3, help="restarts of each master (3)")
    options = parser.parse_args()
    restarts = [hup(pid) for pid in options.pid] * options.rounds
    result = restart_under_load(options.url, restarts, options.rate, options.seconds)
    json.dump(result.summary(), sys.stdout, indent=2)
    sys.stdout.write("\n")
    return 1 if result.failures else 0


if __name__ == "__main__":
    sys.exit(main())
