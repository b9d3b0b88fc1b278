"""Every way an upstream can fail, and the status that says so."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable
from typing import Any

import pytest
import requests
from urllib3.exceptions import ProtocolError

from tests.api.conftest import TMDB_KEY, MakeClient, leaked
from tests.api.openapi import ContractClient
from tests.api.test_identity import bearer, token
from tests.api.upstreams import Call, Upstream, films

Break = Callable[[Upstream], None]
SHORT = dict.fromkeys(("PAGE_DEADLINE_MS", "TMDB_TIMEOUT_MS", "USER_SERVICE_TIMEOUT_MS"), "200")


def _answers(*args: Any, **kwargs: Any) -> Break:
    return lambda upstream: upstream.answers("*", *args, **kwargs)


def _fails(error: Exception) -> Break:
    return lambda upstream: upstream.fails("*", error)


def _aborted(cause: Exception) -> requests.ConnectionError:
    """Return what requests raises where an exchange broke off."""
    return requests.ConnectionError(ProtocolError("Connection aborted.", cause))


def _waits_for(event: threading.Event) -> Callable[[Call], None]:
    def wait(_: Call) -> None:
        event.wait(10)

    return wait


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
    "429": (_answers(429, headers={"Retry-After": "7"}), 503, "rate_limited"),
}


def breaks(name: str, *upstreams: Upstream) -> tuple[int, str]:
    """Let the upstreams fail in this way and no other; return what becomes of it."""
    broken, status, reason = FAILURES[name]
    for upstream in upstreams:
        upstream.heals()
        upstream.calls.clear()
        broken(upstream)
    return status, reason


@pytest.mark.parametrize("path", ["/api/movies/popular", "/api/dashboard/feed"])
def test_tmdb_when_it_fails_then_the_status_says_how(
    make_client: MakeClient, tmdb: Upstream, path: str, subtests: pytest.Subtests
) -> None:
    """What a page or a read cannot do without fails it, with upstream and reason."""
    for name in FAILURES:
        with subtests.test(failure=name):
            status, reason = breaks(name, tmdb)

            response = make_client().get(path)

            assert response.status_code == status
            assert (response.json["upstream"], response.json["reason"]) == ("tmdb", reason)
            assert "results" not in response.json
            if status == 503:
                assert response.headers["Retry-After"] == "7"


@pytest.mark.parametrize("path", ["/api/users/favorites", "/api/users/watchlist/680"])
def test_user_service_when_it_fails_then_the_status_says_how(
    make_client: MakeClient, users: Upstream, path: str, subtests: pytest.Subtests
) -> None:
    """The user's own lists need the user service."""
    for name in FAILURES:
        with subtests.test(failure=name):
            status, reason = breaks(name, users)

            response = make_client().get(path)

            assert response.status_code == status
            assert (response.json["upstream"], response.json["reason"]) == ("users", reason)


def test_user_service_when_a_write_fails_then_it_is_sent_once(
    make_client: MakeClient, users: Upstream, subtests: pytest.Subtests
) -> None:
    """A write whose fate is unknown is told as it is, and not repeated."""
    for name in FAILURES:
        with subtests.test(failure=name):
            status, reason = breaks(name, users)

            response = make_client().put("/api/users/history/550", json={"progress": 0.5})

            assert response.status_code == status
            assert response.json["reason"] == reason
            assert len(users.calls) == 1


def test_feed_when_the_user_service_fails_then_what_it_knows_is_null(
    make_client: MakeClient, users: Upstream, subtests: pytest.Subtests
) -> None:
    """The films are shown; flags and counts are unknown, not false and not 0."""
    for name in FAILURES:
        with subtests.test(failure=name):
            status, reason = breaks(name, users)

            response = make_client().get("/api/dashboard/feed")

            assert response.status_code == 200
            assert response.headers["X-Degraded"] == "favorites, watchlist"
            body = response.json
            assert body["sections"]["movies"]["status"] == "ok"
            for part in ("favorites", "watchlist"):
                section = body["sections"][part]
                said = section["status"], section["reason"], section["age"]
                assert said == ("unavailable", reason, None)
                assert section["retry_after"] == (7 if status == 503 else None)
                assert body[f"{part}_count"] is None
            assert len(body["movies"]) == 20
            for movie in body["movies"]:
                marks = movie["is_favorite"], movie["is_in_watchlist"], movie["user_rating"]
                assert marks == (None, None, None)


@pytest.mark.parametrize(
    ("path", "needs"),
    [
        ("feed", "/movie/popular"),
        ("movie/550/enriched", "/movie/550"),
        ("search/enriched?query=a", "/search/movie"),
    ],
)
def test_page_when_its_required_section_fails_then_the_page_fails(
    client: ContractClient, tmdb: Upstream, path: str, needs: str
) -> None:
    """A page without its heart is an error; a search that failed is no empty result."""
    tmdb.answers(needs, 503)

    assert client.get(f"/api/dashboard/{path}").status_code == 502


@pytest.mark.parametrize("section", ["favorites", "watchlist", "history"])
def test_film_page_when_one_list_fails_then_only_its_part_is_null(
    client: ContractClient, users: Upstream, section: str
) -> None:
    """Each part of the user's data stands and falls with its own list."""
    client.put("/api/users/history/550", json={"progress": 1})
    client.put("/api/users/watchlist/550", json={})
    users.answers(f"/{section}", 500)

    response = client.get("/api/dashboard/movie/550/enriched")

    data = response.json["user_data"]
    gone = {
        "favorites": {"is_favorite", "user_rating", "added_to_favorites_date"},
        "watchlist": {"is_in_watchlist", "added_to_watchlist_date"},
        "history": {"watched_date", "progress"},
    }[section]
    assert {name for name, value in data.items() if value is None} == gone
    assert response.headers["X-Degraded"] == section


@pytest.mark.parametrize(
    ("broken", "section", "null"),
    [
        ("/movie/popular", "popular", {"popular_movies", "page", "total_pages"}),
        ("/trending/*", "trending", {"trending_movies"}),
        ("/movie/*/recommendations", "recommended", {"recommended_for_you"}),
    ],
)
def test_complete_when_one_part_of_tmdb_fails_then_the_rest_stands(
    client: ContractClient, tmdb: Upstream, broken: str, section: str, null: set[str]
) -> None:
    """What could not be had is null, never an empty list."""
    tmdb.answers(broken, 500)

    response = client.get("/api/dashboard/complete")

    assert response.status_code == 200
    assert {name for name, value in response.json.items() if value is None} == null
    assert response.json["sections"][section]["status"] == "unavailable"
    assert response.headers["X-Degraded"] == section


def test_complete_when_the_user_service_is_down_then_popular_and_trending_stand(
    client: ContractClient, users: Upstream
) -> None:
    """Without favourites there is nothing to recommend from, and no number to tell."""
    users.fails("*", requests.ConnectionError("refused"))

    response = client.get("/api/dashboard/complete")

    body = response.json
    assert response.status_code == 200
    assert len(body["popular_movies"]) == len(body["trending_movies"]) == 12
    assert body["recommended_for_you"] is None
    assert body["continue_watching"] is None
    assert set(body["stats"].values()) == {None}
    assert response.headers["X-Degraded"] == "favorites, watchlist, history, recommended"


def test_complete_when_tmdb_is_down_then_the_users_numbers_stand(
    client: ContractClient, tmdb: Upstream
) -> None:
    """The user's own data need no TMDB."""
    tmdb.fails("*", requests.ReadTimeout())

    body = client.get("/api/dashboard/complete").json

    assert body["stats"]["total_favorites"] == 3
    assert body["popular_movies"] is body["recommended_for_you"] is None
    assert body["sections"]["recommended"]["reason"] == "timeout"


def test_complete_when_nothing_can_be_had_then_it_fails(
    client: ContractClient, tmdb: Upstream, users: Upstream
) -> None:
    """A page of nothing but null is no page."""
    tmdb.fails("*", requests.ReadTimeout())
    users.answers("*", 500)

    response = client.get("/api/dashboard/complete")

    assert response.status_code == 504
    assert response.json["upstream"] == "tmdb"


def test_circuit_when_tmdb_fails_five_times_then_it_is_not_asked(
    client: ContractClient, tmdb: Upstream
) -> None:
    """After the threshold: 503 at once, with the time until the next attempt."""
    tmdb.fails("*", requests.ReadTimeout())

    statuses = [client.get(f"/api/movies/popular?page={page}").status_code for page in range(1, 8)]
    asked = len(tmdb.calls)
    response = client.get("/api/movies/popular?page=9")

    assert statuses[:5] == [504] * 5
    assert statuses[-1] == 503
    assert asked == len(tmdb.calls) == 5
    assert response.json["reason"] == "circuit_open"
    assert 1 <= response.json["retry_after"] <= 60
    circuits = client.get("/health/ready").json
    states = [(it["observedValue"], it["status"]) for it in circuits["checks"]["tmdb:circuit"]]
    assert ("open", "warn") in states
    assert circuits["status"] == "warn"


def test_circuit_when_it_is_open_then_other_upstreams_are_asked(
    client: ContractClient, users: Upstream
) -> None:
    """The user service that fails does not take TMDB with it."""
    users.fails("/favorites", requests.ConnectionError("refused"))
    for _ in range(6):
        client.get("/api/users/favorites")

    body = client.get("/api/dashboard/feed").json

    assert body["sections"]["favorites"]["reason"] == "circuit_open"
    assert body["sections"]["favorites"]["retry_after"] >= 1
    assert body["sections"]["movies"]["status"] == "ok"


@pytest.mark.parametrize("failure", ["500", "html", "timeout"])
def test_circuit_when_one_film_always_fails_then_other_films_are_asked(
    client: ContractClient, tmdb: Upstream, failure: str
) -> None:
    """What belongs to one film opens no circuit, whatever is asked of it and in what language."""
    broken, _, _ = FAILURES[failure]
    broken(tmdb)
    for number in range(12):
        path = ("/api/movies/550", "/api/movies/550/credits")[number % 2]
        assert client.get(f"{path}?language=en-{'ABCDEFGHIJKL'[number]}A").status_code > 500
    tmdb.heals()

    assert client.get("/api/movies/551").status_code == 200


def test_circuit_when_one_user_always_fails_then_other_users_are_answered(
    client: ContractClient, users: Upstream
) -> None:
    """A library that is too large for an answer is one user's trouble."""
    users.does(
        "/favorites",
        lambda call: (500, {}, b"") if call.headers["X-User-Id"] == "demo-user-123" else None,
    )
    for _ in range(12):
        assert client.get("/api/users/favorites").status_code == 502

    other = client.get("/api/users/favorites", headers=bearer(token({"sub": "other"})))

    assert other.status_code == 200


def test_circuit_when_films_are_unknown_then_it_stays_closed(client: ContractClient) -> None:
    """A 404 is an answer: any number of them shuts nothing."""
    for number in range(999_999_000, 999_999_012):
        assert client.get(f"/api/movies/{number}").status_code == 404

    assert client.get("/api/movies/550").status_code == 200


@pytest.mark.parametrize("status", [409, 422])
def test_circuit_when_writes_are_refused_then_it_stays_closed(
    client: ContractClient, users: Upstream, status: int
) -> None:
    """A refusal that concerns the request says nothing of the upstream's health."""
    users.answers("/favorites", status, {"detail": "no"}, method="POST")
    for _ in range(12):
        response = client.post("/api/users/favorites", json={"movie_id": 278})
        assert response.status_code == status
        assert response.json["detail"] == "no"

    assert client.get("/api/users/favorites").status_code == 200


def test_circuit_when_it_is_switched_off_then_every_call_goes_out(
    make_client: MakeClient, tmdb: Upstream
) -> None:
    """CIRCUIT_BREAKER_ENABLED=false never answers for the upstream."""
    client = make_client(CIRCUIT_BREAKER_ENABLED="false")
    tmdb.fails("*", requests.ReadTimeout())

    statuses = {client.get(f"/api/movies/popular?page={page}").status_code for page in range(1, 9)}

    assert statuses == {504}
    assert len(tmdb.calls) == 8


def test_bulkhead_when_every_slot_is_taken_then_503_at_once(
    make_client: MakeClient, tmdb: Upstream
) -> None:
    """One call more than there are slots is refused, it does not queue."""
    client = make_client(TMDB_CONCURRENT_CALLS="1", CACHE_ENABLED="false")
    inside, go = threading.Event(), threading.Event()

    def hold(_: Call) -> None:
        inside.set()
        assert go.wait(10)

    tmdb.does("/movie/top_rated", hold)
    first: list[int] = []
    thread = threading.Thread(
        target=lambda: first.append(client.get("/api/movies/top-rated").status_code)
    )
    thread.start()
    assert inside.wait(10)
    try:
        refused = client.get("/api/movies/popular")
    finally:
        go.set()
        thread.join()

    assert refused.status_code == 503
    assert refused.json["reason"] == "saturated"
    assert refused.headers["Retry-After"] == "1"
    assert first == [200]
    assert client.get("/api/movies/popular").status_code == 200


@pytest.mark.parametrize("path", ["/api/movies/popular", "/api/dashboard/feed"])
def test_deadline_when_tmdb_is_too_slow_then_it_is_504(
    make_client: MakeClient, tmdb: Upstream, path: str
) -> None:
    """The answer comes at the deadline, whatever the upstream does."""
    client = make_client(**SHORT)
    go = threading.Event()
    tmdb.does("/movie/popular", _waits_for(go))
    try:
        response = client.get(path)
    finally:
        go.set()

    assert response.status_code == 504
    assert response.json["reason"] == "timeout"


def test_deadline_when_the_user_service_is_too_slow_then_the_page_comes_without_it(
    make_client: MakeClient, users: Upstream, tmdb: Upstream
) -> None:
    """A slow section costs the deadline, not the page."""
    client = make_client(**SHORT)
    tmdb.answers("/movie/popular", json=films(1))
    go = threading.Event()
    users.does("/favorites", _waits_for(go))
    try:
        body = client.get("/api/dashboard/feed").json
    finally:
        go.set()

    assert body["sections"]["favorites"]["reason"] == "timeout"
    assert body["movies"][0]["is_favorite"] is None


def test_page_when_its_calls_overlap_then_it_takes_as_long_as_the_slowest(
    make_client: MakeClient, tmdb: Upstream, users: Upstream
) -> None:
    """All five calls of the first stage are in flight at once: each waits for the others."""
    client = make_client(CACHE_ENABLED="false")
    together = threading.Barrier(5)

    def meet(_: Call) -> None:
        together.wait(10)

    tmdb.does("/movie/popular", meet)
    tmdb.does("/trending/*", meet)
    users.does("*", meet)

    assert client.get("/api/dashboard/complete").status_code == 200


def test_recommendations_when_they_are_asked_for_then_they_overlap_too(
    make_client: MakeClient, tmdb: Upstream
) -> None:
    """The second stage asks for all favourites at once."""
    client = make_client(CACHE_ENABLED="false")
    together = threading.Barrier(3)

    def meet(_: Call) -> None:
        together.wait(10)

    tmdb.does("/movie/*/recommendations", meet)

    assert client.get("/api/dashboard/complete").json["sections"]["recommended"]["status"] == "ok"


def test_cache_when_tmdb_has_the_film_no_more_then_404_is_remembered(
    client: ContractClient, tmdb: Upstream
) -> None:
    """An unknown film is asked for once."""
    for _ in range(3):
        response = client.get("/api/movies/999999999")
        assert response.status_code == 404
        assert response.headers["Cache-Control"] == "no-store"

    assert len(tmdb.calls) == 1


def test_tmdb_when_it_asks_to_wait_then_it_is_not_asked_before(
    client: ContractClient, tmdb: Upstream
) -> None:
    """After a 429 the caller is told to wait, and TMDB is left alone."""
    FAILURES["429"][0](tmdb)
    client.get("/api/movies/popular")
    tmdb.heals()

    response = client.get("/api/movies/top-rated")

    assert response.status_code == 503
    assert 1 <= int(response.headers["Retry-After"]) <= 7
    assert len(tmdb.calls) == 1


@pytest.mark.parametrize("broken", ["500", "html", "refused"])
def test_cache_when_an_answer_is_a_failure_then_it_is_not_kept(
    client: ContractClient, tmdb: Upstream, broken: str
) -> None:
    """The next request after a failure gets the answer."""
    FAILURES[broken][0](tmdb)
    assert client.get("/api/movies/popular").status_code >= 500
    tmdb.heals()

    assert client.get("/api/movies/popular").status_code == 200


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

    assert "planted-cookie" not in repr([dict(call.headers) for call in played.calls])
    assert not [call for call in played.calls if "Cookie" in call.headers]


def test_credentials_when_an_upstream_fails_then_none_shows(
    make_client: MakeClient,
    tmdb: Upstream,
    users: Upstream,
    logs: list[str],
    subtests: pytest.Subtests,
) -> None:
    """With TMDB's key in the query: no answer and no log line (tracebacks too) holds a secret."""
    for name in FAILURES:
        with subtests.test(failure=name):
            breaks(name, tmdb, users)
            client = make_client(TMDB_READ_TOKEN="", TMDB_API_KEY=TMDB_KEY)
            logs.clear()

            for path in ("/api/movies/550", "/api/dashboard/complete", "/api/users/favorites"):
                client.get(path)  # the client looks for every secret

            assert tmdb.calls[0].query["api_key"] == TMDB_KEY
            assert logs
            assert leaked(logs) == []


def test_bug_when_a_call_raises_something_else_then_it_is_a_500_that_tells_nothing(
    client: ContractClient, tmdb: Upstream, logs: list[str]
) -> None:
    """The log has the traceback and the request id, the caller has only the id."""
    client.bug_expected = True

    def bug(_: Call) -> None:
        raise KeyError("planted-inside /secret/path.py SELECT * FROM users")

    tmdb.does("*", bug)
    response = client.get("/api/movies/popular", headers={"X-Request-ID": "find-me"})

    assert response.status_code == 500
    assert response.json == {
        "type": "/problems/internal",
        "title": "Internal error",
        "status": 500,
        "detail": "something went wrong on our side",
        "instance": "/api/movies/popular",
        "request_id": "find-me",
    }
    assert [line for line in logs if "Traceback" in line and "find-me" in line]


def test_bug_when_it_is_in_one_section_then_it_is_not_hidden_as_a_degraded_page(
    client: ContractClient, users: Upstream
) -> None:
    """Only an upstream's own failure may become a missing section."""
    client.bug_expected = True

    def bug(_: Call) -> None:
        raise TypeError("planted")

    users.does("/favorites", bug)

    assert client.get("/api/dashboard/feed").status_code == 500


def test_retry_when_tmdb_fails_once_then_the_answer_comes(
    client: ContractClient, tmdb: Upstream
) -> None:
    """A read is sent a second time; the caller sees only the answer."""
    failures_left = [requests.ConnectionError("reset")]
    tmdb.does("*", lambda _: failures_left.pop() if failures_left else None)

    assert client.get("/api/movies/popular").status_code == 200
    assert len(tmdb.calls) == 2
