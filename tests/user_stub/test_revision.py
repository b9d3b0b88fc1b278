"""The revision of a user's library."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse


def revision(answer: TestResponse) -> int:
    """Return the revision that an answer carries."""
    return int(answer.headers["X-Library-Revision"])


def test_revision_rises_with_each_change(client: FlaskClient) -> None:
    """Count one up per change, in the answer of the change and of every read after it."""
    seen = [revision(client.get("/favorites"))]
    changes: list[tuple[str, str, object]] = [
        ("POST", "/favorites", {"movie_id": 1}),
        ("PUT", "/favorites/1", {"rating": 3}),
        ("PUT", "/history/1", {"progress": 0.3}),
        ("PUT", "/history/1", {"progress": 0.3}),
        ("DELETE", "/favorites/1", None),
        ("POST", "/reset", None),
        ("DELETE", "/clear", None),
    ]
    for method, path, body in changes:
        seen.append(revision(client.open(path, method=method, json=body)))
        for read in ("/favorites", "/watchlist", "/history", "/library"):
            assert revision(client.get(read)) == seen[-1]

    assert seen == list(range(seen[0], seen[0] + 8))


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/favorites", {"movie_id": 550}, 409),
        ("PUT", "/favorites/550", {"rating": 5}, 200),
        ("PUT", "/watchlist/680", {}, 200),
        ("DELETE", "/favorites/1", None, 404),
        ("DELETE", "/history/1", None, 404),
        ("GET", "/favorites/1", None, 404),
    ],
)
def test_revision_without_a_change_stays(
    client: FlaskClient, method: str, path: str, body: object, status: int
) -> None:
    """Answer the same revision where nothing has changed."""
    before = revision(client.get("/library"))

    answer = client.open(path, method=method, json=body)

    assert answer.status_code == status
    assert revision(answer) == before
    assert revision(client.get("/library")) == before


def test_revision_belongs_to_the_user(client: FlaskClient) -> None:
    """Leave the revision of others alone; a user without data has 0."""
    before = revision(client.get("/favorites"))
    client.post("/favorites", json={"movie_id": 1}, headers={"X-User-Id": "ada"})

    assert revision(client.get("/favorites")) == before
    assert revision(client.get("/favorites", headers={"X-User-Id": "ada"})) == 1
    assert revision(client.get("/favorites", headers={"X-User-Id": "bob"})) == 0


def test_library_gives_all_lists_and_their_revision(client: FlaskClient) -> None:
    """Answer the lists as their own addresses do, with the revision in body and header."""
    client.put("/history/1", json={"progress": 0.5})

    answer = client.get("/library")

    assert answer.json is not None
    for name in ("favorites", "watchlist", "history"):
        alone = client.get(f"/{name}").json
        assert alone is not None
        assert answer.json[name] == alone[name]
    assert answer.json["revision"] == revision(answer)
    assert sorted(answer.json) == ["favorites", "history", "revision", "watchlist"]
