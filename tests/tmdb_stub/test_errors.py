"""Errors: TMDB's statuses, codes and bodies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from flask.testing import FlaskClient

from tmdb_stub.errors import CODE_OF_STATUS, ERRORS, fault_body

Get = Callable[..., Any]
Recorded = Callable[[str], Any]

BODY_401 = {
    "success": False,
    "status_code": 7,
    "status_message": "Invalid API key: You must be granted a valid key.",
}


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("", {}),
        ("?api_key=", {}),
        ("?api_key=invalid", {}),
        ("", {"Authorization": "Bearer invalid"}),
        ("", {"Authorization": "Bearer "}),
        ("", {"Authorization": "Basic abc"}),
        ("?api_key=good", {"Authorization": "Bearer invalid"}),
    ],
)
@pytest.mark.parametrize("path", ["/3/movie/155", "/3/search/movie", "/3/nothing/here", "/3/"])
def test_call_when_credential_is_missing_or_invalid_then_401(
    client: FlaskClient, path: str, query: str, headers: dict[str, str]
) -> None:
    """Without a good credential every path of the API is 401, whether it exists or not."""
    response = client.get(path + query, headers=headers)
    assert response.status_code == 401
    assert orjson.loads(response.data) == BODY_401


@pytest.mark.parametrize(
    ("query", "headers"),
    [("?api_key=anything", {}), ("", {"Authorization": "Bearer any"}), ("?api_key=ü", {})],
)
def test_call_when_credential_is_anything_else_then_200(
    client: FlaskClient, query: str, headers: dict[str, str]
) -> None:
    """Any other key or token is good."""
    response = client.get(f"/3/authentication{query}", headers=headers)
    assert orjson.loads(response.data)["success"] is True


@pytest.mark.parametrize(
    "path",
    [
        *("/movie/0", "/movie/999999999", "/movie/-1", f"/movie/{2**63}", "/movie/155/nothing"),
        *("/person/0", "/collection/0", "/keyword/0", "/company/0", "/review/zz", "/nothing"),
        *("/movie/0/similar", "/trending/movie/month", "/trending/films/day", "/keyword/0/movies"),
    ],
)
def test_call_when_there_is_no_such_thing_then_404_with_code_34(
    get: Get, recorded: Recorded, path: str
) -> None:
    """An unknown id and an unknown path have the recorded body."""
    name = "movie-id-0_append-to-response-trailers-credits-releases_404__mikevallano"
    assert get(path, 404) == recorded(f"{name}-tmdb-moviequeue")


@pytest.mark.parametrize("path", ["/movie/abc", "/person/abc", "/movie/1.5", "/movie/abc/credits"])
def test_call_when_id_is_no_number_then_404_with_code_6(get: Get, path: str) -> None:
    """TMDB has a code of its own for an id that is none."""
    assert get(path, 404)["status_code"] == 6


def test_call_when_film_is_missing_then_the_404_may_be_cached(client: FlaskClient) -> None:
    """TMDB marks its 404s as cacheable; other errors carry no such header."""
    assert "max-age" in client.get("/3/movie/0?api_key=x").headers["Cache-Control"]
    assert "Cache-Control" not in client.get("/3/movie/0").headers


@pytest.mark.parametrize("page", ["0", "501", "-1", "abc", "1.5", "99999999999", "0x1", "²"])
@pytest.mark.parametrize(
    "path",
    [
        *("/movie/popular", "/movie/upcoming", "/trending/movie/day", "/discover/movie"),
        *("/search/movie?query=a", "/movie/155/similar", "/movie/155/reviews", "/person/popular"),
    ],
)
def test_list_when_page_is_out_of_range_then_400(
    client: FlaskClient, recorded: Recorded, path: str, page: str
) -> None:
    """Pages run from 1 to 500 everywhere."""
    mark = "&" if "?" in path else "?"
    response = client.get(f"/3{path}{mark}page={page}&api_key=x")
    assert response.status_code == 400
    body = recorded("error-page-out-of-range_400__documented-not-recorded")
    assert orjson.loads(response.data) == body


def test_list_when_page_is_empty_then_is_the_first(get: Get) -> None:
    """An empty `page` is none."""
    assert get("/movie/popular", page="")["page"] == 1


def test_details_when_more_than_20_are_appended_then_400(get: Get, recorded: Recorded) -> None:
    """The 21st block is one too many; 20 are answered, unknown ones ignored."""
    body = recorded("error-too-many-append_400__documented-not-recorded")
    names = ["credits", *(f"block{number}" for number in range(20))]
    assert get("/movie/155", 400, append_to_response=",".join(names)) == body
    assert "credits" in get("/movie/155", append_to_response=",".join(names[:20]))


def test_call_when_method_is_wrong_then_405_with_allow(client: FlaskClient) -> None:
    """The stub is read-only; a HEAD is answered like a GET."""
    response = client.post("/3/movie/155?api_key=x", json={})
    assert response.status_code == 405
    assert "GET" in response.headers["Allow"]
    assert orjson.loads(response.data)["status_code"] == 4
    assert client.head("/3/movie/155?api_key=x").status_code == 200


@pytest.mark.parametrize("status", sorted(CODE_OF_STATUS))
def test_fault_when_status_is_tmdbs_then_body_is_too(status: int) -> None:
    """The body of an injected fault has a code that TMDB sends with that status."""
    data, content_type = fault_body(status)
    body = orjson.loads(data)
    assert ERRORS[body["status_code"]] == (status, body["status_message"])
    assert content_type == "application/json;charset=utf-8"


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("error-service-offline_503", 503),
        ("error-backend-timeout_504", 504),
        ("error-backend-unreachable_502", 502),
        ("error-internal_500", 500),
    ],
)
def test_fault_when_documented_then_equals_tmdbs_body(
    recorded: Recorded, name: str, status: int
) -> None:
    """The bodies are the documented ones, word for word."""
    data, _ = fault_body(status)
    assert orjson.loads(data) == recorded(f"{name}__documented-not-recorded")


def test_fault_when_rate_limited_then_names_the_limit(recorded: Recorded) -> None:
    """A 429 has code 25 and the recorded sentence; only the count differs from call to call."""
    data, _ = fault_body(429)
    documented = recorded("error-rate-limited_429__documented-not-recorded")
    body = orjson.loads(data)
    assert body["status_code"] == documented["status_code"]
    assert body["status_message"].split("(")[0] == documented["status_message"].split("(")[0]
