"""Bad input: each kind has its status and a problem document, and nothing is changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

MEMBERS = {"type", "title", "status", "detail", "instance", "request_id"}


def assert_problem(answer: TestResponse, status: int) -> dict[str, Any]:
    """Assert that an answer is a problem document with the status; return the document."""
    assert answer.status_code == status, answer.text
    assert answer.content_type == "application/problem+json"
    assert answer.headers["Cache-Control"] == "no-store"
    document: dict[str, Any] = json.loads(answer.data)
    assert set(document) >= MEMBERS
    assert document["status"] == status
    assert document["request_id"] == answer.headers["X-Request-ID"]
    return document


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
def test_post_wrong_field_is_422_naming_it(client: FlaskClient, field: str, value: Any) -> None:
    """Refuse a field that is wrong or unknown, name it, and add nothing."""
    before = client.get("/library").data

    answer = client.post("/favorites", json={"movie_id": 1, field: value})

    errors = assert_problem(answer, 422)["errors"]
    assert list(errors) == [field.replace("\ud83d", "?")]
    assert all(isinstance(text, str) for text in errors[field.replace("\ud83d", "?")])
    assert client.get("/library").data == before


@pytest.mark.parametrize(
    ("genres", "name"),
    [
        ([{"id": 18}], "genres.0.name"),
        ([{"id": 18, "name": "Drama"}, {"id": "18", "name": "Drama"}], "genres.1.id"),
        ([5], "genres.0"),
        ([{"id": 18, "name": "Drama", "colour": "red"}], "genres.0.colour"),
    ],
)
def test_post_wrong_genre_is_422_with_its_place(
    client: FlaskClient, genres: list[Any], name: str
) -> None:
    """Say which genre is wrong, and where in it."""
    answer = client.post("/favorites", json={"movie_id": 1, "genres": genres})

    (found,) = assert_problem(answer, 422)["errors"]
    assert found.removesuffix(".body") == name


@pytest.mark.parametrize("progress", [-0.1, 1.1, "0.5", True, None, [], 10**400])
def test_history_wrong_progress_is_422(client: FlaskClient, progress: Any) -> None:
    """Refuse progress that is not a number from 0 to 1."""
    answer = client.put("/history/1", json={"progress": progress})

    assert list(assert_problem(answer, 422)["errors"]) == ["progress"]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400"])
def test_history_progress_that_is_no_json_number_is_422(client: FlaskClient, number: str) -> None:
    """Refuse numbers that JSON does not have."""
    answer = client.put(
        "/history/1", data=f'{{"progress": {number}}}', content_type="application/json"
    )

    assert_problem(answer, 422)


def test_history_without_progress_is_422(client: FlaskClient) -> None:
    """Ask for the progress."""
    answer = client.put("/history/1", json={})

    assert list(assert_problem(answer, 422)["errors"]) == ["progress"]


@pytest.mark.parametrize("path", ["/watchlist", "/history/1"])
def test_rating_outside_of_favorites_is_422(client: FlaskClient, path: str) -> None:
    """Know a rating for favourites only."""
    body = {"rating": 5, **({"progress": 1} if path == "/history/1" else {"movie_id": 1})}

    answer = client.open(path, method="PUT" if path == "/history/1" else "POST", json=body)

    assert list(assert_problem(answer, 422)["errors"]) == ["rating"]


def test_put_with_movie_id_in_the_body_is_422(client: FlaskClient) -> None:
    """Take the film from the address alone."""
    answer = client.put("/favorites/1", json={"movie_id": 2})

    assert list(assert_problem(answer, 422)["errors"]) == ["movie_id"]


@pytest.mark.parametrize("body", ["[]", '"text"', "5", "null", "true"])
def test_body_that_is_no_object_is_422(client: FlaskClient, body: str) -> None:
    """Refuse JSON that is not an object."""
    answer = client.post("/favorites", data=body, content_type="application/json")

    assert_problem(answer, 422)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"movie_id": 1',
        b'{"movie_id": 1}}',
        b'{"title": "\xff\xfe"}',
        b"[" * 60_000,
        b'{"movie_id": ' + b"1" * 10_000 + b"}",
    ],
    ids=["empty", "brace", "cut", "surplus", "not-utf8", "deep", "digits"],
)
def test_body_that_is_not_json_is_400(client: FlaskClient, body: bytes) -> None:
    """Refuse a body that cannot be decoded."""
    answer = client.post("/favorites", data=body, content_type="application/json")

    assert_problem(answer, 400)


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ('{"movie_id": 1, "movie_id": 2}', "'movie_id'"),
        ('{"movie_id": 1, "genres": [{"id": 1, "name": "a", "id": 2}]}', "'id'"),
        (r'{"\ud800": 1, "\ud800": 2}', r"'\ud800'"),
    ],
)
def test_body_with_a_key_twice_is_400(client: FlaskClient, body: str, name: str) -> None:
    """Refuse what readers of JSON understand in different ways, and name the key."""
    answer = client.post("/favorites", data=body, content_type="application/json")

    assert assert_problem(answer, 400)["detail"] == f"the body has the key {name} more than once"


@pytest.mark.parametrize(
    "content_type", [None, "", "text/plain", "application/x-www-form-urlencoded", "multipart/x"]
)
def test_body_of_another_type_is_415(client: FlaskClient, content_type: str | None) -> None:
    """Refuse a body that is not declared as JSON."""
    answer = client.post("/favorites", data=b'{"movie_id": 1}', content_type=content_type)

    assert_problem(answer, 415)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/favorites"),
        ("PUT", "/history/1"),
        ("DELETE", "/favorites/550"),
        ("POST", "/reset"),
        ("GET", "/favorites"),
    ],
)
def test_body_above_64_kb_is_413(client: FlaskClient, method: str, path: str) -> None:
    """Refuse a large body on any operation, and do nothing."""
    before = client.get("/library").data

    answer = client.open(
        path, method=method, data=b" " * 2_000_000, content_type="application/json"
    )

    assert_problem(answer, 413)
    assert client.get("/library").data == before


@pytest.mark.parametrize(
    "movie_id",
    ["0", "-1", str(2**31), str(2**63), "abc", "1.0", "05", "+5", "%205", "%D9%A5", "a%00b"],
)
@pytest.mark.parametrize("path", ["/favorites", "/watchlist", "/history"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_wrong_id_in_the_path_is_422(
    client: FlaskClient, method: str, path: str, movie_id: str
) -> None:
    """Refuse an id that is not an integer in range."""
    body = {"progress": 1} if path == "/history" else {}

    answer = client.open(
        f"{path}/{movie_id}", method=method, json=body if method == "PUT" else None
    )

    assert list(assert_problem(answer, 422)["errors"]) == ["movie_id"]


@pytest.mark.parametrize(
    "query", ["page=1", "page", "a=1&a=2", "x=%FF%FE", "q=" + "x" * 10_000, "%F0%9F%8E%AC=1"]
)
@pytest.mark.parametrize(
    "path", ["/favorites", "/favorites/550", "/library", "/history", "/health"]
)
def test_unknown_query_parameter_is_422(client: FlaskClient, path: str, query: str) -> None:
    """Refuse query parameters, which no operation has."""
    answer = client.get(f"{path}?{query}")

    assert len(assert_problem(answer, 422)["errors"]) == 1


@pytest.mark.parametrize("user", ["", " ", "a b", "x" * 129, "tab\there", "n\xe4me", "del\x7f"])
@pytest.mark.parametrize(("method", "path"), [("GET", "/favorites"), ("DELETE", "/clear")])
def test_malformed_user_is_422(client: FlaskClient, method: str, path: str, user: str) -> None:
    """Refuse user ids that are empty, too long or not printable ASCII."""
    answer = client.open(path, method=method, headers={"X-User-Id": user})

    assert list(assert_problem(answer, 422)["errors"]) == ["X-User-Id"]


@pytest.mark.parametrize("user", ["a", "x" * 128, "auth0|user@example.org", "!~"])
def test_printable_user_is_accepted(client: FlaskClient, user: str) -> None:
    """Accept any printable ASCII without spaces."""
    assert client.get("/favorites", headers={"X-User-Id": user}).status_code == 200


@pytest.mark.parametrize("path", ["/", "/nowhere", "/favorites/1/2", "/favorites/", "/FAVORITES"])
def test_unknown_path_is_404(client: FlaskClient, path: str) -> None:
    """Answer 404 with a problem document where nothing is."""
    assert_problem(client.get(path), 404)


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PATCH", "/favorites/1", "DELETE, GET, HEAD, OPTIONS, PUT"),
        ("DELETE", "/favorites", "GET, HEAD, OPTIONS, POST"),
        ("POST", "/history", "GET, HEAD, OPTIONS"),
        ("GET", "/reset", "OPTIONS, POST"),
        ("GET", "/clear", "DELETE, OPTIONS"),
        ("TRACE", "/health", "GET, HEAD, OPTIONS"),
    ],
)
def test_other_method_is_405_with_allow(
    client: FlaskClient, method: str, path: str, allow: str
) -> None:
    """Name the methods that an address knows."""
    answer = client.open(path, method=method)

    assert_problem(answer, 405)
    assert answer.headers["Allow"] == allow


@pytest.mark.parametrize("path", ["/favorites", "/favorites/1", "/docs", "/health"])
def test_options_is_204_with_allow_and_nothing_else(client: FlaskClient, path: str) -> None:
    """Name the methods; there is no content that could have a type."""
    answer = client.options(path)

    assert (answer.status_code, answer.data) == (204, b"")
    assert "GET" in answer.headers["Allow"]
    assert "Content-Type" not in answer.headers


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/health", "/favorites"])
def test_query_of_an_address_without_parameters_is_422(client: FlaskClient, path: str) -> None:
    """Ignore no parameter, on the documentation's pages neither."""
    assert list(assert_problem(client.get(f"{path}?x=1"), 422)["errors"]) == ["x"]


def test_bug_is_500_with_nothing_of_the_inside(
    make_app: Callable[..., Flask], caplog: pytest.LogCaptureFixture
) -> None:
    """Log a bug with its traceback and say nothing about it outside."""
    app = make_app()

    def broken() -> None:
        raise KeyError("secret /etc/path")

    app.add_url_rule("/broken", "broken", broken)

    answer = app.test_client().get("/broken")

    document = assert_problem(answer, 500)
    assert "secret" not in answer.text
    assert document["detail"] == "an error on our side"
    assert any(record.exc_info for record in caplog.records)
    assert document["request_id"] in caplog.text
