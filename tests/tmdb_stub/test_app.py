"""The app as a whole: health, headers, conditional requests, counts and faults."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from tmdb_stub import create_app
from tmdb_stub.catalogue import Catalogue

FILM = "/3/movie/155?api_key=x"


@pytest.mark.parametrize("path", ["/", "/health"])
def test_health_when_asked_without_credential_then_names_the_films(
    client: FlaskClient, catalogue: Catalogue, path: str
) -> None:
    """Anybody may ask whether the stub is up."""
    expected = {"status": "healthy", "service": "tmdb-stub", "films": len(catalogue.films)}
    assert client.get(path).json == expected


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
    known = {"If-None-Match": client.get(FILM).headers["ETag"]}
    again = client.get(FILM, headers=known)
    assert (again.status_code, again.data) == (304, b"")
    assert client.get(f"{FILM}&language=de", headers=known).status_code == 200


def test_fault_when_set_then_answers_with_tmdbs_body(catalogue: Catalogue) -> None:
    """A fault on a path of the API, named without its `/3`, has TMDB's body; calls are counted."""
    client = create_app(catalogue=catalogue).test_client()
    fault = {"match": "/movie/155", "status": 429, "error_rate": 1, "retry_after": 7}
    assert client.put("/__faults", json=fault).status_code == 200
    response = client.get(FILM)
    assert (response.status_code, response.headers["Retry-After"]) == (429, "7")
    assert response.json is not None
    assert response.json["status_code"] == 25
    assert client.get("/3/movie/13?api_key=x").status_code == 200
    client.delete("/__faults")
    assert client.get(FILM).status_code == 200
    assert client.get("/__calls").json == {"GET /3/movie/155": 2, "GET /3/movie/13": 1}
