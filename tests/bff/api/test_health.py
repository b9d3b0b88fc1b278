"""bff/api/health.py, and `/api/configuration`: what the service says about itself."""

from __future__ import annotations

import re

import pytest

from bff import VERSION
from tests.bff.app import MakeClient
from tests.bff.fake_upstreams import Upstream
from tests.contract.client import ContractClient


@pytest.mark.parametrize("path", ["/health", "/health/live"])
def test_health_when_it_is_asked_then_it_answers_without_an_upstream(
    client: ContractClient, tmdb: Upstream, users: Upstream, path: str
) -> None:
    """The process lives, whatever the upstreams do."""
    response = client.get(path)

    expected = {"status": "healthy", "service": "movie-dashboard-bff", "version": VERSION}
    assert response.json == expected
    assert response.headers["Cache-Control"] == "no-store"
    assert tmdb.calls + users.calls == []


def test_readiness_when_upstreams_answer_then_it_passes_and_says_when(
    fresh: ContractClient,
) -> None:
    """Per upstream: circuits, last success, calls in flight."""
    before = fresh.get("/health/ready").json
    fresh.get("/api/dashboard/feed")
    response = fresh.get("/health/ready")
    after = response.json

    assert response.content_type == "application/health+json"
    assert before["status"] == after["status"] == "pass"
    assert before["checks"]["tmdb:last_success"][0]["observedValue"] is None
    assert before["checks"]["tmdb:circuit"] == []
    for name in ("tmdb", "users"):
        (moment,) = after["checks"][f"{name}:last_success"]
        (calls,) = after["checks"][f"{name}:in_flight"]
        circuits = after["checks"][f"{name}:circuit"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", moment["observedValue"])
        assert calls["observedValue"] == 0
        assert {circuit["observedValue"] for circuit in circuits} == {"closed"}
        assert all(circuit["componentId"] for circuit in circuits)


def test_readiness_when_the_process_ends_then_it_is_503(fresh: ContractClient) -> None:
    """A process that can do no more work must get no more of it."""
    fresh.application.extensions["bff"].close()

    response = fresh.get("/health/ready")

    assert (response.status_code, response.json["status"]) == (503, "fail")


@pytest.mark.parametrize(("settings", "source"), [({}, "live"), ({"TMDB_READ_TOKEN": ""}, "stub")])
def test_configuration_when_it_is_asked_then_a_frontend_knows_where_pictures_are(
    make_client: MakeClient, settings: dict[str, str], source: str
) -> None:
    """Base address, sizes, source, and the notice that TMDB asks for; in any language the same."""
    client = make_client(**settings)
    plain = client.get("/api/configuration")

    body = plain.json
    assert body["images"]["base_url"].endswith("/t/p/")
    assert "w342" in body["images"]["poster_sizes"]
    assert body["tmdb"] == source
    assert "not endorsed or certified by TMDB" in body["attribution"]
    assert client.get("/api/configuration?language=de-DE&region=DE").data == plain.data
    assert client.get("/api/configuration?language=German").status_code == 422
    assert client.get("/api/configuration?page=1").status_code == 422


def test_metrics_when_they_are_asked_for_then_prometheus_can_read_them(
    client: ContractClient,
) -> None:
    """The text format, with the names of this service."""
    response = client.get("/metrics")

    assert response.content_type.startswith("text/plain")
    assert b"# TYPE bff_requests_total counter" in response.data
