"""bff/observability/metrics.py: names and numbers, over four workers as in one process."""

from __future__ import annotations

import os
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jwt
import pytest
import requests
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from bff.observability import metrics
from tests.e2e.stack import Stack

SECRET = "planted-jwt-secret-of-more-than-32-bytes"
WORKERS, THREADS, POOL = 4, 8, 48


def bearer(user: str) -> dict[str, str]:
    """Return the headers of a user."""
    claims = {"sub": user, "exp": int(time.time()) + 3600}
    return {"Authorization": f"Bearer {jwt.encode(claims, SECRET, 'HS256')}"}


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Return a deployment of four workers, as shipped."""
    settings = {
        "WEB_CONCURRENCY": WORKERS,
        "THREADS": THREADS,
        "POOL_THREADS": POOL,
        "JWT_SECRET": SECRET,
        "USER_SERVICE_EVENTS": "false",
        "TMDB_CALLS_PER_SECOND": 10_000,
        "CACHE_TTL": 3600,
        "CIRCUIT_BREAKER_TIMEOUT_SECONDS": 3600,
        # A busy machine must not turn a call into a timeout.
        "PAGE_DEADLINE_MS": 20_000,
        "TMDB_TIMEOUT_MS": 20_000,
        "USER_SERVICE_TIMEOUT_MS": 20_000,
    }
    with Stack(tmp_path_factory.mktemp("metrics"), **settings) as stack:
        yield stack


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
    text = stack.get("/metrics", headers={"Connection": "close"}).text  # of any worker
    families = text_string_to_metric_families(text)
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


@pytest.mark.e2e
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
        60,
    )
    check(deployed, load, before)
    load.run(range(len(KINDS) * 12, len(KINDS) * 18))
    # The new worker tells of its slots as soon as it has loaded the application.
    slots: Sample = ("bff_upstream_slots", frozenset({("upstream", "users")}))
    deployed.wait(lambda: scrape(deployed)[slots] == WORKERS * POOL // 2, "no new worker", 60)
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


@pytest.mark.e2e
def test_metrics_when_any_worker_is_asked_then_it_says_the_same(deployed: Stack) -> None:
    """Each adds up what all of them have written; only the scrapes themselves are counted on."""
    Load(deployed).run(range(len(KINDS)))

    def said() -> dict[Sample, float]:
        return {key: value for key, value in scrape(deployed).items() if "/metrics" not in str(key)}

    first = said()
    assert len(first) > 100
    for _ in range(4 * WORKERS):
        assert said() == first


def test_exposition_when_there_is_one_process_then_its_own_counts_are_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without PROMETHEUS_MULTIPROC_DIR, as under `flask run`."""
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
    metrics.REQUESTS.labels("/of-this-test", "GET", 200).inc(3)

    lines = metrics.exposition().decode().splitlines()

    assert 'bff_requests_total{method="GET",route="/of-this-test",status="200"} 3.0' in lines


def test_breaker_when_its_state_is_noted_then_the_gauge_has_its_number() -> None:
    """0 closed, 1 half-open, 2 open: what the alert compares with."""
    for number, state in enumerate(("closed", "half-open", "open")):
        metrics.breaker_is("tmdb.of-this-test", state)
        labels = {"circuit": "tmdb.of-this-test"}
        assert REGISTRY.get_sample_value("bff_circuit_state", labels) == number
