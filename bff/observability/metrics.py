"""What Prometheus is told. Over several workers where PROMETHEUS_MULTIPROC_DIR is set.

The variable is read by prometheus_client when it is first imported;
`gunicorn.conf.py` sets it.
"""

from __future__ import annotations

import os
from functools import lru_cache

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)

REQUESTS = Counter("bff_requests", "Requests by route and status", ["route", "method", "status"])
REQUEST_SECONDS = Histogram(
    "bff_request_seconds",
    "Time from arrival to answer",
    ["route"],
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5),
)
UPSTREAM_CALLS = Counter(
    "bff_upstream_calls",
    "Calls by outcome; `circuit_open` and `saturated` were turned away here",
    ["upstream", "operation", "outcome"],
)
UPSTREAM_SECONDS = Histogram(
    "bff_upstream_seconds",
    "Time of calls, by upstream",
    ["upstream"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5),
)
# `hit`: from memory. `shared`: another worker's answer. `joined`: waited for a call that was
# out. `miss`: asked TMDB. `refresh`: asked anew behind an answer; it ends as `miss` or `shared`
# as well. `stale`: an old answer in place of a failure.
CACHE = Counter("bff_cache", "What became of look-ups in the cache of TMDB's answers", ["result"])
SECTIONS = Counter(
    "bff_sections", "Sections of the pages that were answered, by status", ["section", "status"]
)


CALLS_IN_FLIGHT = Gauge(
    "bff_upstream_calls_in_flight",
    "Slots of the bulkhead that are taken",
    ["upstream"],
    multiprocess_mode="livesum",
)
SLOTS = Gauge(
    "bff_upstream_slots", "Slots of the bulkhead", ["upstream"], multiprocess_mode="livesum"
)
CIRCUIT = Gauge(
    "bff_circuit_state",
    "0 closed, 1 half-open, 2 open; the worst of all workers",
    ["circuit"],
    multiprocess_mode="livemax",
)
POOL_TASKS = Gauge(
    "bff_pool_tasks", "Tasks of the pool that are not done", multiprocess_mode="livesum"
)
POOL_THREADS = Gauge("bff_pool_threads", "Threads of the pool", multiprocess_mode="livesum")
_STATES = {"closed": 0, "half-open": 1, "open": 2}


def breaker_is(circuit: str, state: str) -> None:
    """Note the state of a circuit."""
    CIRCUIT.labels(circuit).set(_STATES[state])


@lru_cache(1024)
def call_of(upstream: str, operation: str, outcome: str) -> Counter:
    """Return the counter of calls with these labels."""
    return UPSTREAM_CALLS.labels(upstream, operation, outcome)


# Finding a labelled counter costs more than counting, so those of the hot path are kept.
@lru_cache(1024)
def requests_of(route: str, method: str, status: int) -> Counter:
    """Return the counter of requests with these labels."""
    return REQUESTS.labels(route, method, status)


@lru_cache(256)
def seconds_of(route: str) -> Histogram:
    """Return the histogram of a route."""
    return REQUEST_SECONDS.labels(route)


@lru_cache(256)
def section_of(section: str, status: str) -> Counter:
    """Return the counter of sections with these labels."""
    return SECTIONS.labels(section, status)


@lru_cache(16)
def call_seconds_of(upstream: str) -> Histogram:
    """Return the histogram of calls to an upstream."""
    return UPSTREAM_SECONDS.labels(upstream)


@lru_cache(16)
def cache_of(result: str) -> Counter:
    """Return the counter of a result of the cache."""
    return CACHE.labels(result)


def exposition() -> bytes:
    """Return all metrics, of all workers, in Prometheus' text format."""
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)
    return generate_latest()
