"""What happens around every request: its id, the service token, size and query checks."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from config import UserServiceConfig
from tests.user_stub.conftest import MakeApp, assert_problem
from user_stub import create_app

TOKEN = "correct-horse-battery"
GUARDED = [
    *(
        ("GET", path)
        for path in ("/events", "/library", "/favorites", "/favorites/550", "/__calls")
    ),
    *(("POST", path) for path in ("/favorites", "/reset")),
    *(("PUT", path) for path in ("/favorites/550", "/history/1", "/__faults")),
    *(("DELETE", path) for path in ("/favorites/abc", "/clear", "/__faults")),
]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlaskClient]:
    """A client of the service with a token set."""
    path = tmp_path_factory.mktemp("guarded") / "users.sqlite"
    app = create_app(UserServiceConfig(3001, TOKEN, f"sqlite:///{path}", "", "INFO"))
    yield app.test_client()
    app.extensions["store"].close()


@pytest.mark.parametrize(("method", "path"), GUARDED)
def test_call_when_it_has_no_token_then_401(guarded: FlaskClient, method: str, path: str) -> None:
    """Ask for the token on every operation, before anything else is looked at."""
    answer = guarded.open(path, method=method)

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.content_type == "application/problem+json"


def test_call_when_it_has_a_token_then_only_the_right_one_is_let_in(guarded: FlaskClient) -> None:
    """Refuse everything but the token itself; health and documentation need none."""

    def status(credential: str) -> int:
        return guarded.get("/favorites", headers={"Authorization": credential}).status_code

    wrong = ["", "Bearer", "Bearer ", f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN, "Bearer \xfc"]
    assert [status(f"{scheme} {TOKEN}") for scheme in ("Bearer", "bearer")] == [200, 200]
    assert [status(credential) for credential in wrong] == [401] * len(wrong)
    for path in ("/health", "/openapi.json", "/docs"):
        assert guarded.get(path).status_code == 200


def test_request_id_when_it_is_plain_then_kept_else_replaced(client: FlaskClient) -> None:
    """Answer with the caller's request id, or with a new one if it could do harm."""
    for claimed in ("abc-123", "x" * 128, "01HX:a/b=@~._+", "a-Z0!#$%&'*+.^_`|~"):
        answer = client.get("/favorites", headers={"X-Request-ID": claimed})
        assert answer.headers["X-Request-ID"] == claimed
    for claimed in ("", "x" * 129, "a b", 'a"b', "a\tb", "id;x=1", "\xe9"):
        answer = client.get("/nowhere", headers={"X-Request-ID": claimed})
        assert_problem(answer, 404)
        assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["X-Request-ID"])


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/favorites"),
        ("PUT", "/history/1"),
        ("DELETE", "/favorites/550"),
        ("GET", "/library"),
    ],
)
def test_body_when_it_is_above_64_kb_then_413(client: FlaskClient, method: str, path: str) -> None:
    """Refuse a large body on any operation, and do nothing."""
    before = client.get("/library").data

    answer = client.open(path, method=method, data=b" " * 70_000, content_type="application/json")

    assert_problem(answer, 413)
    assert client.get("/library").data == before


@pytest.mark.parametrize("path", ["/favorites", "/favorites/550", "/health", "/docs"])
def test_query_when_it_has_a_parameter_then_422(client: FlaskClient, path: str) -> None:
    """Refuse query parameters, which no operation has."""
    for query in ("page=1", "page", "a=1&a=2", "x=%FF%FE", "q=" + "x" * 10_000, "%F0%9F%8E%AC=1"):
        assert len(assert_problem(client.get(f"{path}?{query}"), 422)["errors"]) == 1


def test_answer_when_kept_then_by_the_caller(client: FlaskClient) -> None:
    """Let nobody share a user's lists, and nobody keep an error."""
    paths = ("/favorites", "/favorites/1", "/health")
    found = [client.get(path).headers["Cache-Control"] for path in paths]

    assert found == ["private, no-cache", "no-store", "no-store"]


def test_faults_when_the_service_starts_with_a_profile_then_it_is_set(make_app: MakeApp) -> None:
    """Count calls and apply faults; /health is exempt."""
    client = make_app(fault_profile="down").test_client()
    statuses = [client.get(path).status_code for path in ("/favorites", "/health")]
    client.delete("/__faults")

    assert statuses == [503, 200]
    assert client.get("/favorites").status_code == 200
    assert client.get("/__calls").json == {"GET /favorites": 2, "GET /health": 1}
