"""The contract through nginx, and what users notice when instances stop, die or are renewed."""

from __future__ import annotations

import concurrent.futures
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import requests

from scripts.processes import until
from tests.deploy.load import Load
from tests.deploy.proxy import NGINX, Deployment, Nginx
from tests.e2e.stack import Stack

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(NGINX is None, reason="nginx is not installed (Debian: nginx-light)"),
]

RATE, SENDERS = 25.0, 16


@pytest.fixture
def http() -> Iterator[requests.Session]:
    """Return a client without the developer's proxies and .netrc."""
    with requests.Session() as session:
        session.trust_env = False
        yield session


@pytest.mark.parametrize(
    ("method", "path", "options", "status"),
    [
        pytest.param("GET", "/api/dashboard/feed", {}, 200, id="page"),
        pytest.param("GET", "/api/movies/999999999", {}, 404, id="no-such-film"),
        pytest.param("GET", "/api//movies/550", {}, 404, id="double-slash"),
        pytest.param("GET", "/api/movies/popular?page=501", {}, 422, id="page-501"),
        pytest.param("GET", "/api/movies/popular?pag=1", {}, 422, id="unknown-parameter"),
        pytest.param("GET", "/api/movies/search?query=a%00b", {}, 422, id="encoded-nul"),
        pytest.param("DELETE", "/api/movies/popular", {}, 405, id="wrong-method"),
        pytest.param("PATCH", "/api/users/favorites", {}, 405, id="unused-method"),
        pytest.param("POST", "/api/users/favorites", {"data": "{"}, 415, id="no-media-type"),
        pytest.param("POST", "/api/users/favorites", {"json": {}}, 422, id="empty-body"),
        pytest.param("POST", "/api/users/favorites", {"json": {"movie_id": 550}}, 409, id="twice"),
        pytest.param(
            "GET",
            "/api/users/favorites",
            {"headers": {"Authorization": "Bearer wrong"}},
            401,
            id="wrong-token",
        ),
        pytest.param("DELETE", "/api/users/favorites/13", {}, 200, id="delete"),
        pytest.param("PUT", "/api/users/history/13", {"json": {"progress": 0.5}}, 201, id="put"),
    ],
)
def test_contract_when_asked_through_nginx_then_it_holds(
    deployment: Deployment,
    http: requests.Session,
    method: str,
    path: str,
    options: dict[str, Any],
    status: int,
) -> None:
    """Statuses, problem documents, Allow and ids are those of the BFF."""
    answer = http.request(method, deployment.url + path, timeout=20, **options)

    assert answer.status_code == status, answer.text
    assert answer.headers["X-Request-ID"]
    assert answer.headers["X-Process-Time"]
    if status >= 400:
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.json()["request_id"] == answer.headers["X-Request-ID"]
        assert answer.json()["type"].startswith("/problems/")
    assert ("Allow" in answer.headers) is (status == 405)
    assert ("WWW-Authenticate" in answer.headers) is (status == 401)


@pytest.mark.parametrize("path", ["/api/movies/popular", "/api/dashboard/feed"])
def test_conditional_request_when_the_answer_is_compressed_then_304_holds(
    deployment: Deployment, http: requests.Session, path: str
) -> None:
    """The weak ETag of a compressed answer, sent back, gives 304 without a body."""
    answer = http.get(deployment.url + path, headers={"Accept-Encoding": "gzip"})
    same = http.get(deployment.url + path, headers={"If-None-Match": answer.headers["ETag"]})
    head = http.head(deployment.url + path, headers={"Accept-Encoding": "identity"})

    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.headers["ETag"].startswith('W/"')
    assert (same.status_code, same.content) == (304, b"")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["ETag"] == answer.headers["ETag"].removeprefix("W/")
    assert head.headers["Content-Length"] == str(len(answer.content))


def test_preflight_when_an_origin_is_configured_then_only_that_one_is_allowed(
    deployment: Deployment, http: requests.Session
) -> None:
    """CORS is the BFF's word, and passes."""
    allowed = []
    for origin in ("http://localhost:3000", "https://elsewhere.example"):
        answer = http.options(
            f"{deployment.url}/api/users/favorites",
            headers={"Origin": origin, "Access-Control-Request-Method": "POST"},
        )
        allowed.append(answer.headers.get("Access-Control-Allow-Origin"))

    assert allowed == ["http://localhost:3000", None]


def test_rate_limit_when_addresses_are_forged_then_each_real_one_has_its_own_count(
    tmp_path: Path,
) -> None:
    """A client cannot widen its limit, or use up another's, by what it says of itself."""
    with ExitStack() as ending:
        stack = Stack(tmp_path, TRUSTED_PROXY_HOPS=1, RATE_LIMIT_PER_MINUTE=5)
        ending.callback(stack.end)
        stack.start("bff")
        nginx = ending.enter_context(Nginx(stack.servers["bff"].port))

        def status(source: str, forged: str) -> str:
            with socket.create_connection(
                ("127.0.0.1", nginx.port), timeout=10, source_address=(source, 0)
            ) as sock:
                sock.sendall(
                    f"GET /api/movies/popular?wrong=1 HTTP/1.0\r\nX-Forwarded-For: {forged}\r\n\r\n"
                    "".encode()
                )
                return sock.makefile("rb").readline().split()[1].decode()

        mine = [status("127.0.0.1", f"10.0.0.{number}") for number in range(7)]
        theirs = status("127.0.0.2", "127.0.0.1")

    assert mine == ["422"] * 5 + ["429"] * 2
    assert theirs == "422"


def test_slow_clients_when_there_are_many_then_they_hold_no_worker(
    deployment: Deployment, http: requests.Session
) -> None:
    """50 clients that never finish their headers, and 50 that never finish a body, stop nobody."""
    head = b"POST /api/users/favorites HTTP/1.1\r\nHost: a\r\n"
    body = b"Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
    with ExitStack() as ending:
        for number in range(100):
            slow = socket.create_connection(("127.0.0.1", deployment.nginx.port), timeout=10)
            ending.enter_context(slow).sendall(head + (body if number % 2 else b"X-Slow: "))
        # They are still there when these have their answers.
        answers = [
            http.get(f"{deployment.url}/api/movies/popular", timeout=20).ok for _ in range(20)
        ]

    assert all(answers)
    assert "POST /favorites" not in deployment.stack.calls("users")


def test_kill_9_when_it_hits_one_of_two_instances_then_the_other_serves_at_once(
    deployment: Deployment,
) -> None:
    """Only what the dead instance had in its hands may fail, and nothing that is sent later."""
    load = Load(deployment.url, RATE, SENDERS)
    try:
        deployment.stack.wait(lambda: load.sent() > 10, "no answers")
        deployment.kill(deployment.second)
        killed_at = load.sent()
        deployment.stack.wait(lambda: load.sent() > killed_at + 50, "no more answers")
    finally:
        result = load.stop()

    failures = [text for _, text in result.failures]
    assert [number for number, _ in result.failures if number > killed_at + SENDERS] == []
    assert all(" 502 " in f"{failure} " for failure in failures), failures
    assert len(failures) <= SENDERS, failures


def test_reload_when_under_load_then_no_request_fails(deployment: Deployment) -> None:
    """HUP to one instance and then the other costs nothing: reads and writes, and no 5xx."""
    load = Load(deployment.url, RATE, SENDERS)
    try:
        for server in deployment.bffs:
            old = workers(server.pid)
            server.send(signal.SIGHUP)
            deployment.stack.wait(
                lambda server=server, old=old: (
                    len(workers(server.pid)) == 1 and not workers(server.pid) & old
                ),
                "a worker was not replaced",
                within_s=60,
            )
            sent = load.sent()
            deployment.stack.wait(
                lambda sent=sent: load.sent() > sent + 25, "no more answers", within_s=60
            )
    finally:
        result = load.stop()

    assert result.failures == []


def workers(master: int) -> set[int]:
    """Return the process ids of a gunicorn master's workers."""
    children = Path(f"/proc/{master}/task/{master}/children").read_text()
    return {int(pid) for pid in children.split()}


def test_stop_when_a_slow_page_is_open_then_it_completes_and_copies_serve_on(
    deployment: Deployment, http: requests.Session
) -> None:
    """SIGTERM to every instance: the open page is whole, no process stays, and then, until one
    is back, public reads come from copies and personal ones say 502.
    """
    stack = deployment.stack
    public, personal = f"{deployment.url}/api/movies/13", f"{deployment.url}/api/users/favorites"
    assert http.get(public, timeout=20).ok
    assert http.get(personal, timeout=20).ok
    stack.faults("users", latency_ms=1000)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        page = pool.submit(requests.get, f"{deployment.url}/api/dashboard/feed", timeout=20)
        stack.wait(
            lambda: "GET /library" in str(stack.calls("users")) or bool(stack.calls("users")),
            "the page did not ask",
        )
        for server in deployment.bffs:
            server.send(signal.SIGTERM)
        answer = page.result(timeout=20)
    assert answer.status_code == 200
    assert "X-Degraded" not in answer.headers
    assert answer.json()["favorites_count"] == 3

    for server in deployment.bffs:
        assert until(lambda server=server: server.exit_code() is not None, 60)
        assert server.exit_code() == 0
        with pytest.raises(ProcessLookupError):
            os.killpg(server.pid, 0)
    copy = http.get(public, timeout=20)
    refused = http.get(personal, timeout=20)
    assert (copy.status_code, copy.json()["id"]) == (200, 13)
    assert copy.headers["X-Degraded"] == "bff"
    assert "ETag" not in copy.headers
    assert refused.status_code == 502
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert refused.json()["upstream"] == "bff"

    deployment.recover()
    back = http.get(public, timeout=20)
    assert "X-Degraded" not in back.headers
    assert back.headers["ETag"]
