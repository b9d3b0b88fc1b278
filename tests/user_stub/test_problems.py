"""Problem documents: what each error is answered with, and what is not told."""

from __future__ import annotations

import logging

import pytest
from flask.testing import FlaskClient

from tests.user_stub.conftest import MakeApp, assert_problem, execute, locked


@pytest.mark.parametrize("path", ["/", "/nowhere", "/favorites/1/2", "/favorites/", "/FAVORITES"])
def test_path_when_it_is_unknown_then_404(client: FlaskClient, path: str) -> None:
    """Answer 404 with a problem document where nothing is."""
    assert assert_problem(client.get(path), 404)["instance"] == path


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PATCH", "/favorites/1", {"DELETE", "GET", "HEAD", "OPTIONS", "PUT"}),
        ("DELETE", "/favorites", {"GET", "HEAD", "OPTIONS", "POST"}),
        ("POST", "/history", {"GET", "HEAD", "OPTIONS"}),
        ("GET", "/reset", {"OPTIONS", "POST"}),
        ("GET", "/clear", {"DELETE", "OPTIONS"}),
        ("TRACE", "/health", {"GET", "HEAD", "OPTIONS"}),
    ],
)
def test_method_when_it_is_unknown_then_405_with_allow(
    client: FlaskClient, method: str, path: str, allow: set[str]
) -> None:
    """Name the methods that an address knows, to OPTIONS too."""
    answer = client.open(path, method=method)

    assert_problem(answer, 405)
    assert set(answer.headers["Allow"].split(", ")) == allow
    assert set(client.options(path).headers["Allow"].split(", ")) == allow


def test_bug_when_it_is_raised_then_500_with_nothing_of_the_inside(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    """Log a bug with its traceback and say nothing about it outside."""
    app = make_app()

    def broken() -> None:
        raise KeyError("secret /etc/path")

    app.add_url_rule("/broken", "broken", broken)

    answer = app.test_client().get("/broken")

    document = assert_problem(answer, 500)
    assert document["detail"] == "an error on our side"
    assert "secret" not in answer.text
    assert any(record.exc_info for record in caplog.records)
    assert document["request_id"] in caplog.text


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "/favorites/550"), ("DELETE", "/clear"), ("POST", "/reset")]
)
def test_write_when_the_database_is_locked_then_503_with_retry_after(
    make_app: MakeApp, database_url: str, method: str, path: str
) -> None:
    """Give up on a locked database with 503; reads and health go on, and writes afterwards."""
    client = make_app(busy_timeout_s=0.05).test_client()

    with locked(database_url):
        answer = client.open(path, method=method, json={} if method == "PUT" else None)
        read = client.get("/favorites").status_code
        health = client.get("/health").status_code

    assert_problem(answer, 503)
    assert answer.headers["Retry-After"] == "1"
    assert "sqlite" not in answer.text.lower()
    assert (read, health) == (200, 200)
    assert client.put("/favorites/550", json={}).status_code == 200


def test_statement_when_it_is_wrong_then_500_without_the_user_in_the_log(
    make_app: MakeApp, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Tell a constraint that our own statement broke (500) from a database that is away (503)."""
    client = make_app().test_client()
    execute(
        database_url,
        "CREATE TRIGGER broken BEFORE INSERT ON watchlist BEGIN SELECT RAISE(ABORT, 'broken'); END",
    )
    ada = {"X-User-Id": "ada-lovelace"}

    with caplog.at_level(logging.INFO):
        answer = client.post("/watchlist", json={"movie_id": 1}, headers=ada)

    assert_problem(answer, 500)
    assert "broken" not in answer.text
    assert "IntegrityError" in caplog.text
    assert "ada-lovelace" not in caplog.text
    library = client.get("/library", headers=ada).json
    assert library == {"favorites": [], "watchlist": [], "history": [], "revision": 0}
