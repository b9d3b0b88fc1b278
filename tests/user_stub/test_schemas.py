"""Headers and bodies: what is wrong is refused, named, and changes nothing."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.user_stub.conftest import assert_problem

DRAMA = {"id": 18, "name": "Drama"}
JSON = "application/json"
# Per operation and field: the values that are refused.
WRONG_FIELDS: list[tuple[str, str, dict[str, list[Any]]]] = [
    (
        "POST",
        "/favorites",
        {
            "movie_id": [0, -1, 2**31, 2**63, "550", 1.5, True, None],
            "rating": [0, 6, 4.5, "5", True],
            "title": [5, "x" * 501, "nul\x00", "line\nbreak", "half \ud83d"],
            "poster_path": ["/" + "x" * 200, ["/a.jpg"]],
            "release_date": ["", "1999-13-01", "1999-W01-1", "19991015", 1999],
            "genres": [None, "Drama", [DRAMA] * 51],
            "colour": ["red"],
            "half \ud83d": [1],
        },
    ),
    ("POST", "/watchlist", {"rating": [5]}),
    ("PUT", "/favorites/1", {"movie_id": [2]}),
    ("PUT", "/history/1", {"rating": [5], "progress": [-0.1, 1.1, "0.5", True, None, [], 10**400]}),
]


@pytest.mark.parametrize(
    ("method", "path", "field", "values"),
    [(*call, field, values) for *call, fields in WRONG_FIELDS for field, values in fields.items()],
)
def test_body_when_a_field_is_wrong_then_422_naming_it(
    client: FlaskClient, method: str, path: str, field: str, values: list[Any]
) -> None:
    """Refuse a field that is wrong, unknown or another operation's; name it, and do nothing."""
    needed = {"POST": {"movie_id": 1}, "PUT": {"progress": 1} if "history" in path else {}}[method]
    before = client.get("/library").data
    for value in values:
        answer = client.open(path, method=method, json={**needed, field: value})

        errors = assert_problem(answer, 422)["errors"]
        assert list(errors) == [field], value
        assert all(isinstance(text, str) for text in errors[field])
    assert client.get("/library").data == before


def test_body_when_a_genre_is_wrong_then_422(client: FlaskClient) -> None:
    """Say which genre is wrong, and where in it."""
    for genres, name in (
        ([{"id": 18}], "genres.0.name"),
        ([DRAMA, {**DRAMA, "id": "18"}], "genres.1.id"),
        ([5], "genres.0.body"),
        ([{**DRAMA, "colour": "red"}], "genres.0.colour"),
    ):
        answer = client.post("/favorites", json={"movie_id": 1, "genres": genres})

        assert list(assert_problem(answer, 422)["errors"]) == [name]


def test_body_when_a_field_is_missing_then_422_naming_it(client: FlaskClient) -> None:
    """Ask for the film and for the progress."""
    missing = {
        "movie_id": client.post("/favorites", json={}),
        "progress": client.put("/history/1", json={}),
    }

    for name, answer in missing.items():
        assert list(assert_problem(answer, 422)["errors"]) == [name]


def test_body_when_it_is_no_object_of_json_then_422(client: FlaskClient) -> None:
    """Refuse JSON that is not an object, and numbers that JSON does not have."""
    numbers = [f'{{"progress": {number}}}' for number in ("NaN", "Infinity", "-Infinity", "1e400")]
    for body in ("[]", '"text"', "5", "null", "true", *numbers):
        assert_problem(client.put("/history/1", data=body, content_type=JSON), 422)


def test_body_when_an_integer_has_a_decimal_point_then_it_is_one(client: FlaskClient) -> None:
    """Read 7.0 as the integer that it is in JSON Schema."""
    answer = client.post("/favorites", json={"movie_id": 7.0, "rating": 4.0})

    assert answer.status_code == 201
    assert b'"movie_id":7,' in answer.data


WRITE = ("POST", "/favorites", {"movie_id": 1})
PUT = ("PUT", "/favorites/550", {})


@pytest.mark.parametrize(
    ("call", "name", "values"),
    [
        (("GET", "/favorites", None), "X-User-Id", ["", " ", "a b", "x" * 129, "n\xe4me", "d\x7f"]),
        (("DELETE", "/clear", None), "X-User-Id", ["", "tab\there"]),
        (WRITE, "Idempotency-Key", ["", "x" * 256, "k\xe9y", "tab\there"]),
        (WRITE, "Idempotency-Fingerprint", ["", "x" * 129, "two words", "\xe9"]),
        (PUT, "If-Match", ['"a"', ""]),
        (PUT, "If-None-Match", ['"a"', "W/*"]),
        (("GET", "/events", None), "Last-Event-ID", ["", "x", "-1", "1.5", "9" * 19]),
    ],
)
def test_header_when_it_is_malformed_then_422_naming_it(
    client: FlaskClient, call: tuple[str, str, Any], name: str, values: list[str]
) -> None:
    """Refuse headers that are empty, too long, or hold what they may not."""
    method, path, body = call
    before = client.get("/library").data
    for value in values:
        answer = client.open(path, method=method, json=body, headers={name: value})

        assert list(assert_problem(answer, 422)["errors"]) == [name], value
    assert client.get("/library").data == before


def test_header_when_printable_then_accepted(client: FlaskClient) -> None:
    """Accept printable ASCII up to the length, and spaces inside a key."""
    users = ("a", "x" * 128, "auth0|user@example.org", "!~")
    own = [("Idempotency-Key", f"a {'~' * 252}z"), ("Idempotency-Fingerprint", "x" * 128)]
    for name, value in (*own, *(("X-User-Id", user) for user in users)):
        answer = client.put("/favorites/1", json={}, headers={name: value})

        assert answer.status_code in (200, 201), value
