"""What surrounds every request: its id, the service token, and limits."""

from __future__ import annotations

import re

import pytest
from flask import Flask
from flask.testing import FlaskClient

from config import UserServiceConfig
from tests.user_stub.conftest import MakeApp, assert_problem
from user_stub import create_app

TOKEN = "correct-horse-battery"
GUARDED = [
    ("GET", "/events"),
    ("GET", "/library"),
    ("GET", "/favorites"),
    ("POST", "/favorites"),
    ("GET", "/favorites/550"),
    ("PUT", "/favorites/550"),
    ("DELETE", "/favorites/abc"),
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
    path = tmp_path_factory.mktemp("guarded") / "users.sqlite"
    return create_app(UserServiceConfig(3001, TOKEN, f"sqlite:///{path}", "", "INFO"))


@pytest.mark.parametrize(("method", "path"), GUARDED)
def test_call_when_it_has_no_token_then_401(guarded: Flask, method: str, path: str) -> None:
    """Ask for the token on every operation, before anything else is looked at."""
    answer = guarded.test_client().open(path, method=method)

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.content_type == "application/problem+json"


@pytest.mark.parametrize(
    ("credential", "status"),
    [
        *((f"{scheme} {TOKEN}", 200) for scheme in ("Bearer", "bearer")),
        *((wrong, 401) for wrong in ("", "Bearer", "Bearer ", f"Bearer {TOKEN}x")),
        *((wrong, 401) for wrong in (f"Basic {TOKEN}", TOKEN, "Bearer \xfc")),
    ],
)
def test_call_when_it_has_a_token_then_only_the_right_one_is_let_in(
    guarded: Flask, credential: str, status: int
) -> None:
    """Refuse everything but the token itself."""
    answer = guarded.test_client().get("/favorites", headers={"Authorization": credential})

    assert answer.status_code == status


@pytest.mark.parametrize("path", ["/health", "/openapi.json", "/docs"])
def test_open_path_when_called_without_a_token_then_200(guarded: Flask, path: str) -> None:
    """Keep the health check and the documentation open."""
    assert guarded.test_client().get(path).status_code == 200


@pytest.mark.parametrize("claimed", ["abc-123", "x" * 128, "01HX:a/b=@~._+", "a-Z0!#$%&'*+.^_`|~"])
def test_request_id_when_it_is_plain_then_it_is_taken_over(
    client: FlaskClient, claimed: str
) -> None:
    """Answer with the caller's request id."""
    answer = client.get("/favorites", headers={"X-Request-ID": claimed})

    assert answer.headers["X-Request-ID"] == claimed


@pytest.mark.parametrize("claimed", ["", "x" * 129, "a b", 'a"b', "a\tb", "id;x=1", "\xe9"])
def test_request_id_when_it_is_not_plain_then_it_is_replaced(
    client: FlaskClient, claimed: str
) -> None:
    """Make a new request id instead of repeating anything that could do harm."""
    answer = client.get("/nowhere", headers={"X-Request-ID": claimed})

    assert_problem(answer, 404)
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["X-Request-ID"])


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/favorites"),
        ("PUT", "/history/1"),
        ("DELETE", "/favorites/550"),
        ("POST", "/reset"),
        ("GET", "/favorites"),
    ],
)
def test_body_when_it_is_above_64_kb_then_413(client: FlaskClient, method: str, path: str) -> None:
    """Refuse a large body on any operation, and do nothing."""
    before = client.get("/library").data

    answer = client.open(path, method=method, data=b" " * 70_000, content_type="application/json")

    assert_problem(answer, 413)
    assert client.get("/library").data == before


@pytest.mark.parametrize(
    "query", ["page=1", "page", "a=1&a=2", "x=%FF%FE", "q=" + "x" * 10_000, "%F0%9F%8E%AC=1"]
)
@pytest.mark.parametrize(
    "path", ["/favorites", "/favorites/550", "/library", "/health", "/docs", "/openapi.json"]
)
def test_query_when_it_has_a_parameter_then_422(client: FlaskClient, path: str, query: str) -> None:
    """Refuse query parameters, which no operation has."""
    answer = client.get(f"{path}?{query}")

    assert len(assert_problem(answer, 422)["errors"]) == 1


@pytest.mark.parametrize(
    ("path", "cache_control"),
    [("/favorites", "private, no-cache"), ("/favorites/1", "no-store"), ("/health", "no-store")],
)
def test_answer_when_it_may_be_kept_then_only_by_the_caller(
    client: FlaskClient, path: str, cache_control: str
) -> None:
    """Let nobody share a user's lists, and nobody keep an error."""
    assert client.get(path).headers["Cache-Control"] == cache_control


def test_faults_when_the_service_starts_with_a_profile_then_it_is_set(make_app: MakeApp) -> None:
    """Count calls and apply faults; /health is exempt."""
    client = make_app(fault_profile="down").test_client()
    statuses = [client.get(path).status_code for path in ("/favorites", "/health")]
    client.delete("/__faults")

    assert statuses == [503, 200]
    assert client.get("/favorites").status_code == 200
    assert client.get("/__calls").json == {"GET /favorites": 2, "GET /health": 1}
