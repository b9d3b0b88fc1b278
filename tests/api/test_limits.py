"""The rate limit: 429 with what a client needs to wait, per caller."""

from __future__ import annotations

import itertools
import re

import jwt
import pytest

from tests.api.conftest import JWT_SECRET, MakeClient
from tests.api.openapi import ContractClient
from tests.api.upstreams import Upstream

_addresses = itertools.count(1)
PATH = "/api/users/favorites"


@pytest.fixture
def limited(make_client: MakeClient) -> ContractClient:
    """A client that may ask three times a minute; no two tests share a caller."""
    client = make_client(RATE_LIMIT_ENABLED="true", RATE_LIMIT_PER_MINUTE="3")
    client.environ_base["REMOTE_ADDR"] = f"10.0.0.{next(_addresses)}"
    return client


def test_limit_when_it_is_reached_then_429_says_how_long_to_wait(
    limited: ContractClient, users: Upstream
) -> None:
    """The request above the limit asks no upstream."""
    for left in (2, 1, 0):
        response = limited.get(PATH)
        assert response.status_code == 200
        assert response.headers["RateLimit-Policy"] == '"default";q=3;w=60'
        assert re.fullmatch(rf'"default";r={left};t=\d+', response.headers["RateLimit"])

    refused = limited.get(PATH)

    assert refused.status_code == 429
    assert refused.json["type"] == "/problems/rate-limited"
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert refused.json["retry_after"] == int(refused.headers["Retry-After"])
    assert refused.headers["RateLimit"].startswith('"default";r=0;')
    assert len(users.calls) == 3


def test_limit_when_callers_differ_then_each_has_their_own(limited: ContractClient) -> None:
    """One user who asks too often takes nothing from the others, nor from their address."""

    def ask(user: str | None) -> int:
        token = jwt.encode({"sub": user}, JWT_SECRET, "HS256") if user else None
        return limited.get(
            PATH, headers={"Authorization": f"Bearer {token}"} if token else {}
        ).status_code

    me, other = "limits-1", "limits-2"
    assert [ask(me) for _ in range(4)] == [200, 200, 200, 429]
    assert ask(other) == 200
    assert ask(None) == 200


def test_limit_when_the_token_is_wrong_then_the_address_counts(limited: ContractClient) -> None:
    """Made-up tokens buy no new allowance."""
    statuses = [
        limited.get(PATH, headers={"Authorization": f"Bearer made-up-{number}"}).status_code
        for number in range(5)
    ]

    assert statuses == [401, 401, 401, 429, 429]


def test_limit_when_the_path_is_unknown_or_wrong_then_it_counts(limited: ContractClient) -> None:
    """Guessing paths and numbers is limited like anything else under /api."""
    statuses = [limited.get(path).status_code for path in ("/api/x", "/api/movies/0", PATH, PATH)]

    assert statuses == [404, 422, 200, 429]


@pytest.mark.parametrize("path", ["/health", "/health/ready", "/metrics", "/openapi.json"])
def test_limit_when_health_and_documents_are_asked_then_they_do_not_count(
    limited: ContractClient, path: str
) -> None:
    """A monitor is never turned away, and takes nothing from the callers."""
    for _ in range(5):
        response = limited.get(path)
        assert response.status_code == 200
        assert "RateLimit" not in response.headers
    assert limited.get(PATH).status_code == 200


def test_limit_when_a_preflight_comes_then_it_does_not_count(limited: ContractClient) -> None:
    """A browser's question before the request is free."""
    for _ in range(5):
        headers = {"Origin": "http://localhost:3000", "Access-Control-Request-Method": "GET"}
        assert limited.options(PATH, headers=headers).status_code == 200
    assert limited.get(PATH).status_code == 200


def test_limit_when_it_is_switched_off_then_nothing_is_counted(client: ContractClient) -> None:
    """RATE_LIMIT_ENABLED=false: no header, no 429."""
    assert "RateLimit" not in client.get(PATH).headers


def test_limit_when_a_proxy_is_trusted_then_the_client_behind_it_counts(
    make_client: MakeClient,
) -> None:
    """With TRUSTED_PROXY_HOPS the address is the one that the proxy saw, not one made up."""
    client = make_client(
        RATE_LIMIT_ENABLED="true", RATE_LIMIT_PER_MINUTE="1", TRUSTED_PROXY_HOPS="1"
    )

    def ask(forwarded: str) -> int:
        return client.get(PATH, headers={"X-Forwarded-For": forwarded}).status_code

    assert ask("192.0.2.1") == 200
    assert ask("192.0.2.2") == 200
    assert ask("made-up, 192.0.2.1") == 429


def test_limit_when_no_proxy_is_trusted_then_a_forwarded_address_buys_nothing(
    limited: ContractClient,
) -> None:
    """A caller cannot name an address of their own."""
    statuses = [
        limited.get(PATH, headers={"X-Forwarded-For": f"192.0.2.{number}"}).status_code
        for number in range(4)
    ]

    assert statuses == [200, 200, 200, 429]
