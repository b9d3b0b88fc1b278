"""Every way an upstream can fail, and the answer; `tests/faults` has every page and call."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from urllib3.exceptions import ProtocolError

from tests.bff.api.test_identity import bearer, token
from tests.bff.app import TMDB_KEY, MakeClient, leaked
from tests.bff.fake_upstreams import Call, Upstream, films
from tests.contract.client import ContractClient

Break = Callable[[Upstream], None]
SHORT = dict.fromkeys(("PAGE_DEADLINE_MS", "TMDB_TIMEOUT_MS", "USER_SERVICE_TIMEOUT_MS"), "200")
STATELESS = {"CACHE_ENABLED": "false", "CIRCUIT_BREAKER_ENABLED": "false"}


def _answers(*args: Any, **kwargs: Any) -> Break:
    return lambda upstream: upstream.answers("*", *args, **kwargs)


def _fails(error: Exception) -> Break:
    return lambda upstream: upstream.fails("*", error)


def _aborted(cause: Exception) -> requests.ConnectionError:
    """Return what requests raises where an exchange broke off."""
    return requests.ConnectionError(ProtocolError("Connection aborted.", cause))


FAILURES: dict[str, tuple[Break, int, str]] = {
    "500": (_answers(500), 502, "upstream_error"),
    "502-html": (_answers(502, body=b"<html>nginx</html>"), 502, "upstream_error"),
    "503": (_answers(503), 502, "upstream_error"),
    "504-empty": (_answers(504, body=b""), 502, "upstream_error"),
    "401": (_answers(401, {"status_code": 7}), 502, "upstream_error"),
    "403": (_answers(403), 502, "upstream_error"),
    "html": (_answers(body=b"<html>Welcome</html>"), 502, "bad_response"),
    "empty": (_answers(body=b""), 502, "bad_response"),
    "cut": (_answers(body=b'{"page": 1, "results": [{"id"'), 502, "bad_response"),
    "list": (_answers(json=[]), 502, "bad_response"),
    "null": (_answers(json=None), 502, "bad_response"),
    "text": (_answers(json="hello"), 502, "bad_response"),
    "other-object": (_answers(json={"success": True}), 502, "bad_response"),
    "wrong-type": (_answers(json={"results": {}, "favorites": 5}), 502, "bad_response"),
    "broken-utf8": (_answers(body=b'{"results": ["\xff"]}'), 502, "bad_response"),
    "not-gzip": (_answers(json={}, headers={"Content-Encoding": "gzip"}), 502, "bad_response"),
    "302": (_answers(302, headers={"Location": "http://evil.test/"}), 502, "bad_response"),
    "204": (_answers(204, body=b""), 502, "bad_response"),
    "refused": (_fails(requests.ConnectionError("refused")), 502, "unreachable"),
    "reset": (_fails(_aborted(ConnectionResetError("reset"))), 502, "unreachable"),
    "timeout": (_fails(requests.ReadTimeout()), 504, "timeout"),
    "no-http": (_fails(_aborted(http.client.LineTooLong("header"))), 502, "bad_response"),
    # The last one: from then on TMDB is not asked for 7 s.
    "429": (_answers(429, headers={"Retry-After": "7"}), 503, "rate_limited"),
}


def failures(*upstreams: Upstream) -> Iterator[tuple[str, int, str]]:
    """Let the upstreams fail in each way in turn; yield name, status and reason."""
    for name, (broken, status, reason) in FAILURES.items():
        for upstream in upstreams:
            upstream.heals()
            upstream.calls.clear()
            broken(upstream)
        yield name, status, reason


@pytest.mark.parametrize(
    ("path", "failing"),
    [
        ("/api/movies/popular", "tmdb"),
        ("/api/dashboard/feed", "tmdb"),
        ("/api/users/favorites", "users"),
        ("/api/users/watchlist/680", "users"),
        ("PUT /api/users/history/550", "users"),
    ],
)
def test_answer_when_its_upstream_fails_then_the_status_says_how(
    make_client: MakeClient, tmdb: Upstream, users: Upstream, path: str, failing: str
) -> None:
    """502, 503 or 504 with upstream and reason; a write is sent once, whatever became of it."""
    client, upstream = make_client(**STATELESS), {"tmdb": tmdb, "users": users}[failing]
    method, _, address = path.rpartition(" ")
    for name, status, reason in failures(upstream):
        body = {"progress": 0.5} if method else None
        response = client.open(address, method=method or "GET", json=body)

        assert response.status_code == status, name
        problem = response.json
        assert (problem["upstream"], problem["reason"]) == (failing, reason), name
        assert response.headers.get("Retry-After") == ("7" if status == 503 else None)
        assert not method or len(upstream.calls) == 1


def test_feed_when_the_user_service_fails_then_what_it_knows_is_null(
    make_client: MakeClient, users: Upstream
) -> None:
    """The films are shown; flags and counts are unknown, not false and not 0."""
    client = make_client(**STATELESS)
    for _, status, reason in failures(users):
        response = client.get("/api/dashboard/feed")

        assert response.status_code == 200
        assert response.headers["X-Degraded"] == "favorites, watchlist"
        assert "ETag" not in response.headers
        body, wait = response.json, 7 if status == 503 else None
        lost = {"status": "unavailable", "reason": reason, "age": None, "retry_after": wait}
        assert body["sections"]["favorites"] == body["sections"]["watchlist"] == lost
        assert body["favorites_count"] is body["watchlist_count"] is None
        assert len(body["movies"]) == 20
        for movie in body["movies"]:
            marks = movie["is_favorite"], movie["is_in_watchlist"], movie["user_rating"]
            assert marks == (None, None, None)


def test_complete_when_an_upstream_is_down_then_the_other_one_fills_the_page(
    client: ContractClient, tmdb: Upstream, users: Upstream
) -> None:
    """Without favourites there is nothing to recommend from; with nothing at all it fails."""
    users.fails("*", requests.ConnectionError("refused"))
    films_only = client.get("/api/dashboard/complete")
    tmdb.fails("*", requests.ReadTimeout())
    nothing = client.get("/api/dashboard/complete")
    users.heals()
    numbers_only = client.get("/api/dashboard/complete").json

    body = films_only.json
    assert len(body["popular_movies"]) == len(body["trending_movies"]) == 12
    assert body["recommended_for_you"] is body["continue_watching"] is None
    assert set(body["stats"].values()) == {None}
    degraded = set(films_only.headers["X-Degraded"].split(", "))
    assert degraded == {"recommended", "favorites", "watchlist", "history"}
    assert (nothing.status_code, nothing.json["upstream"]) == (504, "tmdb")
    assert numbers_only["stats"]["total_favorites"] == 3
    assert numbers_only["popular_movies"] is numbers_only["recommended_for_you"] is None
    assert numbers_only["sections"]["recommended"]["reason"] == "timeout"


@pytest.mark.parametrize(("enabled", "asked"), [("true", 5), ("false", 8)])
def test_circuit_when_tmdb_fails_five_times_then_it_is_not_asked(
    make_client: MakeClient, tmdb: Upstream, enabled: str, asked: int
) -> None:
    """After the threshold: 503 at once, with the time until the next attempt; unless disabled."""
    client = make_client(CIRCUIT_BREAKER_ENABLED=enabled)
    tmdb.fails("*", requests.ReadTimeout())

    answers = [client.get(f"/api/movies/popular?page={page}") for page in range(1, 9)]

    assert [answer.status_code for answer in answers[:asked]] == [504] * asked
    assert len(tmdb.calls) == asked
    for answer in answers[asked:]:
        assert (answer.status_code, answer.json["reason"]) == (503, "circuit_open")
        assert 1 <= answer.json["retry_after"] <= 60
    ready = client.get("/health/ready").json
    states = [(it["observedValue"], it["status"]) for it in ready["checks"]["tmdb:circuit"]]
    assert (("open", "warn") in states) is (ready["status"] == "warn") is (enabled == "true")


def test_circuit_when_it_is_open_then_other_upstreams_are_asked(
    fresh: ContractClient, users: Upstream
) -> None:
    """A user service that fails does not take TMDB with it."""
    users.fails("/favorites", requests.ConnectionError("refused"))
    for _ in range(6):
        fresh.get("/api/users/favorites")

    sections = fresh.get("/api/dashboard/feed").json["sections"]

    assert sections["favorites"]["reason"] == "circuit_open"
    assert sections["favorites"]["retry_after"] >= 1
    assert sections["movies"]["status"] == "ok"


@pytest.mark.parametrize("failure", ["500", "html", "timeout", "404"])
def test_circuit_when_one_film_always_fails_then_other_films_are_asked(
    fresh: ContractClient, tmdb: Upstream, failure: str
) -> None:
    """What belongs to one film opens no circuit, in any language; nor does a 404 of any film."""
    broken = _answers(404) if failure == "404" else FAILURES[failure][0]
    broken(tmdb)
    for number in range(12):
        path = ("/api/movies/550", "/api/movies/550/credits")[number % 2]
        response = fresh.get(f"{path}?language=en-{'ABCDEFGHIJKL'[number]}A")
        assert response.status_code == 404 if failure == "404" else response.status_code > 500
    tmdb.heals()

    assert fresh.get("/api/movies/551").status_code == 200


def test_circuit_when_one_user_always_fails_then_other_users_are_answered(
    fresh: ContractClient, users: Upstream
) -> None:
    """A library that is too large for an answer is one user's trouble."""
    users.does(
        "/favorites",
        lambda call: (500, {}, b"") if call.headers["X-User-Id"] == "demo-user-123" else None,
    )
    for _ in range(12):
        assert fresh.get("/api/users/favorites").status_code == 502

    other = fresh.get("/api/users/favorites", headers=bearer(token({"sub": "other"})))

    assert other.status_code == 200


def test_bulkhead_when_every_slot_is_taken_then_503_at_once(
    make_client: MakeClient, tmdb: Upstream
) -> None:
    """One call more than there are slots is refused, it does not queue."""
    client = make_client(TMDB_CONCURRENT_CALLS="1", CACHE_ENABLED="false")
    inside, go = threading.Event(), threading.Event()

    def hold(_: Call) -> None:
        inside.set()
        assert go.wait(60)

    tmdb.does("/movie/top_rated", hold)
    first: list[int] = []
    thread = threading.Thread(
        target=lambda: first.append(client.get("/api/movies/top-rated").status_code)
    )
    thread.start()
    assert inside.wait(60)
    try:
        refused = client.get("/api/movies/popular")
    finally:
        go.set()
        thread.join()

    assert (refused.status_code, refused.json["reason"]) == (503, "saturated")
    assert refused.headers["Retry-After"] == "1"
    assert first == [200]
    assert client.get("/api/movies/popular").status_code == 200


@pytest.mark.parametrize(
    ("path", "slow"),
    [
        ("/api/movies/popular", "tmdb"),
        ("/api/dashboard/feed", "tmdb"),
        ("/api/dashboard/feed", "users"),
    ],
)
def test_deadline_when_an_upstream_is_too_slow_then_the_answer_does_not_wait_for_it(
    make_client: MakeClient, tmdb: Upstream, users: Upstream, path: str, slow: str
) -> None:
    """504 where it is required; without its section where it is not."""
    client, go = make_client(**SHORT), threading.Event()

    def wait(_: Call) -> None:
        assert go.wait(60)

    tmdb.answers("/movie/popular", json=films(1))
    {"tmdb": tmdb, "users": users}[slow].does("*", wait)
    try:
        response = client.get(path)
    finally:
        go.set()

    if slow == "tmdb":
        assert (response.status_code, response.json["reason"]) == (504, "timeout")
    else:
        assert response.json["sections"]["favorites"]["reason"] == "timeout"
        assert response.json["movies"][0]["is_favorite"] is None


def test_tmdb_when_it_asks_to_wait_then_it_is_left_alone(
    fresh: ContractClient, tmdb: Upstream
) -> None:
    """After a 429 the caller is told to wait, and no call goes out."""
    FAILURES["429"][0](tmdb)
    fresh.get("/api/movies/popular")
    tmdb.heals()

    response = fresh.get("/api/movies/top-rated")

    assert response.status_code == 503
    assert 1 <= int(response.headers["Retry-After"]) <= 7
    assert len(tmdb.calls) == 1


@pytest.mark.parametrize("failure", ["500", "html", "refused"])
def test_cache_when_an_answer_is_a_failure_then_it_is_not_kept(
    fresh: ContractClient, tmdb: Upstream, failure: str
) -> None:
    """The next request after a failure gets the answer."""
    FAILURES[failure][0](tmdb)
    assert fresh.get("/api/movies/popular").status_code >= 500
    tmdb.heals()

    assert fresh.get("/api/movies/popular").status_code == 200


def test_retry_when_tmdb_fails_once_then_the_answer_comes(
    fresh: ContractClient, tmdb: Upstream
) -> None:
    """A read is sent a second time; the caller sees only the answer."""
    failures_left = [requests.ConnectionError("reset")]
    tmdb.does("*", lambda _: failures_left.pop() if failures_left else None)

    assert fresh.get("/api/movies/popular").status_code == 200
    assert len(tmdb.calls) == 2


@pytest.mark.parametrize("upstream", ["tmdb", "users"])
def test_cookies_when_an_upstream_sets_one_then_it_goes_nowhere(
    client: ContractClient, tmdb: Upstream, users: Upstream, upstream: str
) -> None:
    """Neither the caller nor the next call of the upstream sees it."""
    played = {"tmdb": tmdb, "users": users}[upstream]
    lists = {**films(1), "favorites": [], "watchlist": [], "total": 0}
    cookie = {"Set-Cookie": "session=planted-cookie; Path=/", "X-Planted": "planted-cookie"}
    played.answers("*", json=lists, headers=cookie)

    for page in (1, 2):
        response = client.get(f"/api/dashboard/feed?page={page}")
        assert "planted-cookie" not in repr(list(response.headers))

    assert not [call for call in played.calls if "Cookie" in call.headers]


def test_credentials_when_an_upstream_fails_then_none_is_shown(
    make_client: MakeClient, tmdb: Upstream, users: Upstream, logs: list[str]
) -> None:
    """With TMDB's key in the query: no answer and no log line (tracebacks too) holds a secret."""
    client = make_client(TMDB_READ_TOKEN="", TMDB_API_KEY=TMDB_KEY, **STATELESS)
    for _ in failures(tmdb, users):
        logs.clear()
        for path in ("/api/movies/550", "/api/dashboard/complete", "/api/users/favorites"):
            client.get(path)  # the client looks for every secret

        assert tmdb.calls[0].query["api_key"] == TMDB_KEY
        assert logs
        assert leaked(logs) == []


@pytest.mark.parametrize(
    ("path", "where"), [("/api/movies/popular", "*"), ("/api/dashboard/feed", "/movie/popular")]
)
def test_bug_when_a_call_raises_something_else_then_it_is_a_500_that_reveals_nothing(
    client: ContractClient, tmdb: Upstream, logs: list[str], path: str, where: str
) -> None:
    """The log has traceback and request id, the caller only the id; no section hides it."""
    client.bug_expected = True

    def bug(_: Call) -> None:
        raise KeyError("planted-inside /secret/path.py SELECT * FROM users")

    tmdb.does(where, bug)
    response = client.get(path, headers={"X-Request-ID": "find-me"})

    assert response.status_code == 500
    assert response.json == {
        "type": "/problems/internal",
        "title": "Internal error",
        "status": 500,
        "detail": "something went wrong on our side",
        "instance": path,
        "request_id": "find-me",
    }
    assert [line for line in logs if "Traceback" in line and "find-me" in line]


def test_bug_when_it_is_in_an_optional_section_then_the_page_is_not_degraded_but_500(
    client: ContractClient, users: Upstream
) -> None:
    """Only an upstream's own failure may become a missing section."""
    client.bug_expected = True

    def bug(_: Call) -> None:
        raise TypeError("planted")

    users.does("/favorites", bug)

    assert client.get("/api/dashboard/feed").status_code == 500
