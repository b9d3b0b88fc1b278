"""The contract as a frontend meets it: the BFF and its neighbours as processes of their own.

Parameters, bodies, tokens and headers are tried one by one in the process (tests/api); here is
what takes real servers, and one refusal of each kind.
"""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from bff import reads
from tests.e2e.stack import CALL_TIMEOUT_S, NEWER, Stack, as_user

pytestmark = [pytest.mark.e2e, pytest.mark.essential]

Json = dict[str, Any]
FAVORITES = "/api/users/favorites"
JSON = {"Content-Type": "application/json"}


def problem(response: requests.Response, status: int) -> Json:
    """Return the problem document of a refused request, once it is one."""
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["Cache-Control"] == "no-store"
    document: Json = response.json()
    assert document.keys() >= {"type", "title", "status", "detail", "request_id"}
    assert document["status"] == status
    assert document["request_id"] == response.headers["X-Request-ID"]
    for inside in ("Traceback", ".py", "sqlite", "SELECT"):
        assert inside not in response.text
    return document


def raw(stack: Stack, request: bytes, process: str = "bff") -> tuple[int, dict[str, str]]:
    """Send raw bytes to a process; return the status and the headers of its answer."""
    port = stack.servers[process].port
    with socket.create_connection(("127.0.0.1", port), timeout=CALL_TIMEOUT_S) as sock:
        sock.sendall(request)
        response = http.client.HTTPResponse(sock)
        response.begin()
        return response.status, {name.lower(): value for name, value in response.getheaders()}


def are_films(films: list[Json]) -> bool:
    """Whether there are films, each with a number and a title."""
    return bool(films) and all(film["id"] > 0 and film["title"] for film in films)


READS: dict[str, Callable[[Json], Any]] = {
    "/api/dashboard/feed": lambda page: are_films(page["movies"]),
    "/api/dashboard/movie/550/enriched": lambda page: (
        page["title"] == "Fight Club"
        and len(page["cast"]) == 10
        and "David Fincher" in [person["name"] for person in page["crew"]]
        and are_films(page["similar_movies"])
        and are_films(page["recommended_movies"])
    ),
    "/api/dashboard/complete": lambda page: (
        len(page["popular_movies"]) == len(page["trending_movies"]) == 12
        and are_films(page["recommended_for_you"])
    ),
    "/api/dashboard/search/enriched?query=inception": lambda page: are_films(page["results"]),
    "/api/movies/popular": lambda page: len(page["results"]) == 20,
    "/api/movies/trending/day": lambda page: are_films(page["results"]),
    "/api/movies/trending/week": lambda page: are_films(page["results"]),
    "/api/movies/now-playing": lambda page: are_films(page["results"]),
    "/api/movies/upcoming": lambda page: are_films(page["results"]),
    "/api/movies/top-rated": lambda page: are_films(page["results"]),
    "/api/movies/search?query=fight+club": lambda page: (
        550 in [film["id"] for film in page["results"]]
    ),
    "/api/movies/discover?with_genres=18&primary_release_year=1999": lambda page: (
        are_films(page["results"]) and all(18 in film["genre_ids"] for film in page["results"])
    ),
    "/api/movies/genres": lambda page: {"id": 18, "name": "Drama"} in page["genres"],
    "/api/movies/550": lambda film: film["title"] == "Fight Club" and film["runtime"] > 100,
    "/api/movies/550/credits": lambda page: (
        "Brad Pitt" in [person["name"] for person in page["cast"]]
    ),
    "/api/movies/550/reviews": lambda page: page["results"],
    "/api/movies/550/recommendations": lambda page: are_films(page["results"]),
    "/api/movies/550/similar": lambda page: are_films(page["results"]),
    "/api/movies/550/videos": lambda page: page["id"] == 550,
    "/api/movies/550/images": lambda page: page["posters"],
    "/api/movies/550/watch-providers": lambda page: page["results"],
    "/api/search/multi?query=brad+pitt": lambda page: (
        "person" in [found["media_type"] for found in page["results"]]
    ),
    "/api/people/287": lambda person: person["name"] == "Brad Pitt",
    "/api/people/287/credits": lambda page: are_films(page["cast"]),
    "/api/users/favorites": lambda page: page["total"] == 3,
    "/api/users/favorites/550": lambda item: item["rating"] == 5,
    "/api/users/watchlist": lambda page: page["total"] == 2,
    "/api/users/watchlist/680": lambda item: item["title"] == "Pulp Fiction",
    "/api/users/history": lambda page: page["history"] == [],
    "/api/configuration": lambda page: page["tmdb"] == "stub" and page["images"]["base_url"],
    "/health": lambda page: page["status"] == "healthy",
    "/health/live": lambda page: page["status"] == "healthy",
    "/health/ready": lambda page: page["status"] == "pass",
}


@pytest.mark.parametrize("path", READS)
def test_read_when_all_is_well_then_it_answers_with_real_films(stack: Stack, path: str) -> None:
    """Every read of the contract is 200, nothing is degraded, and the data make sense."""
    response = stack.get(path)

    assert response.status_code == 200, response.text
    assert READS[path](response.json())
    assert "X-Degraded" not in response.headers
    assert response.headers["X-Request-ID"]
    assert float(response.headers["X-Process-Time"]) >= 0


def test_reads_when_held_against_the_document_then_none_is_forgotten(stack: Stack) -> None:
    """Every GET of the document is asked in this file, but for what one row of a table makes."""
    paths = stack.get("/openapi.json").json()["paths"]
    rows = {row.route for row in reads.READS}
    documented = {path for path, item in paths.items() if "get" in item and path not in rows}
    given = {path.split("?")[0] for path in READS} | {"/metrics", "/api/users/history/550"}

    def is_asked(path: str) -> bool:
        parts = path.split("/")
        return any(
            len(parts) == len(own := one.split("/"))
            and all(a == b or a.startswith("{") for a, b in zip(parts, own, strict=True))
            for one in given
        )

    assert {path for path in documented if not is_asked(path)} == set()


def test_library_when_users_differ_then_each_sees_only_their_own(stack: Stack) -> None:
    """The sample is the demo user's; what a user with a token adds is theirs alone."""
    anna, ben = as_user("anna"), as_user("ben")
    favorites = stack.get(FAVORITES).json()["favorites"]

    added = stack.call("POST", FAVORITES, headers=anna, json={"movie_id": 27205})

    assert {item["movie_id"]: item["rating"] for item in favorites} == {550: 5, 155: 5, 13: 4}
    assert added.status_code == 201
    assert added.json()["favorite"]["title"] == "Inception"
    assert stack.get(added.headers["Location"], headers=anna).json()["movie_id"] == 27205
    for headers, film, expected in (
        (anna, 27205, (True, False)),
        (ben, 27205, (False, False)),
        ({}, 550, (True, False)),
        ({}, 680, (False, True)),
    ):
        page = stack.get(f"/api/dashboard/movie/{film}/enriched", headers=headers)
        data = page.json()["user_data"]
        assert (data["is_favorite"], data["is_in_watchlist"]) == expected
        assert page.headers["Cache-Control"] == "private, no-cache"
        assert "Authorization" in page.headers["Vary"]


REFUSED: dict[str, tuple[int, str, str, dict[str, Any]]] = {
    "parameter": (422, "GET", "/api/movies/popular?page=501", {}),
    "encoded-nul": (422, "GET", "/api/movies/search?query=a%00b", {}),
    "7-kB-query": (422, "GET", "/api/movies/search?query=" + 7000 * "a", {}),
    "unknown-film": (404, "GET", "/api/movies/999999999", {}),
    "write-of-an-unknown-film": (404, "POST", FAVORITES, {"json": {"movie_id": 999_999_999}}),
    "no-such-path": (404, "GET", "/api/nothing", {}),
    "method": (405, "DELETE", "/api/dashboard/feed", {}),
    "cut-body": (400, "POST", FAVORITES, {"data": b'{"movie_id": 550', "headers": JSON}),
    "not-declared": (415, "POST", FAVORITES, {"data": b'{"movie_id": 550}'}),
    "2-MB-body": (
        413,
        "POST",
        FAVORITES,
        {"data": b" " * 2**21, "headers": JSON},
    ),
    "wrong-body": (422, "POST", FAVORITES, {"json": {"movie_id": 550, "rating": 6}}),
    "twice": (409, "POST", FAVORITES, {"json": {"movie_id": 550}}),
    "wrong-key": (
        401,
        "GET",
        FAVORITES,
        {"headers": as_user("anna", "another-secret-of-enough-bytes-for-it")},
    ),
    "expired": (401, "GET", FAVORITES, {"headers": as_user("anna", exp=time.time() - 5)}),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_request_when_refused_then_it_is_a_problem_and_nothing_is_written(
    stack: Stack, kind: str
) -> None:
    """Each kind of refusal has its status, the header that goes with it, and changes nothing."""
    status, method, path, options = REFUSED[kind]

    response = stack.call(method, path, **options)

    problem(response, status)
    assert ("Allow" in response.headers) is (status == 405)
    assert response.headers.get("WWW-Authenticate", "").startswith("Bearer") is (status == 401)
    assert stack.get(FAVORITES, headers=NEWER).json()["total"] == 3


def test_feed_when_the_user_service_is_killed_meanwhile_then_flags_are_unknown(
    stack: Stack,
) -> None:
    """A feed that is open while the user service dies is 200 with null and not with false."""
    path = "/api/dashboard/feed?region=AT"
    stack.get(path)
    stack.faults("users", hang=True)
    with ThreadPoolExecutor(1) as pool:
        feed = pool.submit(stack.get, path, headers=NEWER)
        stack.wait(lambda: bool(stack.calls("users")), "the feed did not ask")
        stack.kill("users")
        response = feed.result()
    stack.start("users")

    page = response.json()
    assert response.status_code == 200
    assert are_films(page["movies"])
    assert {film["is_favorite"] for film in page["movies"]} == {None}
    assert {film["is_in_watchlist"] for film in page["movies"]} == {None}
    assert page["favorites_count"] is page["watchlist_count"] is None
    assert page["sections"]["movies"]["status"] == "ok"
    assert page["sections"]["favorites"]["status"] == "unavailable"
    assert response.headers["X-Degraded"] == "favorites, watchlist"
    assert "ETag" not in response.headers
    stack.wait(
        lambda: "X-Degraded" not in stack.get(path, headers=NEWER).headers,
        "the feed did not recover",
    )


def test_user_service_when_killed_and_started_again_then_nothing_is_lost(stack: Stack) -> None:
    """What was answered with success is there after a kill -9."""
    carla = as_user("carla")
    for method, path, body in (
        ("POST", FAVORITES, {"movie_id": 550, "rating": 3}),
        ("POST", "/api/users/watchlist", {"movie_id": 680}),
        ("PUT", "/api/users/history/13", {"progress": 0.5}),
    ):
        assert stack.call(method, path, headers=carla, json=body).status_code == 201

    def lists() -> list[Json]:
        names = ("favorites", "watchlist", "history")
        headers = carla | NEWER
        return [stack.get(f"/api/users/{name}", headers=headers).json() for name in names]

    before = lists()
    stack.kill("users")
    stack.start("users")
    stack.wait(lambda: stack.get(FAVORITES, headers=carla | NEWER).ok, "no recovery")

    assert [page["total"] for page in before] == [1, 1, 1]
    assert lists() == before


@pytest.mark.parametrize("process", ["bff", "users"])
def test_refusal_when_it_is_logged_then_no_credential_is_quoted(stack: Stack, process: str) -> None:
    """A header without its colon is not told to whoever reads the log."""
    request = b"GET /health HTTP/1.1\r\nAuthorization Bearer planted-secret\r\n\r\n"
    answered, _ = raw(stack, request, process)

    log = stack.servers[process].log
    stack.wait(lambda: "server.refused" in log.read_text(), "no line")
    assert answered == 400
    assert "planted-secret" not in log.read_text().lower()
    assert "Traceback" not in log.read_text()


@pytest.mark.parametrize("chunks", [b"zz\r\nabc\r\n0\r\n\r\n", b"3\r\nabcXX\r\n0\r\n\r\n"])
def test_chunked_body_when_malformed_then_it_is_the_clients_fault(
    stack: Stack, chunks: bytes
) -> None:
    """A chunk that cannot be read is a 400 and not a bug of the application."""
    head = b"POST /api/users/favorites HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    answered, headers = raw(stack, head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)

    assert (answered, headers["content-type"]) == (400, "application/problem+json")


@pytest.mark.parametrize(
    "given", [b"a%0d%0aX-Evil:%201", b"a\x0bX-Evil: 1", b"a\rX-Evil: 1", b"a\xff", b"a" * 129, b""]
)
def test_request_id_when_it_is_no_plain_token_then_it_is_replaced(
    stack: Stack, given: bytes
) -> None:
    """Nothing that a caller puts into X-Request-ID becomes a header of its own."""
    head = b"GET /health HTTP/1.1\r\nHost: a\r\nX-Request-ID: "
    status, headers = raw(stack, head + given + b"\r\n\r\n")

    assert "x-evil" not in headers
    if status == 200:
        assert headers["x-request-id"].encode() != given
        assert headers["x-request-id"].isalnum()
    else:  # gunicorn has refused it
        assert (status, headers["connection"]) == (400, "close")


def test_request_id_when_plain_then_answer_log_and_upstreams_have_it(stack: Stack) -> None:
    """One id leads from the caller's request to the upstream's log."""
    response = stack.get(FAVORITES, headers={"X-Request-ID": "trace-4711", **NEWER})

    assert response.headers["X-Request-ID"] == "trace-4711"
    for name in ("bff", "users"):
        log = stack.servers[name].log
        stack.wait(lambda log=log: "trace-4711" in log.read_text(), f"{name} does not log the id")


def test_connection_when_kept_alive_then_errors_do_not_end_it(stack: Stack) -> None:
    """One connection serves a row of requests, refused ones among them, each with its answer."""
    tag = stack.get("/api/movies/popular").headers["ETag"]
    row = [
        ("GET", "/health", None, 200),
        ("GET", "/api/movies/0", None, 422),
        ("HEAD", "/api/movies/popular", None, 304),
        ("GET", "/api/movies/popular", None, 304),
        ("HEAD", "/api/movies/550", None, 200),
        ("POST", FAVORITES, b"{", 400),
        ("GET", "/api/nothing", None, 404),
        ("GET", "/api/movies/550", None, 200),
    ]
    connection = http.client.HTTPConnection(urlsplit(stack.bff).netloc, timeout=CALL_TIMEOUT_S)
    connection.connect()
    port = connection.sock.getsockname()[1]
    seen = []
    for method, path, body, _ in row:
        connection.request(method, path, body, JSON | {"If-None-Match": tag})
        response = connection.getresponse()
        response.read()
        seen.append((response.status, connection.sock and connection.sock.getsockname()[1]))
    connection.close()

    assert seen == [(status, port) for *_, status in row]
