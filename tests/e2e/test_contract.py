"""The contract as a frontend meets it: the BFF and its neighbours as processes of their own."""

from __future__ import annotations

import concurrent.futures
import http.client
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import jwt
import pytest
import requests

from bff import reads
from tests.e2e.conftest import LIVE
from tests.e2e.stack import Stack

pytestmark = pytest.mark.e2e

Json = dict[str, Any]
SECRET = "a-secret-of-enough-bytes-for-HS256"
# Asks for a newer state of a user's lists than the BFF may have in memory.
NEWER = {"X-Library-Revision": "999999"}
PROBLEM = {"type", "title", "status", "detail", "request_id"}


@pytest.fixture(scope="module")
def _live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("stack"), JWT_SECRET=SECRET) as stack:
        LIVE.append(stack)
        yield stack
        LIVE.remove(stack)


@pytest.fixture
def live(_live: Stack) -> Stack:
    """Return this module's stack, which accepts tokens, with the demo user's sample data."""
    _live.reset()
    return _live


def as_user(name: str, secret: str = SECRET, **claims: Any) -> dict[str, str]:
    """Return the headers of a user with a token."""
    token = jwt.encode({"sub": name, "exp": time.time() + 600} | claims, secret, "HS256")
    return {"Authorization": f"Bearer {token}"}


def problem(response: requests.Response, status: int) -> Json:
    """Return the problem document of a refused request, once it is one."""
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["Cache-Control"] == "no-store"
    document: Json = response.json()
    assert document.keys() >= PROBLEM
    assert document["status"] == status
    assert document["request_id"] == response.headers["X-Request-ID"]
    for inside in ("Traceback", ".py", "sqlite", "SELECT"):
        assert inside not in response.text
    return document


def raw(stack: Stack, request: bytes, process: str = "bff") -> tuple[int, dict[str, str], bytes]:
    """Send raw bytes to a process and read one answer."""
    port = stack.servers[process].port
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.sendall(request)
        response = http.client.HTTPResponse(sock)
        response.begin()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return response.status, headers, response.read()


def kill_at_once(stack: Stack, name: str) -> None:
    """Send SIGKILL to master and workers; a worker that lost its master would still answer."""
    server = stack.servers[name]
    os.killpg(server.pid, signal.SIGKILL)
    stack.wait(lambda: server.exit_code() is not None, f"{name} survived SIGKILL")
    server.end(0)


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
def test_read_when_all_is_well_then_it_answers_with_real_films(live: Stack, path: str) -> None:
    """Every read of the contract is 200, nothing is degraded, and the data make sense."""
    response = live.get(path)

    assert response.status_code == 200, response.text
    assert READS[path](response.json())
    assert "X-Degraded" not in response.headers
    assert response.headers["X-Request-ID"]
    assert float(response.headers["X-Process-Time"]) >= 0


def test_reads_when_held_against_the_document_then_none_is_forgotten(live: Stack) -> None:
    """Every GET of the document is asked in this file, but for what one row of a table makes."""
    documented = {
        path
        for path, item in live.get("/openapi.json").json()["paths"].items()
        if "get" in item and path not in {row.route for row in reads.READS}
    }
    patterns = {path.split("?")[0] for path in READS} | {"/metrics", "/api/users/history/550"}
    asked = {
        path
        for path in documented
        for given in patterns
        if len(path.split("/")) == len(given.split("/"))
        and all(
            part == own or part.startswith("{")
            for part, own in zip(path.split("/"), given.split("/"), strict=True)
        )
    }

    assert documented == asked


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_documentation_when_opened_then_it_needs_no_other_server(live: Stack, path: str) -> None:
    """Swagger UI and ReDoc and the files they load come from the BFF."""
    page = live.get(path)

    assert page.status_code == 200
    assert "http://" not in page.text
    assert "https://" not in page.text
    files = [part.split('"')[0] for part in page.text.split('src="')[1:]]
    assert files
    for file in files:
        assert live.get(file).status_code == 200


def test_metrics_when_read_then_they_are_prometheus_text(live: Stack) -> None:
    """/metrics is Prometheus' text format, without a personal address in it."""
    live.get("/api/users/favorites/550")
    live.get("/api/movies/popular?page=77")

    response = live.get("/metrics")
    assert response.headers["Content-Type"].startswith("text/plain; version=")
    assert 'bff_cache_total{result="miss"}' in response.text
    assert "/550" not in response.text


def test_demo_user_when_no_token_is_sent_then_the_sample_is_theirs(live: Stack) -> None:
    """Without a token the demo user's favourites and watchlist are shown on films."""
    favorites = live.get("/api/users/favorites").json()["favorites"]
    marks = {
        film: live.get(f"/api/dashboard/movie/{film}/enriched").json()["user_data"]
        for film in (550, 680, 603)
    }

    assert {item["movie_id"]: item["rating"] for item in favorites} == {550: 5, 155: 5, 13: 4}
    assert marks[550]["is_favorite"] is True
    assert marks[550]["user_rating"] == 5
    assert marks[680]["is_in_watchlist"] is True
    assert marks[603]["is_favorite"] is marks[603]["is_in_watchlist"] is False


def test_library_when_users_have_tokens_then_each_sees_only_their_own(live: Stack) -> None:
    """What one user adds is theirs alone, on their lists and on their pages."""
    anna, ben = as_user("anna"), as_user("ben")

    added = live.call("POST", "/api/users/favorites", headers=anna, json={"movie_id": 27205})

    assert added.status_code == 201
    assert added.json()["favorite"]["title"] == "Inception"
    assert live.get(added.headers["Location"], headers=anna).json()["movie_id"] == 27205
    for headers, expected in ((anna, True), (ben, False)):
        page = live.get("/api/dashboard/movie/27205/enriched", headers=headers)
        assert page.json()["user_data"]["is_favorite"] is expected
        assert page.headers["Cache-Control"] == "private, no-cache"
        assert "Authorization" in page.headers["Vary"]
    assert live.get("/api/users/favorites", headers=ben).json()["total"] == 0


def test_write_when_tmdb_knows_no_such_film_then_nothing_is_written(live: Stack) -> None:
    """A film that TMDB does not know is 404, and the user service is not asked."""
    response = live.call("POST", "/api/users/favorites", json={"movie_id": 999_999_999})

    problem(response, 404)
    assert "POST /favorites" not in live.calls("users")


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(as_user("anna", "another-secret-of-enough-bytes-1"), id="wrong-key"),
        pytest.param(as_user("anna", exp=time.time() - 5), id="expired"),
        pytest.param(as_user("anna", aud="another-service"), id="another-audience"),
        pytest.param(
            {"Authorization": "Bearer " + jwt.encode({"sub": "anna"}, "", "none")}, id="unsigned"
        ),
        pytest.param({"Authorization": "Basic YTpi"}, id="not-bearer"),
    ],
)
def test_token_when_it_does_not_hold_then_401_names_the_scheme(
    live: Stack, headers: dict[str, str]
) -> None:
    """A token that does not hold is refused; the request is not taken for the demo user's."""
    response = live.get("/api/users/favorites", headers=headers)

    problem(response, 401)
    assert response.headers["WWW-Authenticate"].startswith("Bearer")


def test_feed_when_the_user_service_is_killed_meanwhile_then_flags_are_unknown(
    live: Stack,
) -> None:
    """A feed that is open while the user service dies is 200 with null and not with false."""
    live.faults("users", latency_ms=1000)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        feed = pool.submit(live.get, "/api/dashboard/feed?region=AT", headers=NEWER)
        live.wait(lambda: "GET /favorites" in live.calls("users"), "the feed did not ask")
        kill_at_once(live, "users")
        response = feed.result(10)
    live.start("users")

    page = response.json()
    assert response.status_code == 200
    assert are_films(page["movies"])
    assert {film["is_favorite"] for film in page["movies"]} == {None}
    assert {film["is_in_watchlist"] for film in page["movies"]} == {None}
    assert page["favorites_count"] is page["watchlist_count"] is None
    assert page["sections"]["movies"]["status"] == "ok"
    assert page["sections"]["favorites"]["status"] == "unavailable"
    assert page["sections"]["favorites"]["reason"] == "unreachable"
    assert response.headers["X-Degraded"] == "favorites, watchlist"
    assert "ETag" not in response.headers
    live.wait(
        lambda: (
            "X-Degraded" not in live.get("/api/dashboard/feed?region=AT", headers=NEWER).headers
        ),
        "the feed did not recover",
    )


def test_user_service_when_killed_and_started_again_then_nothing_is_lost(live: Stack) -> None:
    """What was answered with success is there after a kill -9."""
    carla = as_user("carla")
    writes = (
        ("POST", "/api/users/favorites", {"movie_id": 550, "rating": 3}),
        ("POST", "/api/users/watchlist", {"movie_id": 680}),
        ("PUT", "/api/users/history/13", {"progress": 0.5}),
    )
    for method, path, body in writes:
        assert live.call(method, path, headers=carla, json=body).status_code == 201
    lists = ("favorites", "watchlist", "history")
    before = [live.get(f"/api/users/{name}", headers=carla).json() for name in lists]

    kill_at_once(live, "users")
    live.start("users")

    after = [live.get(f"/api/users/{name}", headers=carla).json() for name in lists]
    assert [page["total"] for page in after] == [1, 1, 1]
    assert after == before


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/api/movies/0", "id"),
        ("/api/movies/-1", "id"),
        (f"/api/movies/{2**63}", "id"),
        ("/api/movies/abc", "id"),
        ("/api/movies/trending/month", "window"),
        ("/api/movies/popular?page=0", "page"),
        ("/api/movies/popular?page=501", "page"),
        ("/api/movies/popular?pag=1", "pag"),
        ("/api/movies/popular?page=1&page=2", "page"),
        ("/api/movies/popular?language=english", "language"),
        ("/api/movies/popular?region=USA", "region"),
        ("/api/movies/search", "query"),
        ("/api/movies/search?query=%20", "query"),
        ("/api/movies/search?query=a%00b", "query"),
        ("/api/movies/search?query=%ff%fe", "request"),
        ("/api/movies/search?query=" + 7000 * "a", "query"),
        ("/api/dashboard/feed?page=501", "page"),
        ("/api/dashboard/search/enriched?query=", "query"),
    ],
)
def test_parameter_when_wrong_then_422_names_it_and_nobody_is_asked(
    live: Stack, path: str, field: str
) -> None:
    """A wrong parameter is refused by its name, before any upstream call."""
    document = problem(live.get(path), 422)

    assert list(document["errors"]) == [field]
    assert live.calls("tmdb") == live.calls("users") == {}


@pytest.mark.parametrize(
    ("status", "content_type", "body"),
    [
        pytest.param(400, "application/json", b'{"movie_id": 550', id="cut"),
        pytest.param(400, "application/json", b'{"movie_id": "\xff"}', id="not-utf8"),
        pytest.param(415, "text/plain", b'{"movie_id": 550}', id="not-declared"),
        pytest.param(415, None, b'{"movie_id": 550}', id="no-type"),
        pytest.param(422, "application/json", b"[550]", id="no-object"),
        pytest.param(422, "application/json", b'{"movie_id": 550, "stars": 5}', id="unknown"),
        pytest.param(422, "application/json", b'{"movie_id": 550, "rating": 6}', id="too-many"),
        pytest.param(422, "application/json", b'{"movie_id": "550"}', id="text-for-number"),
        pytest.param(422, "application/json", b'{"movie_id": 1e300}', id="huge"),
        pytest.param(400, "application/json", b'{"movie_id": NaN}', id="nan"),
        pytest.param(413, "application/json", b" " * 2 * 1024 * 1024, id="two-megabytes"),
    ],
)
def test_body_when_wrong_then_it_is_refused_and_nothing_is_written(
    live: Stack, status: int, content_type: str | None, body: bytes
) -> None:
    """A body that cannot be taken is a problem document, and no half of it is kept."""
    headers = {"Content-Type": content_type} if content_type else {}

    problem(live.call("POST", "/api/users/favorites", headers=headers, data=body), status)
    assert live.calls("users") == {}


@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(b"nonsense\r\n\r\n", id="no-request-line"),
        pytest.param(
            b"GET /api/movies/search?query=" + 10_240 * b"a" + b" HTTP/1.1\r\n\r\n",
            id="10-kB-query",
        ),
        pytest.param(
            b"GET /health HTTP/1.1\r\nAuthorization: Bearer " + 9000 * b"a" + b"\r\n\r\n",
            id="long-header",
        ),
        pytest.param(b"GET /health HTTP/1.1\r\nX-Request-ID: a\rX-Evil: 1\r\n\r\n", id="bare-cr"),
        pytest.param(
            b"POST /health HTTP/1.1\r\nTransfer-Encoding: rot13\r\n\r\n", id="unknown-coding"
        ),
    ],
)
def test_request_when_broken_then_the_server_itself_refuses_it(
    live: Stack, request_bytes: bytes
) -> None:
    """What gunicorn refuses never reaches the application, and harms nobody else."""
    answered, headers, _ = raw(live, request_bytes)

    assert answered in (400, 414, 431, 501)
    assert headers["connection"] == "close"
    assert "x-evil" not in headers
    assert live.get("/health").status_code == 200


@pytest.mark.parametrize("process", ["bff", "users"])
def test_refusal_when_it_is_logged_then_no_credential_is_quoted(live: Stack, process: str) -> None:
    """A header without its colon is not told to whoever reads the log."""
    request = b"GET /health HTTP/1.1\r\nAuthorization Bearer planted-secret\r\n\r\n"
    answered, _, _ = raw(live, request, process)

    log = live.servers[process].log
    live.wait(lambda: "server.refused" in log.read_text(), "no line")
    assert answered == 400
    assert "planted-secret" not in log.read_text().lower()
    assert "Traceback" not in log.read_text()


@pytest.mark.parametrize("chunks", [b"zz\r\nabc\r\n0\r\n\r\n", b"3\r\nabcXX\r\n0\r\n\r\n"])
def test_chunked_body_when_malformed_then_it_is_the_clients_fault(
    live: Stack, chunks: bytes
) -> None:
    """A chunk that cannot be read is a 400 and not a bug of the application."""
    head = b"POST /api/users/favorites HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    answered, headers, _ = raw(live, head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)

    assert answered == 400
    assert headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "given",
    [
        b"a%0d%0aX-Evil:%201",
        b"a\x0bX-Evil: 1",
        b"a b",
        b"a\xff",
        b"a" * 129,
        b"",
    ],
)
def test_request_id_when_it_is_no_plain_token_then_it_is_replaced(
    live: Stack, given: bytes
) -> None:
    """Nothing that a caller puts into X-Request-ID becomes a header or a log line of its own."""
    status, headers, _ = raw(
        live, b"GET /health HTTP/1.1\r\nHost: a\r\nX-Request-ID: " + given + b"\r\n\r\n"
    )

    assert "x-evil" not in headers
    if status == 200:
        assert headers["x-request-id"].encode() != given
        assert headers["x-request-id"].isalnum()
    else:  # gunicorn has refused it
        assert (status, headers["connection"]) == (400, "close")


def test_request_id_when_plain_then_answer_log_and_upstreams_have_it(live: Stack) -> None:
    """One id leads from the caller's request to the upstream's log."""
    request_id = "trace-4711"

    response = live.get("/api/users/favorites", headers={"X-Request-ID": request_id, **NEWER})

    assert response.headers["X-Request-ID"] == request_id
    for name in ("bff", "users"):
        assert request_id in live.servers[name].log.read_text()


@pytest.mark.parametrize(
    "path", ["/health", "/api/movies/popular", "/api/dashboard/feed", "/api/movies/999999999"]
)
def test_head_when_asked_then_it_is_get_without_a_body(live: Stack, path: str) -> None:
    """HEAD has the status and the headers of GET."""
    got, head = live.get(path), live.call("HEAD", path)

    assert head.status_code == got.status_code
    assert head.content == b""
    for name in ("Content-Type", "ETag", "Content-Length"):
        assert head.headers.get(name) == got.headers.get(name)


@pytest.mark.parametrize("path", ["/api/movies/popular", "/api/dashboard/feed"])
def test_page_when_the_caller_has_it_then_304_has_no_body(live: Stack, path: str) -> None:
    """A strong ETag makes the second answer empty."""
    tag = live.get(path).headers["ETag"]

    again = live.get(path, headers={"If-None-Match": tag})

    assert again.status_code == 304
    assert again.content == b""
    assert again.headers["ETag"] == tag
    assert not tag.startswith("W/")


def test_method_when_not_known_then_405_lists_what_is(live: Stack) -> None:
    """405 says in Allow what the address knows."""
    response = live.call("DELETE", "/api/dashboard/feed")

    problem(response, 405)
    assert set(response.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}


@pytest.mark.parametrize(
    ("origin", "allowed"), [("http://localhost:3000", True), ("http://evil.example", False)]
)
def test_preflight_when_the_origin_is_configured_then_it_alone_may_call(
    live: Stack, origin: str, allowed: bool
) -> None:
    """A page of a configured origin may send a token; any other gets no permission."""
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, content-type",
    }

    response = live.call("OPTIONS", "/api/users/favorites", headers=asked)

    granted = response.headers.get("Access-Control-Allow-Origin")
    assert granted == (origin if allowed else None)


def test_connection_when_kept_alive_then_errors_do_not_end_it(live: Stack) -> None:
    """One connection serves a row of requests, refused ones among them, each with its answer."""
    row = [
        ("GET", "/health", None, 200),
        ("GET", "/api/movies/0", None, 422),
        ("HEAD", "/api/movies/popular", None, 200),
        ("POST", "/api/users/favorites", b"{", 400),
        ("GET", "/api/nothing", None, 404),
        ("GET", "/api/movies/550", None, 200),
    ]
    connection = http.client.HTTPConnection(urlsplit(live.bff).netloc, timeout=10)
    connection.connect()
    port = connection.sock.getsockname()[1]
    seen = []
    for method, path, body, _ in row:
        connection.request(method, path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        response.read()
        seen.append((response.status, connection.sock and connection.sock.getsockname()[1]))
    connection.close()

    assert seen == [(status, port) for *_, status in row]


def test_problem_type_when_followed_then_it_explains_the_kind(live: Stack) -> None:
    """The address in `type` answers."""
    kind = live.get(live.get("/api/movies/0").json()["type"])

    assert kind.status_code == 200
    assert kind.json()["status"] == 422
