"""Traces of a deployment: from the caller to the log lines and the collector."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from config import ROOT
from tests.bff.observability.collector import Collector
from tests.e2e.stack import Stack

pytestmark = pytest.mark.e2e
TRACE = "4bf92f3577b34da6" * 2
HEADER = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}


def test_deployment_when_a_collector_is_set_then_log_lines_and_spans_have_the_callers_trace(
    tmp_path: Path,
) -> None:
    """Lines of the request and of its calls; a worker that ends exports what it still has."""
    collector = Collector()
    settings = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "LOG_FORMAT": "json",
        "LOG_LEVEL": "DEBUG",
        "WEB_CONCURRENCY": 2,
        "USER_SERVICE_EVENTS": "false",
    }
    with closing(collector), Stack(tmp_path, **settings) as stack:
        assert stack.get("/api/dashboard/feed", headers=HEADER).ok
        log = stack.servers["bff"].log

    traced = {span.name for span in collector.spans if span.trace_id.hex() == TRACE}
    assert traced == {"GET /api/dashboard/feed", "GET"}
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    events = [line["event"] for line in lines if line.get("trace_id") == TRACE]
    assert sorted(events) == ["request", *["upstream.call"] * 3]


def test_bff_when_no_collector_is_set_then_the_libraries_are_not_needed() -> None:
    """The app is built where none of them can be imported."""
    program = """
import sys
sys.modules["opentelemetry"] = None
from bff import create_app
from config import Config
create_app(Config.from_env()).extensions["bff"].close()
assert "bff.observability.traces" not in sys.modules
"""
    settings = {"ENV_FILE": os.devnull, "USER_SERVICE_EVENTS": "false", "PATH": os.environ["PATH"]}
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=settings, check=True)
