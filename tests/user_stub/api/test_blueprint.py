"""How bodies are decoded."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from tests.user_stub.conftest import assert_problem

NOT_JSON = [b"", b"{", b'{"movie_id": 1}}', b'{"title": "\xff\xfe"}', b"[" * 60_000, b"1" * 10_000]
TWICE = {
    '{"movie_id": 1, "movie_id": 2}': "'movie_id'",
    '{"movie_id": 1, "genres": [{"id": 1, "name": "a", "id": 2}]}': "'id'",
    r'{"\ud800": 1, "\ud800": 2}': r"'\ud800'",
}


def test_body_when_it_is_not_json_then_400(client: FlaskClient) -> None:
    """Refuse a body that cannot be decoded."""
    for body in NOT_JSON:
        assert_problem(client.post("/favorites", data=body, content_type="application/json"), 400)


@pytest.mark.parametrize(("body", "name"), TWICE.items())
def test_body_when_a_key_comes_twice_then_400(client: FlaskClient, body: str, name: str) -> None:
    """Refuse what readers of JSON understand in different ways."""
    answer = client.post("/favorites", data=body, content_type="application/json")

    assert assert_problem(answer, 400)["detail"] == f"the body has the key {name} more than once"


@pytest.mark.parametrize("kind", [None, "", "text/plain", "application/x-www-form-urlencoded"])
def test_body_when_it_is_of_another_type_then_415(client: FlaskClient, kind: str | None) -> None:
    """Refuse a body that is not declared as JSON."""
    assert_problem(client.post("/favorites", data=b'{"movie_id": 1}', content_type=kind), 415)
