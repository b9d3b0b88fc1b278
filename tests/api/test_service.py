"""Health, configuration, metrics and the documents."""

from __future__ import annotations

import re

import pytest

from bff import VERSION
from tests.api.conftest import MakeClient
from tests.api.openapi import ContractClient
from tests.api.upstreams import Upstream


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
    client: ContractClient,
) -> None:
    """Per upstream: circuits, last success, calls in flight."""
    before = client.get("/health/ready").json
    client.get("/api/dashboard/feed")
    response = client.get("/health/ready")
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


@pytest.mark.parametrize(("settings", "source"), [({}, "live"), ({"TMDB_READ_TOKEN": ""}, "stub")])
def test_configuration_when_it_is_asked_then_a_frontend_knows_where_pictures_are(
    make_client: MakeClient, settings: dict[str, str], source: str
) -> None:
    """Base address, sizes, source, and the notice that TMDB asks for."""
    body = make_client(**settings).get("/api/configuration").json

    assert body["images"]["base_url"].endswith("/t/p/")
    assert "w342" in body["images"]["poster_sizes"]
    assert body["tmdb"] == source
    assert "not endorsed or certified by TMDB" in body["attribution"]


def test_configuration_when_a_language_is_given_then_it_is_checked_and_changes_nothing(
    client: ContractClient,
) -> None:
    """A client that sends its language with every read need make no exception."""
    plain = client.get("/api/configuration")
    assert client.get("/api/configuration?language=de-DE&region=DE").data == plain.data
    assert client.get("/api/configuration?language=German").status_code == 422
    assert client.get("/api/configuration?page=1").status_code == 422


def test_metrics_when_they_are_asked_then_prometheus_can_read_them(client: ContractClient) -> None:
    """The text format, with the names of this service."""
    response = client.get("/metrics")

    assert response.content_type.startswith("text/plain")
    assert b"# TYPE bff_requests_total counter" in response.data


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_documents_when_a_person_reads_them_then_nothing_comes_from_elsewhere(
    client: ContractClient, path: str
) -> None:
    """Every script and style of the page is served from here."""
    page = client.get(path).data.decode()
    linked = re.findall(r'(?:src|href)="([^"]+)"', page)

    assert linked
    for address in linked:
        assert address.startswith("/docs-ui/"), address
        assert client.head(address).status_code == 200


def test_problems_when_their_type_is_followed_then_it_explains_them(
    client: ContractClient,
) -> None:
    """`type` of a problem document leads somewhere."""
    kind = client.get("/api/movies/0").json["type"]

    told = client.get(kind).json

    assert (told["type"], told["status"]) == (kind, 422)
    assert client.get("/problems/nothing").status_code == 404


def test_logging_when_a_request_is_answered_then_one_line_says_so(
    client: ContractClient, logs: list[str]
) -> None:
    """Method, route, status, time and upstreams; not the query and not the path as it came."""
    client.get("/api/movies/550?language=de")

    (line,) = [text for text in logs if "route=" in text]
    assert "method=GET route=/api/movies/<tmdb_id:movie_id> status=200" in line
    assert re.search(r"upstream=\S*tmdb\.\w+:ok", line)
    assert "language" not in line


def test_logging_when_a_path_holds_a_line_feed_then_no_line_is_forged(
    client: ContractClient, tmdb: Upstream, logs: list[str]
) -> None:
    """A caller cannot write lines of their own into the log."""
    client.get("/api/%0Aplanted request method=GET")
    client.get("/api/movies/%0Aplanted")

    assert not [line for line in logs if "\nplanted" in line]
