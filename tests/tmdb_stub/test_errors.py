"""Errors: TMDB's statuses, codes and bodies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from flask.testing import FlaskClient

from tests.tmdb_stub.conftest import Get
from tmdb_stub.errors import CODE_OF_STATUS, ERRORS, fault_body

Recorded = Callable[[str], Any]

BODY_401 = {
    "success": False,
    "status_code": 7,
    "status_message": "Invalid API key: You must be granted a valid key.",
}


@pytest.mark.parametrize(
    ("query", "credential", "is_good"),
    [
        ("", None, False),
        ("?api_key=", None, False),
        ("?api_key=invalid", None, False),
        ("", "Bearer invalid", False),
        ("", "Bearer ", False),
        ("", "Basic abc", False),
        ("?api_key=good", "Bearer invalid", False),
        ("?api_key=anything", None, True),
        ("?api_key=ü", None, True),
        ("", "Bearer any", True),
    ],
)
def test_call_when_credential_is_missing_or_invalid_then_401(
    client: FlaskClient, query: str, credential: str | None, is_good: bool
) -> None:
    """Without a good credential every path of the API is 401, whether it exists or not."""
    headers = {"Authorization": credential} if credential is not None else {}
    if is_good:
        assert client.get(f"/3/authentication{query}", headers=headers).status_code == 200
        return
    for path in ("/3/movie/155", "/3/search/movie", "/3/nothing/here", "/3/"):
        response = client.get(path + query, headers=headers)
        assert (response.status_code, response.json) == (401, BODY_401), path
        assert "Cache-Control" not in response.headers


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
    """TMDB marks its 404s as cacheable."""
    assert "max-age" in client.get("/3/movie/0?api_key=x").headers["Cache-Control"]


@pytest.mark.parametrize(
    "path",
    [
        *("/movie/popular", "/movie/upcoming", "/trending/movie/day", "/discover/movie"),
        *("/search/movie?query=a", "/movie/155/similar", "/movie/155/reviews", "/person/popular"),
    ],
)
def test_list_when_page_is_out_of_range_then_400(get: Get, recorded: Recorded, path: str) -> None:
    """Pages run from 1 to 500 everywhere; an empty `page` is none."""
    body = recorded("error-page-out-of-range_400__documented-not-recorded")
    path, _, query = path.partition("?query=")
    for page in ("0", "501", "-1", "abc", "1.5", "99999999999", "0x1", "²"):
        assert get(path, 400, page=page, query=query) == body, page
    assert get(path, page="", query=query)["page"] == 1


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
    assert response.json is not None
    assert response.json["status_code"] == 4
    assert client.head("/3/movie/155?api_key=x").status_code == 200


@pytest.mark.parametrize(
    ("status", "name"),
    [
        *((status, "") for status in sorted(CODE_OF_STATUS)),
        (429, "error-rate-limited_429"),
        (500, "error-internal_500"),
        (502, "error-backend-unreachable_502"),
        (503, "error-service-offline_503"),
        (504, "error-backend-timeout_504"),
    ],
)
def test_fault_when_status_is_tmdbs_then_body_is_too(
    recorded: Recorded, status: int, name: str
) -> None:
    """An injected fault has a code of that status, and the documented body, word for word."""
    body, content_type = fault_body(status)
    found = orjson.loads(body)
    assert ERRORS[found["status_code"]] == (status, found["status_message"])
    assert content_type == "application/json;charset=utf-8"
    if name:
        documented = recorded(f"{name}__documented-not-recorded")
        for each in (found, documented):  # the count of a 429 differs from call to call
            each["status_message"] = each["status_message"].split("(")[0]
        assert documented.items() <= found.items()
