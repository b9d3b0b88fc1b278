"""Dashboard and alert rules name metrics and labels that exist, in PromQL that parses."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client import REGISTRY
from prometheus_client.metrics import MetricWrapperBase

from bff.observability import metrics
from scripts.processes import ROOT

DASHBOARD = ROOT / "deploy/grafana/dashboard.json"
ALERTS = ROOT / "deploy/prometheus/alerts.yml"
SCRAPE = ROOT / "deploy/prometheus/prometheus.yml"
OPERATIONS = ROOT / "docs/operations.md"
OF_PROMETHEUS = {"instance", "job"}  # labels that a scrape adds
SUFFIXES = {
    "counter": ("_total", "_created"),
    "histogram": ("_bucket", "_sum", "_count", "_created"),
    "gauge": ("",),
}


def exposed() -> dict[str, set[str]]:
    """Return the labels of each series that /metrics has."""
    found: dict[str, set[str]] = {"up": set()}
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            assert metric in REGISTRY._collector_to_names
            for suffix in SUFFIXES[metric._type]:
                labels = {*metric._labelnames, *(["le"] if suffix == "_bucket" else [])}
                found[metric._name + suffix] = labels
    return found


def alerts() -> list[dict[str, Any]]:
    """Return the alert rules."""
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def queries() -> list[str]:
    """Return every expression of the dashboard, with its variables filled in."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    texts = [target["expr"] for panel in panels for target in panel["targets"]]
    return [text.replace("$__rate_interval", "5m").replace("$instance", ".*") for text in texts]


def parts(node: Any) -> Iterator[Any]:
    """Yield an expression and everything in it."""
    yield node
    for name in ("lhs", "rhs", "expr", "param", "vector_selector"):
        below = getattr(node, name, None)
        if below is not None and not isinstance(below, str):
            yield from parts(below)
    for below in getattr(node, "args", None) or ():
        yield from parts(below)


def faults(text: str) -> list[str]:
    """Return what an expression names and /metrics does not have."""
    known, wrong = exposed(), list[str]()
    series, labels = set[str](), set[str]()
    for node in parts(promql_parser.parse(text)):
        if isinstance(node, promql_parser.VectorSelector):
            series.add(node.name)
            used = {matcher.name for matcher in node.matchers.matchers}
            wrong += [
                f"{node.name}{{{label}}}"
                for label in used - known.get(node.name, set()) - OF_PROMETHEUS
            ]
        if isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            labels |= set(node.modifier.labels)
    wrong += sorted(series - set(known))
    there = set.union(OF_PROMETHEUS, *(known.get(name, set()) for name in series))
    return wrong + sorted(labels - there)


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
def test_alert_when_it_is_read_then_its_metrics_exist(rule: dict[str, Any]) -> None:
    """Names, labels and grouping; somebody is told in words, which the document explains."""
    assert not faults(rule["expr"])
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert rule["for"]
    assert rule["annotations"]["summary"]
    assert f"`{rule['alert']}`" in OPERATIONS.read_text()


@pytest.mark.parametrize(
    "text",
    ["bff_nothing", "bff_requests_total{colour='red'}", "sum by (colour) (bff_requests_total)"],
)
def test_faults_when_a_name_is_wrong_then_it_is_found(text: str) -> None:
    """The check itself sees a wrong metric, a wrong label and a wrong grouping."""
    assert faults(text)


def test_dashboard_when_it_is_read_then_every_metric_of_ours_is_on_it() -> None:
    """What is measured is shown, and what is shown exists; ids of panels differ."""
    board = json.loads(DASHBOARD.read_text())
    text = " ".join(queries())
    ours = [metric for metric in vars(metrics).values() if isinstance(metric, MetricWrapperBase)]
    assert [metric._name for metric in ours if metric._name not in text] == []
    assert [query for query in queries() if faults(query)] == []
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids)) >= 8
    variables = {variable["name"] for variable in board["templating"]["list"]}
    assert variables == {"datasource", "instance"}


def test_scrape_when_it_is_read_then_it_loads_the_rules_and_asks_for_metrics() -> None:
    """The example fits the other files: job, path and rules."""
    scrape = yaml.safe_load(SCRAPE.read_text())
    (job,) = scrape["scrape_configs"]

    assert scrape["rule_files"] == [ALERTS.name]
    assert job["metrics_path"] == "/metrics"
    assert f'job="{job["job_name"]}"' in ALERTS.read_text()


def test_operations_when_an_event_is_logged_then_the_document_explains_it() -> None:
    """Each event of the code has its row."""
    text = OPERATIONS.read_text()
    named = set[str]()
    for file in (ROOT / "bff").rglob("*.py"):
        for call in re.finditer(
            r"(?:event|failure)\(\s*log(?:ging\.getLogger\(__name__\))?,\s*"
            r"(?:[^\"]*?,\s*)?\"([a-z_.]+)\"",
            file.read_text(),
        ):
            named.add(call[1])
    assert len(named) >= 10
    for name in named:
        assert f"`{name}`" in text, name
