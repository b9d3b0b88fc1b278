"""How bodies are read: JSON, decoded strictly, of a bounded size."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from tests.user_stub.conftest import assert_problem


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
def test_body_when_it_is_not_json_then_400(client: FlaskClient, body: bytes) -> None:
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
def test_body_when_a_key_comes_twice_then_400_naming_it(
    client: FlaskClient, body: str, name: str
) -> None:
    """Refuse what readers of JSON understand in different ways."""
    answer = client.post("/favorites", data=body, content_type="application/json")

    assert assert_problem(answer, 400)["detail"] == f"the body has the key {name} more than once"


@pytest.mark.parametrize(
    "content_type", [None, "", "text/plain", "application/x-www-form-urlencoded", "multipart/x"]
)
def test_body_when_it_is_of_another_type_then_415(
    client: FlaskClient, content_type: str | None
) -> None:
    """Refuse a body that is not declared as JSON."""
    answer = client.post("/favorites", data=b'{"movie_id": 1}', content_type=content_type)

    assert_problem(answer, 415)
