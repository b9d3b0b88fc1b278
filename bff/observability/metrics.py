"""The metrics, and their exposition in Prometheus' text format.

Where PROMETHEUS_MULTIPROC_DIR is set, each worker writes its own to files in that
directory, and whichever worker is scraped adds all of them up (prometheus_client's
multi-process mode). The library reads the variable when it is imported, so
`gunicorn.conf.py` sets it before the workers start.
"""

from __future__ import annotations

import os

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
    "Time of a request in the application",
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
# out. `miss`: asked TMDB. `refresh`: asked TMDB behind an answer. `stale`: an old answer in
# place of a failure.
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


def exposition() -> bytes:
    """Return the metrics of all workers; of this process where it is the only one."""
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)
    return generate_latest()
