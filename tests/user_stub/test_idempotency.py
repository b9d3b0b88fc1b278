"""Idempotency keys: a repeated request acts once."""

from __future__ import annotations

from typing import Any

import pytest
import time_machine
from flask.testing import FlaskClient
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from tests.user_stub.conftest import MakeApp, assert_problem, in_parallel, locked, revision
from user_stub.models import IdempotencyRecord

KEY = {"Idempotency-Key": "0b7a6c1e"}
WRITES: list[tuple[str, str, dict[str, Any] | None, int]] = [
    ("POST", "/favorites", {"movie_id": 1, "title": "Amélie"}, 201),
    ("POST", "/favorites", {"movie_id": 550}, 409),
    ("PUT", "/favorites/1", {"rating": 2}, 201),
    ("PUT", "/favorites/550", {"rating": 2}, 200),
    ("DELETE", "/favorites/550", None, 200),
    ("DELETE", "/favorites/1", None, 404),
    ("POST", "/watchlist", {"movie_id": 1}, 201),
    ("PUT", "/history/1", {"progress": 1}, 201),
    ("POST", "/reset", None, 200),
    ("DELETE", "/clear", None, 200),
]


def add(client: FlaskClient, movie_id: int = 1, **headers: str) -> TestResponse:
    """Add a favourite with the key."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post("/favorites", json={"movie_id": movie_id}, headers={**KEY, **named})


@pytest.mark.parametrize(("method", "path", "body", "status"), WRITES)
def test_write_when_it_is_repeated_then_the_answer_is_too(
    client: FlaskClient, method: str, path: str, body: object, status: int
) -> None:
    """Act once; answer the repetition with the kept status and body, marked as replayed."""
    first = client.open(path, method=method, json=body, headers=KEY)
    second = client.open(path, method=method, json=body, headers=KEY)

    assert (first.status_code, second.status_code) == (status, status)
    assert "Idempotency-Replayed" not in first.headers
    assert second.headers["Idempotency-Replayed"] == "true"
    for name in ("Location", "X-Library-Revision", "Content-Type"):
        assert second.headers.get(name) == first.headers.get(name)
    if status < 400:
        assert second.data == first.data
    else:
        assert first.json is not None
        assert second.json == {**first.json, "request_id": second.headers["X-Request-ID"]}


def test_repetition_when_something_came_between_then_it_changes_nothing(
    client: FlaskClient,
) -> None:
    """Repeat the old answer without undoing what came in between; the revision is today's."""
    add(client)
    later = client.delete("/favorites/1")

    replay = add(client)

    assert replay.status_code == 201
    assert revision(replay) == revision(later)
    assert client.get("/favorites/1").status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/favorites", {"movie_id": 2}),
        ("POST", "/watchlist", {"movie_id": 1}),
        ("PUT", "/favorites/1", {}),
        ("DELETE", "/favorites/550", None),
    ],
)
def test_key_when_the_request_is_another_then_422(
    client: FlaskClient, method: str, path: str, body: object
) -> None:
    """Refuse a key that came with another method, path or body, and do nothing."""
    add(client)
    before = client.get("/library").data

    answer = client.open(path, method=method, json=body, headers=KEY)

    assert list(assert_problem(answer, 422)["errors"]) == ["Idempotency-Key"]
    assert client.get("/library").data == before


def test_fingerprint_when_given_then_it_stands_for_the_body(client: FlaskClient) -> None:
    """Take a request for the same by what its first sender sent, not by what was filled in."""
    same, other = ({**KEY, "Idempotency-Fingerprint": word} for word in ("a", "b"))
    first = client.post("/favorites", json={"movie_id": 1, "title": "Old"}, headers=same)
    again = client.post("/favorites", json={"movie_id": 1, "title": "New"}, headers=same)
    another = client.post("/favorites", json={"movie_id": 1, "title": "Old"}, headers=other)
    elsewhere = client.post("/watchlist", json={"movie_id": 1, "title": "Old"}, headers=same)

    assert (again.status_code, again.data) == (201, first.data)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert (another.status_code, elsewhere.status_code) == (422, 422)


def test_key_when_the_precondition_failed_then_it_is_free(client: FlaskClient) -> None:
    """Keep no 412: the same write without the condition may follow, and is then what repeats."""
    headers = {**KEY, "Idempotency-Fingerprint": "a"}
    asked = {**headers, "If-Match": "*"}
    first = client.put("/favorites/1", json={"rating": 2}, headers=asked)
    second = client.put("/favorites/1", json={"rating": 2, "title": "A"}, headers=headers)
    again = client.put("/favorites/1", json={"rating": 2}, headers=asked)

    assert (first.status_code, second.status_code) == (412, 201)
    assert (again.status_code, again.data) == (201, second.data)


def test_key_when_another_user_has_it_then_it_is_another_key(client: FlaskClient) -> None:
    """Keep keys per user."""
    add(client)

    assert add(client, 2, X_User_Id="ada").status_code == 201


def test_key_when_the_request_was_invalid_then_it_is_free(client: FlaskClient) -> None:
    """Keep no validation error: the corrected request may carry the same key."""
    refused, corrected = add(client, 0), add(client)

    assert (refused.status_code, corrected.status_code) == (422, 201)
    assert "Idempotency-Replayed" not in corrected.headers


def test_key_when_a_day_has_passed_then_it_is_free(make_app: MakeApp) -> None:
    """Take a key anew after 24 hours, not before; what has expired of any user is dropped."""
    app = make_app()
    client = app.test_client()
    with time_machine.travel("2026-11-24T12:00:00Z", tick=False):
        client.put("/favorites/1", json={"rating": 1}, headers=KEY)
        add(client, X_User_Id="ada")
    with time_machine.travel("2026-11-25T11:59:00Z", tick=False):
        replay = client.put("/favorites/1", json={"rating": 1}, headers=KEY)
    with time_machine.travel("2026-11-25T12:01:00Z", tick=False):
        anew = client.put("/favorites/1", json={"rating": 1}, headers=KEY)

    assert (replay.status_code, replay.headers.get("Idempotency-Replayed")) == (201, "true")
    assert (anew.status_code, anew.headers.get("Idempotency-Replayed")) == (200, None)
    with app.extensions["store"].database.reading() as session:
        assert session.scalar(select(func.count()).select_from(IdempotencyRecord)) == 1


def test_key_when_its_first_request_is_at_work_then_409_and_try_again(make_app: MakeApp) -> None:
    """Say that the answer is not known yet; others' keys and the user's other keys are free."""
    app = make_app()
    client = app.test_client()
    with app.extensions["store"].keys.claimed("demo-user-123", KEY["Idempotency-Key"]):
        refused, other = add(client), add(client, Idempotency_Key="other")
        another = add(client, X_User_Id="ada")
    accepted = add(client, 2)

    problem = assert_problem(refused, 409)
    assert problem["type"] == "urn:problem-type:idempotency-key-in-flight"
    assert refused.headers["Retry-After"] == "1"
    assert [each.status_code for each in (other, another, accepted)] == [201, 201, 201]


def test_key_when_the_database_was_locked_then_it_is_free(
    make_app: MakeApp, database_url: str
) -> None:
    """Keep nothing of a request that the database could not take."""
    client = make_app(busy_timeout_s=0.05).test_client()
    with locked(database_url):
        failed = add(client)
    again = add(client)

    assert (failed.status_code, again.status_code) == (503, 201)
    assert "Idempotency-Replayed" not in again.headers


class TestParallel:
    """The same request from many threads, over two apps on one database of each kind."""

    @pytest.fixture
    def database_url(self, any_database_url: str) -> str:
        """The address of a new database."""
        return any_database_url

    def test_key_when_sent_in_parallel_then_one_request_acts(self, make_app: MakeApp) -> None:
        """Let one of many act; the others get its answer, or hear that it is at work."""
        apps = [make_app(), make_app()]
        before = revision(apps[0].test_client().get("/history"))

        def put(number: int) -> tuple[int, str]:
            client = apps[number % 2].test_client()
            answer = client.put("/history/1", json={"progress": 0.5}, headers=KEY)
            return answer.status_code, answer.headers.get("Idempotency-Replayed", "")

        answers = in_parallel(20, put)

        assert answers.count((201, "")) == 1
        assert set(answers) <= {(201, ""), (201, "true"), (409, "")}
        assert revision(apps[0].test_client().get("/history")) == before + 1
