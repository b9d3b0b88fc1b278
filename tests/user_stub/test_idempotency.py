"""Idempotency keys: a repeated request acts once."""

from __future__ import annotations

from typing import Any

import pytest
import time_machine
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from tests.user_stub.conftest import MakeApp, assert_problem, in_parallel, locked, revision
from user_stub.models import IdempotencyRecord
from user_stub.store import Store

KEY = {"Idempotency-Key": "0b7a6c1e"}


def add(client: FlaskClient, movie_id: int = 1, **headers: str) -> TestResponse:
    """Add a favourite with the key."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post("/favorites", json={"movie_id": movie_id}, headers={**KEY, **named})


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
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
    ],
)
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
        own = {"request_id": second.headers["X-Request-ID"]}
        assert second.json == {**(first.json or {}), **own}


def test_write_when_repeated_later_then_it_changes_nothing(client: FlaskClient) -> None:
    """Repeat the old answer without undoing what came in between; the revision is today's."""
    add(client)
    later = client.delete("/favorites/1")

    replay = add(client)

    assert (replay.status_code, revision(replay)) == (201, revision(later))
    assert client.get("/favorites/1").status_code == 404


def test_key_when_the_request_is_another_then_422(client: FlaskClient) -> None:
    """Refuse a key that came with another method, path or body, and do nothing."""
    add(client)
    before = client.get("/library").data
    for method, path, body in (
        ("POST", "/favorites", {"movie_id": 2}),
        ("POST", "/watchlist", {"movie_id": 1}),
        ("PUT", "/favorites/1", {}),
        ("DELETE", "/favorites/550", None),
    ):
        answer = client.open(path, method=method, json=body, headers=KEY)

        assert list(assert_problem(answer, 422)["errors"]) == ["Idempotency-Key"]
    assert client.get("/library").data == before


def test_fingerprint_when_given_then_it_stands_for_the_body(client: FlaskClient) -> None:
    """Take a request for the same by what its first sender sent, not by what was filled in."""

    def post(path: str, title: str, fingerprint: str) -> TestResponse:
        headers = {**KEY, "Idempotency-Fingerprint": fingerprint}
        return client.post(path, json={"movie_id": 1, "title": title}, headers=headers)

    first = post("/favorites", "Old", "a")
    again = post("/favorites", "New", "a")

    assert (again.status_code, again.data) == (201, first.data)
    assert post("/favorites", "Old", "b").status_code == 422
    assert post("/watchlist", "Old", "a").status_code == 422


def test_key_when_nothing_was_done_then_free(make_app: MakeApp, database_url: str) -> None:
    """Keep no 422, no 412 and no 503: the same key may come again, and then acts."""
    client = make_app(busy_timeout_s=0.05).test_client()
    invalid = add(client, 0)
    only_change = client.put("/favorites/1", json={}, headers={**KEY, "If-Match": "*"})
    with locked(database_url):
        busy = add(client)

    accepted = add(client)

    assert [each.status_code for each in (invalid, only_change, busy)] == [422, 412, 503]
    assert accepted.status_code == 201
    assert "Idempotency-Replayed" not in accepted.headers


def test_key_when_a_day_has_passed_then_free(store: Store, make_app: MakeApp) -> None:
    """Take a key anew after 24 hours, not before; what has expired of any user is dropped."""
    client = make_app().test_client()
    with time_machine.travel("2026-11-24T12:00:00Z", tick=False):
        client.put("/favorites/1", json={"rating": 1}, headers=KEY)
        add(client, X_User_Id="ada")
    answers = []
    for later in ("2026-11-25T11:59:00Z", "2026-11-25T12:01:00Z"):
        with time_machine.travel(later, tick=False):
            answer = client.put("/favorites/1", json={"rating": 1}, headers=KEY)
        answers.append((answer.status_code, answer.headers.get("Idempotency-Replayed")))

    assert answers == [(201, "true"), (200, None)]
    with store.database.reading() as session:
        assert len(session.scalars(select(IdempotencyRecord)).all()) == 1


def test_key_when_its_request_is_in_progress_then_409(make_app: MakeApp) -> None:
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


def test_key_when_sent_in_parallel_then_one_acts(make_app: MakeApp, any_database_url: str) -> None:
    """Let one of many act, over two apps; the others get its answer or hear of it."""
    apps = [make_app(database_url=any_database_url) for _ in range(2)]
    before = revision(apps[0].test_client().get("/history"))

    def put(number: int) -> tuple[int, Any]:
        client = apps[number % 2].test_client()
        answer = client.put("/history/1", json={"progress": 0.5}, headers=KEY)
        return answer.status_code, answer.headers.get("Idempotency-Replayed")

    answers = in_parallel(20, put)

    assert answers.count((201, None)) == 1
    assert set(answers) <= {(201, None), (201, "true"), (409, None)}
    assert revision(apps[0].test_client().get("/history")) == before + 1
