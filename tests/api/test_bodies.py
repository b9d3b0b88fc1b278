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
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"not json",
        b'{"movie_id": 13,}',
        b'{"title": "\xff\xfe"}',
        b"\x00",
        b"[" * 20_000,
        b'{"movie_id": ' + b"9" * 5_000 + b"}",
    ],
    ids=["empty", "cut", "words", "comma", "broken-utf8", "nul", "deep", "endless-number"],
)
def test_body_when_it_is_not_json_then_it_is_400(
    client: ContractClient, method: str, path: str, body: bytes, tmdb: Upstream
) -> None:
    """What cannot be read as JSON is malformed; no upstream is asked."""
    response = client.open(path, method=method, data=body, content_type=JSON)

    assert response.status_code == 400
    assert response.json["type"] == "/problems/malformed"
    assert not tmdb.calls


@writes
@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", None]
)
def test_body_when_it_is_not_declared_as_json_then_it_is_415(
    client: ContractClient, method: str, path: str, content_type: str | None
) -> None:
    """A form that another site sends is refused, whatever it holds."""
    body = b'{"movie_id": 13, "progress": 0.5}'
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
@pytest.mark.parametrize("body", ["null", "[]", "5", '"text"', "true", "NaN", "Infinity"])
def test_body_when_it_is_no_object_then_it_is_422(
    client: ContractClient, method: str, path: str, body: str
) -> None:
    """JSON that is no object names nothing that could be set."""
    response = client.open(path, method=method, data=body, content_type=JSON)

    assert response.status_code in (400, 422)


@writes
@pytest.mark.parametrize(
    "name", ["planted", "user_id", "added_date", "", "\x00", "__proto__", "😀", "\ud800"]
)
def test_body_when_it_has_an_unknown_field_then_it_is_422(
    client: ContractClient, method: str, path: str, name: str
) -> None:
    """Nothing is ignored: a misspelt field would be lost without a word."""
    body = json.dumps({"movie_id": 13, name: 1})
    response = client.open(path, method=method, data=body, content_type=JSON)

    assert response.status_code in (400, 422)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("movie_id", value) for value in (0, -1, 2**31, 2**63, "550", 550.5, None, True, [], {})],
        *[("rating", value) for value in (0, 6, -1, 2.5, "5", True, [], {})],
        *[("title", value) for value in ("", "x" * 501, 5, None, "nul\x00", "a\nb", [], {})],
        *[("poster_path", value) for value in ("", "no-slash", "/a b", "/x" * 150, 5, "/\n", [])],
    ],
)
def test_favorite_when_a_field_is_wrong_then_it_is_422_and_named(
    client: ContractClient, field: str, value: object
) -> None:
    """`errors` names the field, and only it."""
    body = {"movie_id": 13, field: value}
    response = client.post("/api/users/favorites", json=body)

    assert response.status_code == 422
    assert list(response.json["errors"]) == [field]


@pytest.mark.parametrize("value", [-0.1, 1.01, "x", None, [], {}, True, 1e300])
def test_history_when_the_progress_is_wrong_then_it_is_422(
    client: ContractClient, value: object
) -> None:
    """A progress runs from 0 to 1 and is a number."""
    response = client.put("/api/users/history/550", json={"progress": value})

    assert response.status_code == 422
    assert list(response.json["errors"]) == ["progress"]


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_history_when_the_progress_is_not_finite_then_it_is_refused(
    client: ContractClient, value: str
) -> None:
    """JSON has no such numbers, though Python reads them."""
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


@pytest.mark.parametrize("key", ["x" * 256, "ü", "tab\tkey", "two words", "a\r\nX-Planted: 1"])
def test_idempotency_key_when_it_is_no_key_then_it_is_422(
    client: ContractClient, key: str, tmdb: Upstream
) -> None:
    """A key that cannot be a header is refused before TMDB is asked."""
    response = client.post(
        "/api/users/favorites",
        data=orjson.dumps({"movie_id": 13}),
        content_type=JSON,
        environ_overrides={"HTTP_IDEMPOTENCY_KEY": key},
    )

    assert response.status_code == 422
    assert list(response.json["errors"]) == ["Idempotency-Key"]
    assert not tmdb.calls
