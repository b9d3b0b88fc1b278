"""The app as a whole: health, headers, conditional requests, counts and faults."""

from __future__ import annotations

import orjson
import pytest
from flask.testing import FlaskClient

from tmdb_stub import create_app
from tmdb_stub.catalogue import Catalogue


@pytest.fixture
def own_client(catalogue: Catalogue) -> FlaskClient:
    """A client of an app of its own, as counts and faults are state."""
    return create_app(catalogue=catalogue).test_client()


@pytest.mark.parametrize("path", ["/", "/health"])
def test_health_when_asked_without_credential_then_names_the_films(
    client: FlaskClient, catalogue: Catalogue, path: str
) -> None:
    """Anybody may ask whether the stub is up."""
    assert client.get(path).json == {
        "status": "healthy",
        "service": "tmdb-stub",
        "films": len(catalogue.films),
    }


@pytest.mark.parametrize(
    ("path", "max_age"),
    [
        ("/3/movie/155", 21_600),
        ("/3/movie/155/credits", 21_600),
        ("/3/movie/popular", 14_400),
        ("/3/search/movie?query=a", 600),
        ("/3/discover/movie", 600),
        ("/3/configuration", 21_600),
    ],
)
def test_answer_when_ok_then_has_tmdbs_headers(
    client: FlaskClient, path: str, max_age: int
) -> None:
    """Type, lifetime, a weak tag and what the answer depends on are said as TMDB says them."""
    headers = client.get(path, headers={"Authorization": "Bearer x"}).headers
    assert headers["Content-Type"] == "application/json;charset=utf-8"
    assert headers["Cache-Control"] == f"public, max-age={max_age}"
    assert headers["ETag"].startswith('W/"')
    assert headers["Vary"] == "accept-encoding, Origin"
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert "Set-Cookie" not in headers


def test_answer_when_the_tag_is_known_then_304_without_body(client: FlaskClient) -> None:
    """A conditional request saves the body; another language is another answer."""
    headers = {"Authorization": "Bearer x"}
    first = client.get("/3/movie/155", headers=headers)
    headers["If-None-Match"] = first.headers["ETag"]
    again = client.get("/3/movie/155", headers=headers)
    assert (again.status_code, again.data) == (304, b"")
    assert client.get("/3/movie/155?language=de", headers=headers).status_code == 200


def test_calls_when_made_then_are_counted_by_method_and_path(own_client: FlaskClient) -> None:
    """`/__calls` counts calls until it is reset."""
    for _ in range(3):
        own_client.get("/3/movie/155?api_key=x")
    counts = orjson.loads(own_client.get("/__calls").data)
    assert 3 in counts.values()
    own_client.delete("/__calls")
    assert orjson.loads(own_client.get("/__calls").data) == {}


def test_fault_when_set_then_answers_with_tmdbs_body(own_client: FlaskClient) -> None:
    """A fault on a path of the API, named without its `/3`, has TMDB's body."""
    fault = {"match": "/movie/155", "status": 429, "error_rate": 1, "retry_after": 7}
    assert own_client.put("/__faults", json=fault).status_code < 300
    response = own_client.get("/3/movie/155?api_key=x")
    assert response.status_code == 429
    assert response.headers["Retry-After"] == "7"
    assert orjson.loads(response.data)["status_code"] == 25
    assert own_client.get("/3/movie/13?api_key=x").status_code == 200
    own_client.delete("/__faults")
    assert own_client.get("/3/movie/155?api_key=x").status_code == 200


def test_app_when_started_with_a_profile_then_has_the_fault(catalogue: Catalogue) -> None:
    """`down` refuses the calls of the API from the start."""
    client = create_app(fault_profile="down", catalogue=catalogue).test_client()
    assert client.get("/3/movie/155?api_key=x").status_code == 503
