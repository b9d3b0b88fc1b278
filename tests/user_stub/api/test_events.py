"""The event stream over HTTP."""

from __future__ import annotations

from flask import Flask
from flask.testing import FlaskClient

from tests.user_stub.conftest import assert_problem
from tests.user_stub.stream import Message, changes_until, messages


def test_stream_when_opened_then_it_is_not_buffered(client: FlaskClient) -> None:
    """Answer an event stream of unknown length that nothing on the way may hold back."""
    answer = client.get("/events", buffered=False)

    assert next(messages(answer.iter_encoded())) == Message("beat", 1, {"seq": 1})
    answer.close()
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/event-stream"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Accel-Buffering"] == "no"
    assert "Content-Length" not in answer.headers


def test_stream_when_calls_change_nothing_then_nothing_is_sent(client: FlaskClient) -> None:
    """Send one message for each change, none for a refused, a repeated and a replayed one."""
    client.post("/favorites", json={"movie_id": 550})
    client.put("/favorites/550", json={"rating": 5})
    for _ in range(2):
        client.post("/favorites", json={"movie_id": 7}, headers={"Idempotency-Key": "once"})
    client.put("/favorites/1", json={}, headers={"X-User-Id": "ada"})

    answer = client.get("/events", headers={"Last-Event-ID": "1"}, buffered=False)

    found = changes_until(messages(answer.iter_encoded()), 3)
    answer.close()
    assert [each.data["user"] for each in found] == ["demo-user-123", "ada"]


def test_stream_when_head_is_asked_then_none_is_opened(app: Flask, client: FlaskClient) -> None:
    """Answer HEAD with the headers alone."""
    answer = client.head("/events")

    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/event-stream"
    assert app.extensions["store"].streams.count == 0


def test_stream_when_there_are_32_then_503_until_one_leaves(client: FlaskClient) -> None:
    """Keep threads for other calls: take another stream only once there is a slot."""
    opened = [client.get("/events", buffered=False) for _ in range(32)]

    refused = client.get("/events")
    read = client.get("/favorites")
    opened.pop().close()
    opened.append(client.get("/events", buffered=False))

    assert_problem(refused, 503)
    assert refused.headers["Retry-After"] == "10"
    assert (read.status_code, opened[-1].status_code) == (200, 200)
    for answer in opened:
        answer.close()
    assert client.application.extensions["store"].streams.count == 0
