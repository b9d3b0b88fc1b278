"""The contract through nginx, and what users notice when instances stop, die or are renewed."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

from tests.deploy.load import Load
from tests.deploy.proxy import NGINX, Deployment, Nginx
from tests.e2e.stack import CALL_TIMEOUT_S, NEWER, Stack
from tests.e2e.test_contract import REFUSED, problem

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(NGINX is None, reason="nginx is not installed (Debian: nginx-light)"),
]


@pytest.fixture
def http() -> Iterator[requests.Session]:
    """Return a client without the developer's proxies and .netrc."""
    with requests.Session() as session:
        session.trust_env = False
        yield session


@pytest.mark.parametrize("kind", REFUSED)
def test_refusal_when_it_comes_through_nginx_then_it_is_the_bffs(
    deployment: Deployment, http: requests.Session, kind: str
) -> None:
    """Statuses, problem documents, Allow and ids are those of the BFF."""
    status, method, path, options = REFUSED[kind]

    answer = http.request(method, deployment.url + path, timeout=CALL_TIMEOUT_S, **options)

    problem(answer, status)
    assert ("Allow" in answer.headers) is (status == 405)
    assert ("WWW-Authenticate" in answer.headers) is (status == 401)
    # nginx itself refuses what is too large.
    assert ("X-Process-Time" in answer.headers) is (status != 413)


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


@pytest.mark.parametrize("origin", ["http://localhost:3000", "https://elsewhere.example"])
def test_preflight_when_an_origin_is_configured_then_only_that_one_is_allowed(
    deployment: Deployment, http: requests.Session, origin: str
) -> None:
    """CORS is the BFF's word, and passes."""
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    answer = http.options(f"{deployment.url}/api/users/favorites", headers=asked)

    allowed = answer.headers.get("Access-Control-Allow-Origin")
    assert allowed == (origin if "localhost" in origin else None)


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
                ("127.0.0.1", nginx.port), timeout=CALL_TIMEOUT_S, source_address=(source, 0)
            ) as sock:
                line = f"GET /api/movies/popular?wrong=1 HTTP/1.0\r\nX-Forwarded-For: {forged}"
                sock.sendall(f"{line}\r\n\r\n".encode())
                return sock.makefile("rb").readline().split()[1].decode()

        # A minute may end in the middle, once: more requests than two minutes allow.
        mine = [status("127.0.0.1", f"10.0.0.{number}") for number in range(12)]
        theirs = status("127.0.0.2", "127.0.0.1")

    assert mine[:5] == ["422"] * 5 or "429" in mine[:5]
    assert "429" in mine
    assert theirs == "422"


def test_slow_clients_when_there_are_many_then_they_hold_no_worker(
    deployment: Deployment, http: requests.Session
) -> None:
    """50 clients that never finish their headers, and 50 that never finish a body, stop nobody."""
    head = b"POST /api/users/favorites HTTP/1.1\r\nHost: a\r\n"
    body = b"Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
    with ExitStack() as ending:
        for number in range(100):
            slow = socket.create_connection(("127.0.0.1", deployment.nginx.port))
            ending.enter_context(slow).sendall(head + (body if number % 2 else b"X-Slow: "))
        # They are still there when these have their answers.
        url = f"{deployment.url}/api/movies/popular"
        answers = [http.get(url, timeout=CALL_TIMEOUT_S).ok for _ in range(20)]

    assert all(answers)
    assert "POST /favorites" not in deployment.stack.calls("users")


def test_kill_9_when_it_hits_one_of_two_instances_then_the_other_serves_at_once(
    deployment: Deployment,
) -> None:
    """Only what the dead instance had in its hands may fail, and nothing that is sent later."""
    senders = 8
    with Load(deployment.url, senders) as load:
        deployment.stack.wait(lambda: load.sent() > 10, "no answers")
        deployment.kill(deployment.second)
        killed_at = load.sent()
        deployment.stack.wait(lambda: load.sent() > killed_at + 50, "no more answers")

    assert [fault for number, fault in load.failures if number > killed_at + senders] == []
    assert [fault for _, fault in load.failures if ": 502 " not in fault] == []
    assert len(load.failures) <= senders, load.failures


def test_reload_when_under_load_then_no_request_fails(deployment: Deployment) -> None:
    """HUP to one instance and then the other costs nothing: reads and writes, and no 5xx."""

    def workers(master: int) -> set[str]:
        return set(Path(f"/proc/{master}/task/{master}/children").read_text().split())

    with Load(deployment.url) as load:
        for server in deployment.bffs:
            old = workers(server.pid)
            server.send(signal.SIGHUP)
            deployment.stack.wait(
                lambda pid=server.pid, old=old: len(workers(pid) - old) == len(workers(pid)) == 1,
                "a worker was not replaced",
            )
            more = load.sent() + 25
            deployment.stack.wait(lambda more=more: load.sent() > more, "no more answers")

    assert load.failures == []


def test_stop_when_a_slow_page_is_open_then_it_completes_and_copies_serve_on(
    deployment: Deployment, http: requests.Session
) -> None:
    """SIGTERM to every instance: the open page is whole, no process stays, and then, until one
    is back, public reads come from copies and personal ones say 502.
    """
    stack = deployment.stack
    feed, public = f"{deployment.url}/api/dashboard/feed", f"{deployment.url}/api/movies/13"
    personal = f"{deployment.url}/api/users/favorites"
    for url in (feed, public, personal):
        assert http.get(url, timeout=CALL_TIMEOUT_S).ok
    stack.forget_calls("users")
    stack.faults("users", hang=True)
    with ThreadPoolExecutor(1) as pool:
        page = pool.submit(requests.get, feed, headers=NEWER, timeout=CALL_TIMEOUT_S)
        stack.wait(lambda: bool(stack.calls("users")), "the page did not ask")
        for server in deployment.bffs:
            server.send(signal.SIGTERM)
        stack.faults("users")
        answer = page.result()
    assert answer.status_code == 200
    assert "X-Degraded" not in answer.headers
    assert answer.json()["favorites_count"] == 3

    for server in deployment.bffs:
        stack.wait(lambda server=server: server.exit_code() is not None, "it does not end")
        assert server.exit_code() == 0
        with pytest.raises(ProcessLookupError):
            os.killpg(server.pid, 0)
    copy = http.get(public, timeout=CALL_TIMEOUT_S)
    assert (copy.status_code, copy.json()["id"]) == (200, 13)
    assert copy.headers["X-Degraded"] == "bff"
    assert "ETag" not in copy.headers
    assert problem(http.get(personal, timeout=CALL_TIMEOUT_S), 502)["upstream"] == "bff"

    deployment.recover()
    back = http.get(public, timeout=CALL_TIMEOUT_S)
    assert "X-Degraded" not in back.headers
    assert back.headers["ETag"]
