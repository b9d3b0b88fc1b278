"""Metrics over four workers against what a load generator counted itself."""

from __future__ import annotations

import os
import re
import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.stack import Stack
from tests.sight.conftest import POOL, WORKERS, bearer

pytestmark = pytest.mark.e2e

Sample = tuple[str, frozenset[tuple[str, str]]]
TURNED_AWAY = {"circuit_open", "saturated"}

# (method, path, route, status, headers)
KINDS = [
    ("GET", "/api/dashboard/feed?page={}", "/api/dashboard/feed", 200, bearer("anna")),
    ("GET", "/api/dashboard/feed", "/api/dashboard/feed", 200, bearer("anna")),
    ("GET", "/api/dashboard/complete", "/api/dashboard/complete", 200, {}),
    (
        "GET",
        "/api/dashboard/search/enriched?query=star&page={}",
        "/api/dashboard/search/enriched",
        200,
        {},
    ),
    (
        "GET",
        "/api/dashboard/movie/550/enriched",
        "/api/dashboard/movie/<tmdb_id:movie_id>/enriched",
        200,
        {},
    ),
    ("HEAD", "/api/movies/popular", "/api/movies/popular", 200, {}),
    ("GET", "/api/movies/popular?page={}", "/api/movies/popular", 200, {}),
    ("GET", "/api/movies/2147483647", "/api/movies/<tmdb_id:movie_id>", 404, {}),
    ("GET", "/api/movies/popular?page=501", "/api/movies/popular", 422, {}),
    ("GET", "/api/users/favorites", "/api/users/favorites", 401, {"Authorization": "Bearer no"}),
    ("GET", "/api/users/favorites", "/api/users/favorites", 200, {}),
    ("POST", "/api/users/favorites", "/api/users/favorites", 409, {}),
    ("GET", "/api/nowhere", "-", 404, {}),
    ("GET", "/health", "/health", 200, {}),
]


def scrape(stack: Stack) -> dict[Sample, float]:
    """Return what /metrics says."""
    families = text_string_to_metric_families(stack.get("/metrics").text)
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def by(samples: dict[Sample, float], name: str, *labels: str) -> Counter[tuple[str, ...]]:
    """Add the samples of a name up, by some of their labels."""
    found: Counter[tuple[str, ...]] = Counter()
    for (called, pairs), value in samples.items():
        if called == name and value:
            found[tuple(dict(pairs)[label] for label in labels)] += int(value)
    return found


class Load:
    """Sends requests, each on a connection of its own so that all workers get some; counts."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.requests: Counter[tuple[str, ...]] = Counter()
        self.sections: Counter[tuple[str, ...]] = Counter()
        self.hits = 0
        self.workers = 0

    def send(self, number: int) -> None:
        method, path, route, status, headers = KINDS[number % len(KINDS)]
        body = {"movie_id": 550} if method == "POST" else None
        response = requests.request(
            method,
            self.stack.bff + path.format(1 + number % 97),
            headers={**headers, "Connection": "close"},
            json=body,
            timeout=30,
        )
        assert response.status_code == status, (path, response.text)
        self.count(method, route, response)

    def count(self, method: str, route: str, response: requests.Response) -> None:
        self.requests[route, method, str(response.status_code)] += 1
        timing = response.headers.get("Server-Timing", "")
        self.hits += len(re.findall(r'cache;desc="tmdb ', timing))
        if response.status_code == 200 and route.startswith("/api/dashboard"):
            for name, section in response.json()["sections"].items():
                self.sections[name, section["status"]] += 1

    def run(self, numbers: range) -> None:
        with ThreadPoolExecutor(8) as pool:
            # Counted in this thread only: counters are not made for several.
            list(pool.map(self.send, numbers))

    def fail(self, count: int) -> None:
        """Send requests that TMDB fails, one after the other."""
        for number in range(count):
            response = requests.get(
                f"{self.stack.bff}/api/dashboard/feed?page={300 + number}",
                headers={"Connection": "close"},
                timeout=30,
            )
            assert response.status_code in (502, 503)
            self.count("GET", "/api/dashboard/feed", response)


def workers(stack: Stack) -> list[int]:
    """Return the process ids of the BFF's workers."""
    master = stack.servers["bff"].pid
    text = Path(f"/proc/{master}/task/{master}/children").read_text()
    return [int(pid) for pid in text.split()]


def check(stack: Stack, load: Load, before: dict[Sample, float]) -> dict[Sample, float]:
    """Hold everything that is counted against the load's and the stubs' own counts."""
    now = scrape(stack)
    new = {key: value - before.get(key, 0) for key, value in now.items()}

    counted = by(new, "bff_requests_total", "route", "method", "status")
    own = {key: count for key, count in counted.items() if key[0] != "/metrics"}
    assert own == load.requests
    timed = by(new, "bff_request_seconds_count", "route")
    assert sum(timed.values()) == sum(counted.values())
    assert by(new, "bff_sections_total", "section", "status") == load.sections

    calls = by(new, "bff_upstream_calls_total", "upstream", "outcome")
    for upstream in ("tmdb", "users"):
        sent = sum(
            count
            for (name, outcome), count in calls.items()
            if name == upstream and outcome not in TURNED_AWAY
        )
        assert sent == sum(stack.calls(upstream).values()), (upstream, calls)

    cache = by(new, "bff_cache_total", "result")
    tmdb = sum(count for (name, _), count in calls.items() if name == "tmdb")
    assert cache[("miss",)] == tmdb, (cache, calls)
    assert cache[("hit",)] + cache[("stale",)] == load.hits
    return now


def test_metrics_when_four_workers_are_loaded_then_every_count_is_exact(deployed: Stack) -> None:
    """Requests, calls, cache and sections; also right after a worker was killed and replaced."""
    deployed.forget_calls("tmdb")
    deployed.forget_calls("users")
    before = scrape(deployed)
    load = Load(deployed)

    load.run(range(len(KINDS) * 12))
    check(deployed, load, before)

    first = workers(deployed)
    os.kill(first[0], signal.SIGKILL)
    deployed.wait(
        lambda: len(workers(deployed)) == WORKERS and first[0] not in workers(deployed),
        "no new worker",
    )
    check(deployed, load, before)
    load.run(range(len(KINDS) * 12, len(KINDS) * 18))
    # The new worker tells of its slots as soon as it has loaded the application.
    slots: Sample = ("bff_upstream_slots", frozenset({("upstream", "users")}))
    deployed.wait(lambda: scrape(deployed)[slots] == WORKERS * POOL // 2, "no new worker", 30)
    now = check(deployed, load, before)

    assert len(by(now, "bff_upstream_calls_total", "upstream", "operation")) > 4
    gauges = {name: int(value) for (name, pairs), value in now.items() if not pairs}
    assert gauges["bff_pool_threads"] == WORKERS * POOL
    assert gauges["bff_pool_tasks"] == 0
    assert by(now, "bff_upstream_slots", "upstream") == {
        ("tmdb",): WORKERS * POOL // 2,
        ("users",): WORKERS * POOL // 2,
    }
    assert not by(now, "bff_upstream_calls_in_flight", "upstream")
    assert any(name == "bff_upstream_calls_in_flight" for name, _ in now)
    assert not by(now, "bff_circuit_state", "circuit")

    deployed.faults("tmdb", status=500)
    load.fail(30)
    now = check(deployed, load, before)

    assert max(by(now, "bff_circuit_state", "circuit").values()) == 2
    assert by(now, "bff_upstream_calls_total", "upstream", "outcome")["tmdb", "circuit_open"] > 0
    deployed.reset()
