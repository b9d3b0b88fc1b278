"""The service token, the request id and the log line."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient

MakeApp = Callable[..., Flask]
TOKEN = "correct-horse-battery"
OPERATIONS = [
    ("GET", "/events"),
    ("GET", "/library"),
    ("GET", "/favorites"),
    ("POST", "/favorites"),
    ("GET", "/favorites/550"),
    ("PUT", "/favorites/550"),
    ("DELETE", "/favorites/550"),
    ("GET", "/watchlist"),
    ("PUT", "/history/1"),
    ("POST", "/reset"),
    ("DELETE", "/clear"),
    ("GET", "/__calls"),
    ("PUT", "/__faults"),
    ("DELETE", "/__faults"),
]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Flask:
    """The service with a token set."""
    from config import UserServiceConfig
    from user_stub import create_app

    path = tmp_path_factory.mktemp("guarded") / "users.sqlite"
    return create_app(UserServiceConfig(3001, TOKEN, f"sqlite:///{path}", "", "INFO"))


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_call_without_the_token_is_401(guarded: Flask, method: str, path: str) -> None:
    """Ask for the token on every operation, before anything else is looked at."""
    answer = guarded.test_client().open(path, method=method)

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.content_type == "application/problem+json"


@pytest.mark.parametrize(
    "credential",
    ["", "Bearer", "Bearer ", f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN, "Bearer \xfc"],
)
def test_call_with_a_wrong_token_is_401(guarded: Flask, credential: str) -> None:
    """Refuse everything but the token itself."""
    answer = guarded.test_client().get("/favorites", headers={"Authorization": credential})

    assert answer.status_code == 401


@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
def test_call_with_the_token_is_answered(guarded: Flask, scheme: str) -> None:
    """Let the holder of the token in."""
    answer = guarded.test_client().get("/favorites", headers={"Authorization": f"{scheme} {TOKEN}"})

    assert answer.status_code == 200


@pytest.mark.parametrize("path", ["/health", "/openapi.json", "/docs"])
def test_open_path_needs_no_token(guarded: Flask, path: str) -> None:
    """Keep the health check and the documentation open."""
    assert guarded.test_client().get(path).status_code == 200


@pytest.mark.parametrize("claimed", ["abc-123", "x" * 128, "01HX:a/b=@~._+", "a-Z0!#$%&'*+.^_`|~"])
def test_request_id_that_is_plain_is_taken_over(client: FlaskClient, claimed: str) -> None:
    """Answer with the caller's request id."""
    answer = client.get("/favorites", headers={"X-Request-ID": claimed})

    assert answer.headers["X-Request-ID"] == claimed


@pytest.mark.parametrize("claimed", ["", "x" * 129, "a b", 'a"b', "a\tb", "id;x=1", "\xe9"])
def test_request_id_that_is_not_plain_is_replaced(client: FlaskClient, claimed: str) -> None:
    """Make a new request id instead of repeating anything that could do harm."""
    answer = client.get("/nowhere", headers={"X-Request-ID": claimed})

    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["X-Request-ID"])
    assert answer.json is not None
    assert answer.json["request_id"] == answer.headers["X-Request-ID"]


def test_log_line_has_the_request_but_not_the_user(
    guarded: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    """Write one line per request, with neither token nor user in clear."""
    caplog.set_level(logging.INFO)

    guarded.test_client().get(
        "/favorites/550",
        headers={
            "Authorization": f"Bearer {TOKEN}",
            "X-User-Id": "ada@example.org",
            "X-Request-ID": "id-1",
        },
    )

    (line,) = [record.getMessage() for record in caplog.records]
    assert re.fullmatch(
        r"request method=GET path=/favorites/550 status=404 duration_ms=\d+\.\d "
        r"request_id=id-1 user=[0-9a-f]{12}",
        line,
    )


def test_log_line_cannot_be_forged(client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    """Quote what comes from outside, so that a path cannot add a line."""
    caplog.set_level(logging.INFO)

    client.get("/favorites/1%0Astatus=200 user=root")

    (line,) = [record.getMessage() for record in caplog.records]
    assert "\n" not in line
    assert "path=/favorites/1%0Astatus%3D200%20user%3Droot " in line


def test_faults_and_calls_are_installed(make_app: MakeApp) -> None:
    """Count calls and apply faults; /health is exempt."""
    client = make_app(fault_profile="down").test_client()
    statuses = [client.get(path).status_code for path in ("/favorites", "/health")]
    client.delete("/__faults")

    assert statuses == [503, 200]
    assert client.get("/favorites").status_code == 200
    assert client.get("/__calls").json == {"GET /favorites": 2, "GET /health": 1}
