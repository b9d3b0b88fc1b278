"""Measured without load: many callers of one cold key, and how long a cold page takes."""

from __future__ import annotations

import http.client
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from bench.rows import FEED
from bench.servers import RECORDED_PAGES, Servers, token

CALLERS, KEYS, WORKERS = 50, 5, 4
TMDB_MS, USERS_MS, PAGES = 200, 50, 10

ONE_FLIGHT = f"upstream calls of {CALLERS} concurrent cold requests of one key, {WORKERS} workers"
SLOW_PAGE = f"p50 ms of a cold feed, TMDB {TMDB_MS} ms and user service {USERS_MS} ms away"


def one_flight(servers: Servers) -> int:
    """Return how many calls the dearest of some cold keys cost, each asked for by all at once."""
    base = servers.get("bff-4", WORKERS).base
    gate = threading.Barrier(CALLERS)

    def ask(path: str) -> None:
        connection = http.client.HTTPConnection(urlsplit(base).netloc, timeout=30)
        try:
            _get(connection, "/health/live")  # the connection is there before the moment
            gate.wait(30)
            _get(connection, path)
        finally:
            connection.close()

    most = 0
    servers.fault("tmdb_stub", latency_ms=TMDB_MS)
    for page in range(1, KEYS + 1):
        before = servers.calls()
        with ThreadPoolExecutor(CALLERS) as pool:
            list(pool.map(ask, [f"/api/movies/top-rated?page={page}"] * CALLERS))
        most = max(most, servers.calls() - before)
    servers.fault("tmdb_stub")
    return most


def slow_page(servers: Servers) -> float:
    """Return the median time of cold feeds, asked for one after the other, in ms."""
    base = servers.get("bff-4", WORKERS).base
    connection = http.client.HTTPConnection(urlsplit(base).netloc, timeout=30)
    _get(connection, FEED)
    servers.fault("tmdb_stub", latency_ms=TMDB_MS)
    servers.fault("user_stub", latency_ms=USERS_MS)
    times = []
    for number in range(PAGES):
        started = time.monotonic()
        _get(connection, f"{FEED}?page={RECORDED_PAGES + 1 + number}", token(f"slow-{number}"))
        times.append((time.monotonic() - started) * 1000)
    for stub in ("tmdb_stub", "user_stub"):
        servers.fault(stub)
    connection.close()
    return statistics.median(times)


def _get(connection: http.client.HTTPConnection, path: str, bearer: str = "") -> None:
    headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    answer.read()
    if answer.status != http.client.OK or answer.getheader("X-Degraded"):
        raise SystemExit(f"{path}: {answer.status}, degraded: {answer.getheader('X-Degraded')}")
