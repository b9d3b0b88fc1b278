"""bff/api/limits.py: 429 with what a client needs to wait, per caller, with Redis and without."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import jwt
import pytest
import time_machine
from flask.testing import FlaskClient

import bff
from config import Config

SECRET = "planted-jwt-secret-of-more-than-32-bytes"
# Nobody is asked for any of these: the first is unknown, the second is wrong, both count.
UNKNOWN, WRONG = "/api/nowhere", "/api/movies/0"
MakeClient = Callable[..., FlaskClient]


@pytest.fixture
def make_client(tmp_path: Path) -> Iterator[MakeClient]:
    """Return a maker of clients of a fresh app, in which a caller has three requests a minute."""
    made = []

    def make(**settings: str) -> FlaskClient:
        own = {
            "ENV_FILE": os.devnull,
            "CACHE_DIR": str(tmp_path / "cache"),
            "USER_SERVICE_EVENTS": "false",
            "JWT_SECRET": SECRET,
            "RATE_LIMIT_PER_MINUTE": "3",
            **settings,
        }
        with mock.patch.dict(os.environ, own, clear=True):
            app = bff.create_app(Config.from_env())
        made.append(app)
        return app.test_client(use_cookies=False)

    yield make
    for app in made:
        app.extensions["bff"].close()


@pytest.fixture
def client(make_client: MakeClient) -> FlaskClient:
    """Return a client that may ask three times a minute."""
    return make_client()


def statuses(client: FlaskClient, *paths: str, **headers: str) -> list[int]:
    """GET each path and return the statuses."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return [client.get(path, headers=named).status_code for path in paths]


def bearer(user: str) -> str:
    """Return the Authorization of a user."""
    return f"Bearer {jwt.encode({'sub': user}, SECRET, 'HS256')}"


def test_limit_when_it_is_reached_then_429_says_how_long_to_wait(client: FlaskClient) -> None:
    """Every answer says what is left; a window is a minute from the first request."""
    for left in (2, 1, 0):
        response = client.get(UNKNOWN)
        assert response.status_code == 404
        assert response.headers["RateLimit-Policy"] == '"default";q=3;w=60'
        assert re.fullmatch(rf'"default";r={left};t=\d+', response.headers["RateLimit"])

    refused = client.get(UNKNOWN)

    assert refused.status_code == 429
    assert refused.content_type == "application/problem+json"
    assert refused.json is not None
    assert refused.json["type"] == "/problems/rate-limited"
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert refused.json["retry_after"] == int(refused.headers["Retry-After"])
    assert refused.headers["RateLimit"] == f'"default";r=0;t={refused.headers["Retry-After"]}'
    assert refused.headers["X-Request-ID"] == refused.json["request_id"]


def test_limit_when_the_window_ends_then_the_caller_may_ask_again(client: FlaskClient) -> None:
    """Not before, and with the whole allowance."""
    with time_machine.travel("2026-11-28T12:00:00Z", tick=False) as clock:
        assert statuses(client, *[UNKNOWN] * 4) == [404, 404, 404, 429]
        clock.shift(59)
        refused = client.get(UNKNOWN)
        clock.shift(1)
        served = client.get(UNKNOWN)

    assert refused.status_code == 429
    assert refused.headers["Retry-After"] == "1"
    assert served.headers["RateLimit"] == '"default";r=2;t=60'


def test_limit_when_callers_differ_then_each_has_their_own(client: FlaskClient) -> None:
    """One user who asks too often takes nothing from the others, nor from their address."""
    mine = statuses(client, *[UNKNOWN] * 4, Authorization=bearer("me"))

    assert mine == [404, 404, 404, 429]
    assert statuses(client, UNKNOWN, Authorization=bearer("another")) == [404]
    assert statuses(client, UNKNOWN) == [404]


def test_limit_when_the_token_is_wrong_then_the_address_counts(client: FlaskClient) -> None:
    """Made-up tokens buy no new allowance."""
    found = [
        client.get(
            "/api/users/favorites", headers={"Authorization": f"Bearer made-up-{number}"}
        ).status_code
        for number in range(5)
    ]

    assert found == [401, 401, 401, 429, 429]


def test_limit_when_the_path_is_unknown_or_wrong_then_it_counts(client: FlaskClient) -> None:
    """Guessing paths and numbers is limited like anything else under /api."""
    assert statuses(client, UNKNOWN, WRONG, WRONG, WRONG) == [404, 422, 422, 429]


@pytest.mark.parametrize("path", ["/health", "/health/ready", "/metrics", "/openapi.json"])
def test_limit_when_health_and_documents_are_asked_then_they_do_not_count(
    client: FlaskClient, path: str
) -> None:
    """A monitor is never turned away, and takes nothing from the callers."""
    for _ in range(5):
        response = client.get(path)
        assert response.status_code == 200
        assert "RateLimit" not in response.headers
    assert client.get(UNKNOWN).headers["RateLimit"].startswith('"default";r=2;')


def test_limit_when_a_preflight_comes_then_it_does_not_count(client: FlaskClient) -> None:
    """A browser's question before the request is free."""
    for _ in range(5):
        headers = {"Origin": "http://localhost:3000", "Access-Control-Request-Method": "GET"}
        assert client.options("/api/users/favorites", headers=headers).status_code < 300
    assert statuses(client, UNKNOWN) == [404]


def test_limit_when_it_is_switched_off_then_nothing_is_counted(make_client: MakeClient) -> None:
    """RATE_LIMIT_ENABLED=false: no header, no 429."""
    client = make_client(RATE_LIMIT_ENABLED="false")

    assert statuses(client, *[UNKNOWN] * 5) == [404] * 5
    assert "RateLimit" not in client.get(UNKNOWN).headers


def test_limit_when_a_proxy_is_trusted_then_the_client_behind_it_counts(
    make_client: MakeClient,
) -> None:
    """With TRUSTED_PROXY_HOPS the address is the one that the proxy saw, not one made up."""
    client = make_client(RATE_LIMIT_PER_MINUTE="1", TRUSTED_PROXY_HOPS="1")

    assert statuses(client, UNKNOWN, X_Forwarded_For="192.0.2.1") == [404]
    assert statuses(client, UNKNOWN, X_Forwarded_For="192.0.2.2") == [404]
    assert statuses(client, UNKNOWN, X_Forwarded_For="made-up, 192.0.2.1") == [429]


def test_limit_when_no_proxy_is_trusted_then_a_forwarded_address_buys_nothing(
    client: FlaskClient,
) -> None:
    """A caller cannot name an address of their own."""
    found = [
        client.get(UNKNOWN, headers={"X-Forwarded-For": f"192.0.2.{number}"}).status_code
        for number in range(4)
    ]

    assert found == [404, 404, 404, 429]


def test_redis_when_it_is_dead_at_the_start_then_requests_are_counted_all_the_same(
    make_client: MakeClient,
) -> None:
    """The app starts, and the limit holds in each worker."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    client = make_client(REDIS_URL=f"redis://127.0.0.1:{port}/0")

    assert statuses(client, *[UNKNOWN] * 4) == [404, 404, 404, 429]
