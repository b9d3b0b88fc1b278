"""The rules of every endpoint, tried on each operation of the document."""

from __future__ import annotations

import re

import pytest

from bff.reads import READS
from tests.bff.fake_upstreams import Upstream
from tests.contract.client import ContractClient, Document

PLACES = {"{movie_id}": "550", "{person_id}": "819", "{window}": "week"}
UNDESCRIBED = ["/openapi.json", "/docs", "/redoc", "/problems/validation", "/web/dev.json"]
FILES = ["/docs-ui/swagger-ui/swagger-ui.css", "/docs-ui/redoc/redoc.standalone.js"]


def filled(path: str) -> str:
    """Return a path of the document, filled in, with the query that it cannot do without."""
    for name, value in PLACES.items():
        path = path.replace(name, value)
    return f"{path}?query=fight" if "/search" in path else path


def paths(document: Document) -> dict[str, set[str]]:
    """Return every documented path, filled in, with its methods."""
    return {
        filled(template): {method.upper() for method in item if method != "parameters"}
        for template, item in document.spec["paths"].items()
    }


def with_parameter(path: str, parameter: str) -> str:
    """Return a path with one more query parameter."""
    return f"{path}{'&' if '?' in path else '?'}{parameter}"


def test_parameter_when_it_is_unknown_then_every_operation_refuses_it(
    client: ContractClient, document: Document, tmdb: Upstream, users: Upstream
) -> None:
    """An unknown query parameter is 422 everywhere, before any upstream is asked."""
    for path, methods in paths(document).items():
        for method in methods:
            body = {"movie_id": 13} if method == "POST" else {"progress": 0.5}
            if method == "PUT" and "history" not in path:
                body = {}
            response = client.open(with_parameter(path, "planted=1"), method=method, json=body)
            assert response.status_code == 422, (method, path)
            assert response.json["errors"] == {"planted": ["Unknown field."]}, (method, path)

    assert tmdb.calls + users.calls == []


@pytest.mark.parametrize("page", ["0", "501", "-1", "abc", "1.5", "", "9" * 30, "%00", "1%0A"])
def test_page_when_it_is_outside_1_to_500_then_every_list_refuses_it(
    client: ContractClient, tmdb: Upstream, users: Upstream, page: str
) -> None:
    """422 without an upstream call, and `errors` names the page."""
    paged = [filled(row.route) for row in READS if "page" in row.query().fields]
    for path in [*paged, "/api/dashboard/feed", "/api/dashboard/complete"]:
        response = client.get(with_parameter(path, f"page={page}"))
        assert response.status_code == 422, path
        assert list(response.json["errors"]) == ["page"], path

    assert tmdb.calls + users.calls == []


@pytest.mark.parametrize(
    "number",
    [
        *("0", "-1", "2147483648", "9223372036854775808", "1e3", "1.0", "+1"),
        *("abc", "%D9%A1", "%00", "null"),
    ],
)
def test_id_when_it_is_no_number_of_tmdbs_then_every_path_refuses_it(
    client: ContractClient, document: Document, tmdb: Upstream, users: Upstream, number: str
) -> None:
    """422 without an upstream call."""
    for template, item in document.spec["paths"].items():
        for method in {"get", "put", "delete"} & set(item) if "_id}" in template else ():
            path = re.sub(r"\{\w+\}", number, template)
            response = client.open(path, method=method.upper(), json={})
            assert response.status_code == 422, (method, path)
            assert list(response.json["errors"]) == ["id"]

    assert tmdb.calls + users.calls == []


def test_get_when_it_answers_200_then_it_has_an_etag_and_a_304_of_the_same_kind(
    fresh: ContractClient, document: Document
) -> None:
    """For every GET: a 304 repeats the caching headers; personal answers are private."""
    fresh.put("/api/users/history/550", json={"progress": 0.5})
    fresh.put("/api/users/watchlist/550", json={})
    reads = [path for path, methods in paths(document).items() if "GET" in methods]
    for path in [*reads, *UNDESCRIBED, *FILES]:
        first = fresh.get(path)
        assert first.status_code == 200, path
        tag = first.headers["ETag"]
        assert re.fullmatch(r'"[0-9a-f.-]+"', tag), path
        if path.startswith(("/api/users", "/api/dashboard")):
            assert first.headers["Cache-Control"] == "private, no-cache"
            assert "Authorization" in first.headers["Vary"]
        if path == "/metrics":  # different each time
            continue
        for given in (tag, f"W/{tag}", f'"other", {tag}', "*") if path in reads else (tag,):
            again = fresh.get(path, headers={"If-None-Match": given})
            assert (again.status_code, again.data) == (304, b""), (path, given)
            assert again.headers["ETag"] == tag
            assert again.headers.get("Vary") == first.headers.get("Vary")
            seen, kept = (answer.headers["Cache-Control"] for answer in (first, again))
            assert re.sub(r"\d+", "", seen) == re.sub(r"\d+", "", kept), path


def test_head_when_get_exists_then_it_has_the_headers_and_no_body(
    fresh: ContractClient, document: Document
) -> None:
    """HEAD answers as GET would, without the bytes."""
    for path, methods in paths(document).items():
        if "GET" not in methods or path.startswith("/api/users/history/"):
            continue
        got, headed = fresh.get(path), fresh.head(path)
        assert headed.status_code == got.status_code, path
        assert got.status_code == (404 if path.endswith("watchlist/550") else 200), path
        assert headed.data == b""
        if path != "/metrics":  # it counts the very requests that ask for it
            assert headed.headers.get("ETag") == got.headers.get("ETag"), path
        assert headed.headers["Content-Type"] == got.headers["Content-Type"]


def test_method_when_it_is_not_offered_then_it_is_405_with_allow(
    client: ContractClient, document: Document
) -> None:
    """Every path names in Allow what it offers; OPTIONS answers the same, without a body."""
    for path, methods in paths(document).items():
        offered = {*methods, "OPTIONS"} | ({"HEAD"} if "GET" in methods else set())
        for method in {"GET", "POST", "PUT", "DELETE", "PATCH", "TRACE"} - methods:
            response = client.open(path, method=method)
            assert response.status_code == 405, (method, path)
            assert set(response.headers["Allow"].split(", ")) == offered
    for path in ("/docs", FILES[1], "/", *paths(document)):
        response = client.options(path)
        assert (response.status_code, response.data) == (200, b""), path
        assert "OPTIONS" in response.headers["Allow"]


@pytest.mark.parametrize(
    "path", ["/api", "/api/movies", "/api/movies/popular/", "/api//movies/popular", "/x%0Ay"]
)
def test_path_when_it_is_unknown_then_it_is_404(client: ContractClient, path: str) -> None:
    """An unknown path is a problem document, never a page of HTML or a redirect."""
    assert client.get(path).json["type"] == "/problems/not-found"
