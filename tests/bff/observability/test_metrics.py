"""bff/observability/metrics.py: names and numbers; `tests/e2e` adds them up over workers."""

from __future__ import annotations

import pytest
from prometheus_client import REGISTRY

from bff.observability import metrics


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
