"""Idempotency keys: a repeated request acts once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient

from tests.user_stub.locked import locked

MakeApp = Callable[..., Flask]
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


@pytest.mark.parametrize(("method", "path", "body", "status"), WRITES)
def test_same_key_and_request_replays_the_answer(
    client: FlaskClient, method: str, path: str, body: object, status: int
) -> None:
    """Act once; answer the repetition with the stored status and body, marked as replayed."""
    first = client.open(path, method=method, json=body, headers=KEY)
    second = client.open(path, method=method, json=body, headers=KEY)

    assert (first.status_code, second.status_code) == (status, status)
    assert "Idempotency-Replayed" not in first.headers
    assert second.headers["Idempotency-Replayed"] == "true"
    for name in ("Location", "X-Library-Revision"):
        assert second.headers.get(name) == first.headers.get(name)
    if status < 400:
        assert second.data == first.data
    else:
        assert first.json is not None
        assert second.json is not None
        assert second.json == {**first.json, "request_id": second.headers["X-Request-ID"]}


def test_replay_after_other_changes_changes_nothing(client: FlaskClient) -> None:
    """Replay the old answer without undoing what came in between; the revision is today's."""
    client.post("/favorites", json={"movie_id": 1}, headers=KEY)
    later = client.delete("/favorites/1")

    replay = client.post("/favorites", json={"movie_id": 1}, headers=KEY)

    assert replay.status_code == 201
    assert replay.headers["X-Library-Revision"] == later.headers["X-Library-Revision"]
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
def test_same_key_and_another_request_is_422(
    client: FlaskClient, method: str, path: str, body: object
) -> None:
    """Refuse a key that came with another method, path or body, and do nothing."""
    client.post("/favorites", json={"movie_id": 1}, headers=KEY)
    before = client.get("/library").data

    answer = client.open(path, method=method, json=body, headers=KEY)

    assert answer.status_code == 422
    assert answer.json is not None
    assert list(answer.json["errors"]) == ["Idempotency-Key"]
    assert client.get("/library").data == before


def test_fingerprint_stands_for_the_body(client: FlaskClient) -> None:
    """Take a request for the same by what its first sender sent, not by what was filled in."""
    same, other = ({**KEY, "Idempotency-Fingerprint": word} for word in ("a", "b"))
    first = client.post("/favorites", json={"movie_id": 1, "title": "Old"}, headers=same)
    again = client.post("/favorites", json={"movie_id": 1, "title": "New"}, headers=same)
    another = client.post("/favorites", json={"movie_id": 1, "title": "Old"}, headers=other)
    elsewhere = client.post("/watchlist", json={"movie_id": 1, "title": "Old"}, headers=same)

    assert (again.status_code, again.data) == (201, first.data)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert (another.status_code, elsewhere.status_code) == (422, 422)


def test_key_of_a_request_whose_precondition_failed_is_free(client: FlaskClient) -> None:
    """Keep no 412: the same write without the condition may follow, and is then what repeats."""
    headers = {**KEY, "Idempotency-Fingerprint": "a"}
    asked = {**headers, "If-Match": "*"}
    first = client.put("/favorites/1", json={"rating": 2}, headers=asked)
    second = client.put("/favorites/1", json={"rating": 2, "title": "A"}, headers=headers)
    again = client.put("/favorites/1", json={"rating": 2}, headers=asked)

    assert (first.status_code, second.status_code) == (412, 201)
    assert (again.status_code, again.data) == (201, second.data)


@pytest.mark.parametrize("word", ["", "x" * 129, "two words", "\xe9"])
def test_malformed_fingerprint_is_422(client: FlaskClient, word: str) -> None:
    """Refuse fingerprints that are empty, too long or not printable ASCII."""
    fingerprint = {"Idempotency-Fingerprint": word}
    for headers in (fingerprint, {**KEY, **fingerprint}):
        answer = client.post("/favorites", json={"movie_id": 1}, headers=headers)

        assert answer.status_code == 422
        assert answer.json is not None
        assert list(answer.json["errors"]) == ["Idempotency-Fingerprint"]


def test_same_key_of_another_user_is_another_key(client: FlaskClient) -> None:
    """Keep keys per user."""
    client.post("/favorites", json={"movie_id": 1}, headers=KEY)

    answer = client.post("/favorites", json={"movie_id": 2}, headers={**KEY, "X-User-Id": "ada"})

    assert answer.status_code == 201


def test_request_that_was_refused_leaves_the_key_free(client: FlaskClient) -> None:
    """Store no validation error: the corrected request may carry the same key."""
    refused = client.post("/favorites", json={"movie_id": 0}, headers=KEY)
    corrected = client.post("/favorites", json={"movie_id": 1}, headers=KEY)

    assert (refused.status_code, corrected.status_code) == (422, 201)
    assert "Idempotency-Replayed" not in corrected.headers


@pytest.mark.parametrize("key", ["", "x" * 256, "k\xe9y", "tab\there"])
def test_malformed_key_is_422(client: FlaskClient, key: str) -> None:
    """Refuse keys that are empty, too long or not printable ASCII."""
    answer = client.post("/favorites", json={"movie_id": 1}, headers={"Idempotency-Key": key})

    assert answer.status_code == 422
    assert answer.json is not None
    assert list(answer.json["errors"]) == ["Idempotency-Key"]
    assert client.get("/favorites/1").status_code == 404


def test_longest_key_is_accepted(client: FlaskClient) -> None:
    """Accept 255 printable characters, inner spaces among them."""
    key = f"a {'~' * 252}z"

    answer = client.post("/favorites", json={"movie_id": 1}, headers={"Idempotency-Key": key})

    assert answer.status_code == 201


def test_key_after_a_day_is_forgotten(client: FlaskClient) -> None:
    """Take a key anew after 24 hours, not before."""
    with time_machine.travel("2026-11-24T12:00:00Z", tick=False):
        client.put("/favorites/1", json={"rating": 1}, headers=KEY)
    with time_machine.travel("2026-11-25T11:59:00Z", tick=False):
        replay = client.put("/favorites/1", json={"rating": 1}, headers=KEY)
    with time_machine.travel("2026-11-25T12:01:00Z", tick=False):
        anew = client.put("/favorites/1", json={"rating": 1}, headers=KEY)

    assert (replay.status_code, replay.headers.get("Idempotency-Replayed")) == (201, "true")
    assert (anew.status_code, anew.headers.get("Idempotency-Replayed")) == (200, None)


def test_expired_keys_of_all_users_are_purged(make_app: MakeApp) -> None:
    """Drop what has expired when somebody writes with a key later."""
    app = make_app()
    client = app.test_client()
    with time_machine.travel("2026-11-24T12:00:00Z", tick=False):
        for number in range(3):
            headers = {"Idempotency-Key": "k", "X-User-Id": f"user-{number}"}
            client.post("/favorites", json={"movie_id": 1}, headers=headers)
    with time_machine.travel("2026-11-26T12:00:00Z", tick=False):
        client.post("/favorites", json={"movie_id": 1}, headers=KEY)

    assert app.extensions["store"].count_keys() == 1


def test_key_in_flight_is_409_and_the_first_completes(make_app: MakeApp, database_url: str) -> None:
    """Answer 409 while the first request with the key is worked on; it acts once."""
    app = make_app()
    statuses: list[int] = []

    def post() -> None:
        answer = app.test_client().post("/favorites", json={"movie_id": 1}, headers=KEY)
        statuses.append(answer.status_code)

    with locked(database_url):
        first = threading.Thread(target=post)
        first.start()
        while not app.extensions["store"].in_flight:
            pass
        second = app.test_client().post("/favorites", json={"movie_id": 1}, headers=KEY)
    first.join(10)

    assert second.status_code == 409
    assert second.headers["Retry-After"] == "1"
    assert second.json is not None
    assert second.json["type"] == "urn:problem-type:idempotency-key-in-flight"
    assert statuses == [201]


def test_parallel_requests_with_one_key_act_once(app: Flask) -> None:
    """Let one of many act; the others are told that it is in flight or get its answer."""
    answers: list[tuple[int, str]] = []
    together = threading.Barrier(16)

    def put() -> None:
        client = app.test_client()
        together.wait()
        answer = client.put("/history/1", json={"progress": 0.5}, headers=KEY)
        answers.append((answer.status_code, answer.headers.get("Idempotency-Replayed", "")))

    before = int(app.test_client().get("/history").headers["X-Library-Revision"])
    calls = [threading.Thread(target=put) for _ in range(16)]
    for call in calls:
        call.start()
    for call in calls:
        call.join(15)

    assert answers.count((201, "")) == 1
    assert set(answers) <= {(201, ""), (201, "true"), (409, "")}
    after = int(app.test_client().get("/history").headers["X-Library-Revision"])
    assert after == before + 1


def test_failed_write_leaves_the_key_free(make_app: MakeApp, database_url: str) -> None:
    """Store nothing of a request that the database could not take."""
    client = make_app(busy_timeout_s=0.05).test_client()
    with locked(database_url):
        failed = client.post("/favorites", json={"movie_id": 1}, headers=KEY)
    again = client.post("/favorites", json={"movie_id": 1}, headers=KEY)

    assert (failed.status_code, again.status_code) == (503, 201)
    assert "Idempotency-Replayed" not in again.headers
