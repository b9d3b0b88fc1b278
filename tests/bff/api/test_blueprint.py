"""bff/api/blueprint.py: how strictly input is read, and what the parser remembers."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from werkzeug.exceptions import HTTPException

from bff.api.blueprint import LONGEST_KNOWN, StrictParser
from bff.schemas.queries import FilmQuerySchema, MultiSearchQuerySchema, PageQuerySchema
from tests.bff.fake_upstreams import Upstream
from tests.contract.client import ContractClient

APP = Flask("probe")
JSON = "application/json"
WRITES = [
    ("POST", "/api/users/favorites"),
    ("PUT", "/api/users/favorites/13"),
    ("POST", "/api/users/watchlist"),
    ("PUT", "/api/users/watchlist/680"),
    ("PUT", "/api/users/history/550"),
]
writes = pytest.mark.parametrize(("method", "path"), WRITES)


class Counting(StrictParser):
    """A parser that counts how often it reads a query."""

    def __init__(self) -> None:
        super().__init__()
        self.read = 0

    def load_querystring(self, req: Any, schema: Any) -> Any:
        """Count."""
        self.read += 1
        return super().load_querystring(req, schema)


def parsed(parser: StrictParser, query: str, schema: Any = PageQuerySchema) -> Any:
    """Return what a query means to a schema."""
    with APP.test_request_context(f"/?{query}"):
        return parser.parse(schema, location="query")


def test_query_when_it_comes_again_then_it_is_not_read_again() -> None:
    """What is remembered belongs to one query and one schema; a refusal is not remembered."""
    parser = Counting()

    first, again, other = (parsed(parser, query) for query in ("page=2", "page=2", "page=3"))

    assert first == again == {"page": "2"}
    assert other == {"page": "3"}
    assert parser.read == 2
    assert parsed(parser, "language=de") == {"language": "de", "page": "1"}
    assert parsed(parser, "language=de", FilmQuerySchema) == {"language": "de"}
    for _ in range(2):
        with pytest.raises(HTTPException) as caught:
            parsed(parser, "page=0")
        assert caught.value.code == 422
    assert parsed(parser, "page=1") == {"page": "1"}


def test_query_when_it_is_long_then_it_is_not_remembered() -> None:
    """What callers send cannot fill the memory."""
    parser, query = Counting(), "query=" + "x" * LONGEST_KNOWN

    for _ in range(2):
        assert parsed(parser, query, MultiSearchQuerySchema)["query"] == "x" * LONGEST_KNOWN
    assert parser.read == 2


@pytest.mark.parametrize("path", ["/api/movies/popular", "/api/dashboard/feed", "/health"])
def test_query_when_it_is_ambiguous_or_no_text_then_it_is_422(
    client: ContractClient, path: str, tmdb: Upstream
) -> None:
    """Two values for one name, even equal ones; bytes that are no UTF-8; control characters."""
    for query, names in (
        ("page=1&page=1", "page"),
        ("q=%ff", "request"),
        ("page=%ff%fe", "request"),
        ("page=%00", "page"),
        ("page=1%0D%0A", "page"),
    ):
        response = client.get(f"{path}?{query}")
        assert response.status_code == 422
        assert list(response.json["errors"]) == [names]
    assert not tmdb.calls


MALFORMED = [
    *(b"", b"{", b"not json", b'{"movie_id": 13,}', b'{"title": "\xff\xfe"}', b"\x00", b"NaN"),
    *(b"[" * 20_000, b'{"movie_id": ' + b"9" * 5_000 + b"}", b'{"progress": Infinity}'),
    *(b'{"progress": NaN}', b'{"progress": -Infinity}', b'{"title": "\\ud800"}'),
]
TWICE = [
    ('{"movie_id": 1, "movie_id": 2}', "movie_id"),
    ('{"rating": 5, "rating": 5}', "rating"),
    (r'{"title": "a", "t\u0069tle": "b"}', "title"),
    ('{"genres": [{"id": 1, "id": 2}]}', "id"),
    ('{"😀": 1, "😀": 2}', "😀"),
]


@writes
def test_body_when_it_is_refused_then_the_status_says_why_and_nothing_is_written(
    client: ContractClient, method: str, path: str, tmdb: Upstream, users: Upstream
) -> None:
    """400: not JSON, or a key twice, which is named. 413: too large. 415: not declared as JSON."""

    def send(body: bytes | str, content_type: str | None = JSON) -> Any:
        return client.open(path, method=method, data=body, content_type=content_type)

    for body in MALFORMED:
        response = send(body)
        told = (response.status_code, response.json["type"])
        assert told == (400, "/problems/malformed"), body[:40]
    for text, key in TWICE:
        response = send(text)
        assert response.status_code == 400
        assert response.json["detail"] == f"the body has the key '{key}' more than once"
    assert send(b'{"title": "' + b"x" * 2_000_000 + b'"}').status_code == 413
    form = "application/x-www-form-urlencoded"
    for content_type in ("text/plain", form, "multipart/form-data", None):
        assert send(b'{"movie_id": 13, "progress": 0.5}', content_type).status_code == 415
    for body in (b"null", b"[]", b"5", b'"text"', b"true"):
        assert send(body).json["errors"] == {"request": ["Must be an object."]}
    for name in ("planted", "user_id", "added_date", "", "\\u0000", "__proto__", "😀"):
        assert send(f'{{"movie_id": 13, "{name}": 1}}').status_code == 422

    assert not tmdb.calls
    assert [call for call in users.calls if call.method != "GET"] == []


def test_body_when_a_field_is_wrong_then_errors_name_it(
    client: ContractClient, users: Upstream
) -> None:
    """`errors` has the field, and only it; a header counts as a field."""
    for body, headers, field in (
        ({"movie_id": "550"}, {}, "movie_id"),
        ({"movie_id": 550, "rating": 6}, {}, "rating"),
        ({"movie_id": 550}, {"Idempotency-Key": "two words"}, "Idempotency-Key"),
    ):
        response = client.post("/api/users/favorites", json=body, headers=headers)
        assert (response.status_code, list(response.json["errors"])) == (422, [field])
    assert users.calls == []
