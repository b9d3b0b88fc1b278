"""Problem documents: what each error is answered with, and what is not told."""

from __future__ import annotations

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
        ("PATCH", "/favorites/1", "DELETE GET HEAD OPTIONS PUT"),
        ("DELETE", "/favorites", "GET HEAD OPTIONS POST"),
        ("POST", "/history", "GET HEAD OPTIONS"),
        ("GET", "/clear", "DELETE OPTIONS"),
        ("TRACE", "/health", "GET HEAD OPTIONS"),
    ],
)
def test_method_when_it_is_unknown_then_405_with_allow(
    client: FlaskClient, method: str, path: str, allow: str
) -> None:
    """Name the methods that an address knows, to OPTIONS too."""
    answer = client.open(path, method=method)

    assert_problem(answer, 405)
    for headers in (answer.headers, client.options(path).headers):
        assert sorted(headers["Allow"].split(", ")) == allow.split()


def test_bug_when_raised_then_500(make_app: MakeApp, caplog: pytest.LogCaptureFixture) -> None:
    """Log a bug with its traceback and say nothing about it outside."""
    app = make_app()

    def broken() -> None:
        raise KeyError("secret /etc/path")

    app.add_url_rule("/broken", "broken", broken)

    answer = app.test_client().get("/broken")

    document = assert_problem(answer, 500)
    assert "secret" not in answer.text
    assert any(record.exc_info for record in caplog.records)
    assert document["request_id"] in caplog.text


def test_write_when_the_file_is_locked_then_503(make_app: MakeApp, database_url: str) -> None:
    """Give up on a locked database with 503; reads and health go on, and writes afterwards."""
    client = make_app(busy_timeout_s=0.05).test_client()

    with locked(database_url):
        refused = [
            client.put("/favorites/550", json={}),
            client.delete("/clear"),
            client.post("/reset"),
        ]
        read = [client.get(path).status_code for path in ("/favorites", "/health")]

    for answer in refused:
        assert_problem(answer, 503)
        assert answer.headers["Retry-After"] == "1"
        assert "sqlite" not in answer.text.lower()
    assert read == [200, 200]
    assert client.put("/favorites/550", json={}).status_code == 200


def test_statement_when_it_is_wrong_then_500_without_the_user_in_the_log(
    make_app: MakeApp, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Tell a constraint that our own statement broke (500) from a database that is away (503)."""
    client = make_app().test_client()
    trigger = "CREATE TRIGGER broken BEFORE INSERT ON watchlist"
    execute(database_url, f"{trigger} BEGIN SELECT RAISE(ABORT, 'broken'); END")

    answer = client.post("/watchlist", json={"movie_id": 1}, headers={"X-User-Id": "ada-lovelace"})

    assert_problem(answer, 500)
    assert "broken" not in answer.text
    assert "IntegrityError" in caplog.text
    assert "ada-lovelace" not in caplog.text
