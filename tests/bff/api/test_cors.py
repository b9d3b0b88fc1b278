"""bff/api/cors.py: which pages of other origins may call the API."""

from __future__ import annotations

import pytest

from tests.bff.app import MakeClient
from tests.contract.client import ContractClient


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "/api/users/favorites/550"), ("GET", "/api/dashboard/feed")]
)
@pytest.mark.parametrize("settings", [{}, {"AUTH_ENABLED": "true"}], ids=["open", "closed"])
def test_cors_when_the_origin_is_configured_then_the_preflight_allows_it(
    make_client: MakeClient, method: str, path: str, settings: dict[str, str]
) -> None:
    """A browser's preflight carries no token, and is answered all the same."""
    asked = {
        "Origin": "http://localhost:3000",
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization, content-type, idempotency-key",
    }
    response = make_client(**settings).options(path, headers=asked)

    assert response.status_code == 200
    assert response.headers["Access-Control-Allow-Origin"] == "http://localhost:3000"
    assert method in response.headers["Access-Control-Allow-Methods"]
    allowed = response.headers["Access-Control-Allow-Headers"].lower()
    assert "authorization" in allowed
    assert "idempotency-key" in allowed


def test_cors_when_the_origin_is_another_then_nothing_is_allowed(client: ContractClient) -> None:
    """Neither the preflight nor an answer opens the door to a foreign page."""
    foreign = {"Origin": "https://evil.example", "Access-Control-Request-Method": "GET"}

    for response in (
        client.options("/api/dashboard/feed", headers=foreign),
        client.get("/api/dashboard/feed", headers=foreign),
        client.get("/api/dashboard/feed"),
    ):
        assert not [name for name, _ in response.headers if "access-control" in name.lower()]


@pytest.mark.parametrize("path", ["/api/movies/popular", "/api/movies/0", "/api/nothing"])
def test_cors_when_the_origin_is_configured_then_answers_and_errors_can_be_read(
    client: ContractClient, path: str
) -> None:
    """A page reads problem documents as well, and the headers that go with them."""
    response = client.get(path, headers={"Origin": "http://localhost:8080"})

    assert response.headers["Access-Control-Allow-Origin"] == "http://localhost:8080"
    assert "Origin" in response.headers["Vary"]
    exposed = response.headers["Access-Control-Expose-Headers"]
    for name in ("X-Request-ID", "X-Degraded", "ETag", "Retry-After", "RateLimit", "Location"):
        assert name in exposed
