"""Bodies of writes: what is refused, with which status, and that nothing is half-written."""

from __future__ import annotations

import json
from collections.abc import Iterator

import orjson
import pytest

from tests.api.openapi import ContractClient
from tests.api.upstreams import Upstream

JSON = "application/json"


@pytest.fixture(autouse=True)
def _nothing_is_written(users: Upstream) -> Iterator[None]:
    """After each test no write has reached the user service."""
    yield
    assert [call for call in users.calls if call.method != "GET"] == []


WRITES = [
    ("POST", "/api/users/favorites"),
    ("PUT", "/api/users/favorites/13"),
    ("POST", "/api/users/watchlist"),
    ("PUT", "/api/users/watchlist/680"),
    ("PUT", "/api/users/history/550"),
]
writes = pytest.mark.parametrize(("method", "path"), WRITES)


@writes
def test_body_when_it_is_not_json_then_it_is_400(
    client: ContractClient, method: str, path: str, tmdb: Upstream, subtests: pytest.Subtests
) -> None:
    """What cannot be read as JSON is malformed; no upstream is asked."""
    bodies = {
        "empty": b"",
        "cut": b"{",
        "words": b"not json",
        "comma": b'{"movie_id": 13,}',
        "broken-utf8": b'{"title": "\xff\xfe"}',
        "nul": b"\x00",
        "deep": b"[" * 20_000,
        "endless-number": b'{"movie_id": ' + b"9" * 5_000 + b"}",
    }
    for name, body in bodies.items():
        with subtests.test(body=name):
            response = client.open(path, method=method, data=body, content_type=JSON)

            assert response.status_code == 400
            assert response.json["type"] == "/problems/malformed"
    assert not tmdb.calls


@writes
def test_body_when_it_is_not_declared_as_json_then_it_is_415(
    client: ContractClient, method: str, path: str, subtests: pytest.Subtests
) -> None:
    """A form that another site sends is refused, whatever it holds."""
    body = b'{"movie_id": 13, "progress": 0.5}'
    forms = ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data")
    for content_type in (*forms, None):
        with subtests.test(content_type=content_type):
            response = client.open(path, method=method, data=body, content_type=content_type)

            assert response.status_code == 415


@writes
@pytest.mark.parametrize(
    ("body", "key"),
    [
        ('{"movie_id": 1, "movie_id": 2}', "movie_id"),
        ('{"rating": 5, "rating": 5}', "rating"),
        (r'{"title": "a", "t\u0069tle": "b"}', "title"),
        ('{"genres": [{"id": 1, "id": 2}]}', "id"),
        ('{"😀": 1, "😀": 2}', "😀"),
    ],
)
def test_body_when_it_has_a_key_twice_then_it_is_400_and_named(
    client: ContractClient, method: str, path: str, body: str, key: str, tmdb: Upstream
) -> None:
    """Which of two values is meant nobody can know; readers of JSON differ."""
    response = client.open(path, method=method, data=body, content_type=JSON)

    assert response.status_code == 400
    assert response.json["type"] == "/problems/malformed"
    assert response.json["detail"] == f"the body has the key '{key}' more than once"
    assert not tmdb.calls


@writes
def test_body_when_it_is_2_mb_then_it_is_413(
    client: ContractClient, method: str, path: str
) -> None:
    """A body above the limit is not read."""
    body = b'{"title": "' + b"x" * 2_000_000 + b'"}'
    response = client.open(path, method=method, data=body, content_type=JSON)

    assert response.status_code == 413


@writes
def test_body_when_it_is_no_object_then_it_is_422(
    client: ContractClient, method: str, path: str, subtests: pytest.Subtests
) -> None:
    """JSON that is no object names nothing that could be set."""
    for body in ("null", "[]", "5", '"text"', "true", "NaN", "Infinity"):
        with subtests.test(body=body):
            response = client.open(path, method=method, data=body, content_type=JSON)

            assert response.status_code in (400, 422)


@writes
def test_body_when_it_has_an_unknown_field_then_it_is_422(
    client: ContractClient, method: str, path: str, subtests: pytest.Subtests
) -> None:
    """Nothing is ignored: a misspelt field would be lost without a word."""
    for name in ("planted", "user_id", "added_date", "", "\x00", "__proto__", "😀", "\ud800"):
        with subtests.test(name=ascii(name)):
            body = json.dumps({"movie_id": 13, name: 1})
            response = client.open(path, method=method, data=body, content_type=JSON)

            assert response.status_code in (400, 422)


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("movie_id", (0, -1, 2**31, 2**63, "550", 550.5, None, True, [], {})),
        ("rating", (0, 6, -1, 2.5, "5", True, [], {})),
        ("title", ("", "x" * 501, 5, None, "nul\x00", "a\nb", [], {})),
        ("poster_path", ("", "no-slash", "/a b", "/x" * 150, 5, "/\n", [])),
    ],
    ids=lambda it: it if isinstance(it, str) else "",
)
def test_favorite_when_a_field_is_wrong_then_it_is_422_and_named(
    client: ContractClient, field: str, values: tuple[object, ...], subtests: pytest.Subtests
) -> None:
    """`errors` names the field, and only it."""
    for value in values:
        with subtests.test(value=value):
            body = {"movie_id": 13, field: value}
            response = client.post("/api/users/favorites", json=body)

            assert response.status_code == 422
            assert list(response.json["errors"]) == [field]


def test_history_when_the_progress_is_wrong_then_it_is_422(
    client: ContractClient, subtests: pytest.Subtests
) -> None:
    """A progress runs from 0 to 1 and is a number."""
    for value in (-0.1, 1.01, "x", None, [], {}, True, 1e300):
        with subtests.test(value=value):
            response = client.put("/api/users/history/550", json={"progress": value})

            assert response.status_code == 422
            assert list(response.json["errors"]) == ["progress"]


def test_history_when_the_progress_is_not_finite_then_it_is_refused(
    client: ContractClient, subtests: pytest.Subtests
) -> None:
    """JSON has no such numbers, though Python reads them."""
    for value in ("NaN", "Infinity", "-Infinity", "1e999"):
        with subtests.test(value=value):
            response = client.put(
                "/api/users/history/550", data=f'{{"progress": {value}}}', content_type=JSON
            )

            assert response.status_code in (400, 422)


def test_favorite_when_movie_id_is_missing_then_it_is_422(client: ContractClient) -> None:
    """There is no film without its number."""
    response = client.post("/api/users/favorites", json={"rating": 5})

    assert response.json["errors"] == {"movie_id": ["Missing data for required field."]}


def test_watchlist_when_a_rating_is_sent_then_it_is_422(client: ContractClient) -> None:
    """A watchlist has no stars."""
    response = client.post("/api/users/watchlist", json={"movie_id": 13, "rating": 5})

    assert list(response.json["errors"]) == ["rating"]


def test_idempotency_key_when_it_is_no_key_then_it_is_422(
    client: ContractClient, tmdb: Upstream, subtests: pytest.Subtests
) -> None:
    """A key that cannot be a header is refused before TMDB is asked."""
    for key in ("x" * 256, "ü", "tab\tkey", "two words", "a\r\nX-Planted: 1", "x\n"):
        with subtests.test(key=key):
            response = client.post(
                "/api/users/favorites",
                data=orjson.dumps({"movie_id": 13}),
                content_type=JSON,
                environ_overrides={"HTTP_IDEMPOTENCY_KEY": key},
            )

            assert response.status_code == 422
            assert list(response.json["errors"]) == ["Idempotency-Key"]
    assert not tmdb.calls
