"""Headers and bodies: what is wrong is refused, named, and changes nothing."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.user_stub.conftest import assert_problem


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("movie_id", 0),
        ("movie_id", -1),
        ("movie_id", 2**31),
        ("movie_id", 2**63),
        ("movie_id", "550"),
        ("movie_id", 1.5),
        ("movie_id", True),
        ("movie_id", None),
        ("rating", 0),
        ("rating", 6),
        ("rating", 4.5),
        ("rating", "5"),
        ("rating", True),
        ("title", 5),
        ("title", "x" * 501),
        ("title", "nul\x00"),
        ("title", "line\nbreak"),
        ("title", "half \ud83d"),
        ("poster_path", "/" + "x" * 200),
        ("poster_path", ["/a.jpg"]),
        ("release_date", ""),
        ("release_date", "1999-13-01"),
        ("release_date", "1999-W01-1"),
        ("release_date", "19991015"),
        ("release_date", 1999),
        ("genres", None),
        ("genres", "Drama"),
        ("genres", [{"id": 18, "name": "Drama"}] * 51),
        ("colour", "red"),
        ("half \ud83d", 1),
    ],
)
def test_body_when_a_field_is_wrong_then_422_naming_it(
    client: FlaskClient, field: str, value: Any
) -> None:
    """Refuse a field that is wrong or unknown, name it, and add nothing."""
    before = client.get("/library").data

    answer = client.post("/favorites", json={"movie_id": 1, field: value})

    errors = assert_problem(answer, 422)["errors"]
    assert list(errors) == [field]
    assert all(isinstance(text, str) for text in errors[field])
    assert client.get("/library").data == before


@pytest.mark.parametrize(
    ("genres", "name"),
    [
        ([{"id": 18}], "genres.0.name"),
        ([{"id": 18, "name": "Drama"}, {"id": "18", "name": "Drama"}], "genres.1.id"),
        ([5], "genres.0.body"),
        ([{"id": 18, "name": "Drama", "colour": "red"}], "genres.0.colour"),
    ],
)
def test_body_when_a_genre_is_wrong_then_422_with_its_place(
    client: FlaskClient, genres: list[Any], name: str
) -> None:
    """Say which genre is wrong, and where in it."""
    answer = client.post("/favorites", json={"movie_id": 1, "genres": genres})

    assert list(assert_problem(answer, 422)["errors"]) == [name]


@pytest.mark.parametrize("progress", [-0.1, 1.1, "0.5", True, None, [], 10**400])
def test_history_body_when_progress_is_wrong_then_422(client: FlaskClient, progress: Any) -> None:
    """Refuse progress that is not a number from 0 to 1."""
    answer = client.put("/history/1", json={"progress": progress})

    assert list(assert_problem(answer, 422)["errors"]) == ["progress"]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400"])
def test_history_body_when_progress_is_no_json_number_then_422(
    client: FlaskClient, number: str
) -> None:
    """Refuse numbers that JSON does not have."""
    answer = client.put(
        "/history/1", data=f'{{"progress": {number}}}', content_type="application/json"
    )

    assert_problem(answer, 422)


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("PUT", "/history/1", {}, "progress"),
        ("PUT", "/history/1", {"progress": 1, "rating": 5}, "rating"),
        ("POST", "/favorites", {}, "movie_id"),
        ("POST", "/watchlist", {"movie_id": 1, "rating": 5}, "rating"),
        ("PUT", "/favorites/1", {"movie_id": 2}, "movie_id"),
    ],
)
def test_body_when_a_field_is_missing_or_elsewheres_then_422_naming_it(
    client: FlaskClient, method: str, path: str, body: Any, field: str
) -> None:
    """Ask for what must be there; take a rating for favourites only, the id from the path only."""
    answer = client.open(path, method=method, json=body)

    assert list(assert_problem(answer, 422)["errors"]) == [field]


@pytest.mark.parametrize("body", ["[]", '"text"', "5", "null", "true"])
def test_body_when_it_is_no_object_then_422(client: FlaskClient, body: str) -> None:
    """Refuse JSON that is not an object."""
    answer = client.post("/favorites", data=body, content_type="application/json")

    assert_problem(answer, 422)


def test_body_when_an_integer_has_a_decimal_point_then_it_is_one(client: FlaskClient) -> None:
    """Read 7.0 as the integer that it is in JSON Schema."""
    answer = client.post("/favorites", json={"movie_id": 7.0, "rating": 4.0})

    assert answer.status_code == 201
    assert b'"movie_id":7,' in answer.data


WRITE = ("POST", "/favorites", {"movie_id": 1})
PUT = ("PUT", "/favorites/550", {})
KEY = "Idempotency-Key"


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


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("X-User-Id", user) for user in ("a", "x" * 128, "auth0|user@example.org", "!~")),
        ("Idempotency-Key", f"a {'~' * 252}z"),
        ("Idempotency-Fingerprint", "x" * 128),
    ],
)
def test_header_when_it_is_printable_then_it_is_accepted(
    client: FlaskClient, name: str, value: str
) -> None:
    """Accept printable ASCII up to the length, and spaces inside a key."""
    answer = client.post("/favorites", json={"movie_id": 1}, headers={name: value})

    assert answer.status_code == 201
