"""The BFF under Granian: a sample of the contract, some faults, and how it starts and stops."""

from __future__ import annotations

import concurrent.futures
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from scripts import start_all
from scripts.processes import until
from tests.e2e.stack import Stack, clean_environment

pytestmark = pytest.mark.e2e

MEMORY = "/dev/shm"  # noqa: S108 - where the workers' metrics are
FEED = "/api/dashboard/feed"
COMMAND = [sys.executable, "-m", "granian_server", "--address", "127.0.0.1"]


@pytest.fixture(scope="module")
def _shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("granian"), SERVER="granian", WEB_CONCURRENCY=2)
    stack.servers["bff"].command = COMMAND
    with stack:
        yield stack


@pytest.fixture
def stack(_shared: Stack) -> Stack:
    """Return the stack of this module, without faults and with the sample data."""
    _shared.reset()
    return _shared


def test_feed_when_it_is_asked_again_then_it_is_revalidated(stack: Stack) -> None:
    """A strong ETag and a 304 without a body, as under gunicorn."""
    first = stack.get(FEED)
    again = stack.get(FEED, headers={"If-None-Match": first.headers["ETag"]})

    assert first.status_code == 200
    assert first.headers["Content-Type"] == "application/json"
    assert first.headers["Cache-Control"] == "private, no-cache"
    assert all(
        name in first.headers for name in ("X-Request-ID", "X-Process-Time", "Server-Timing")
    )
    assert len(first.json()["movies"]) == 20
    assert (again.status_code, again.content) == (304, b"")


def test_head_when_sent_then_the_answer_has_headers_alone(stack: Stack) -> None:
    """HEAD is GET without the body."""
    answer = stack.call("HEAD", FEED)

    assert (answer.status_code, answer.content) == (200, b"")
    assert "ETag" in answer.headers


def test_request_id_when_given_then_it_comes_back_and_is_in_the_log(stack: Stack) -> None:
    """The application's own log line is written under this server too."""
    assert stack.get(FEED, headers={"X-Request-ID": "seen-42"}).headers["X-Request-ID"] == "seen-42"

    log = stack.servers["bff"].log
    assert until(lambda: "seen-42" in log.read_text(), 2)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", f"{FEED}?page=501", 422),
        ("GET", f"{FEED}?unknown=1", 422),
        ("GET", "/api/movies/2147483647", 404),
        ("GET", "/nowhere", 404),
        ("DELETE", FEED, 405),
        ("DELETE", "/api/users/favorites/99", 404),
    ],
)
def test_request_when_it_is_wrong_then_a_problem_document_says_so(
    stack: Stack, method: str, path: str, status: int
) -> None:
    """Refusals of the application are the same under every server."""
    answer = stack.call(method, path)

    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["request_id"] == answer.headers["X-Request-ID"]


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b'{"movie_id": 13', "application/json", 400),
        (b"movie_id=13", "application/x-www-form-urlencoded", 415),
        (b'{"movie_id": 550}', "application/json", 409),
        (b'{"movie_id": 0}', "application/json", 422),
        (b'{"title": "' + b"x" * 70_000 + b'"}', "application/json", 413),
    ],
)
def test_body_when_it_cannot_be_taken_then_the_status_says_why(
    stack: Stack, body: bytes, kind: str, status: int
) -> None:
    """Bodies are read as under gunicorn."""
    answer = stack.call("POST", "/api/users/favorites", data=body, headers={"Content-Type": kind})

    assert answer.status_code == status


def test_body_when_it_is_chunked_then_it_is_taken(stack: Stack) -> None:
    """A body need not say its length."""
    answer = stack.call(
        "PUT",
        "/api/users/favorites/13",
        data=iter([b'{"rat', b'ing": 2}']),
        headers={"Content-Type": "application/json"},
    )

    assert (answer.status_code, answer.json()["favorite"]["rating"]) == (200, 2)


@pytest.mark.parametrize(
    ("headers", "path", "status"),
    [
        ({"X-Long": "x" * 500_000}, FEED, 431),
        ({f"X-{number}": "x" for number in range(200)}, FEED, 431),
        ({}, "/" + "x" * 80_000, 414),
    ],
)
def test_head_of_a_request_when_it_is_too_large_then_the_server_refuses_it(
    stack: Stack, headers: dict[str, str], path: str, status: int
) -> None:
    """Granian does so without a problem document, see docs/capacity.md."""
    answer = requests.get(stack.bff + path, headers=headers, timeout=10)

    assert (answer.status_code, answer.content) == (status, b"")


def test_write_when_its_revision_is_handed_back_then_every_worker_shows_it(stack: Stack) -> None:
    """Nobody misses their own write, whichever worker serves the next read."""
    written = stack.call("PUT", "/api/users/favorites/13", json={"rating": 1})
    revision = {"X-Library-Revision": written.headers["X-Library-Revision"]}

    for _ in range(12):
        read = requests.get(f"{stack.bff}/api/users/favorites", headers=revision, timeout=10)
        ratings = {item["movie_id"]: item["rating"] for item in read.json()["favorites"]}
        assert ratings[13] == 1


@pytest.mark.parametrize(
    ("upstream", "fault", "status", "reason"),
    [
        ("users", {"status": 500}, 200, "upstream_error"),
        ("users", {"reset": True}, 200, "unreachable"),
        ("users", {"garbage": True}, 200, "bad_response"),
        ("tmdb", {"status": 503}, 502, "upstream_error"),
        ("tmdb", {"hang": True}, 504, "timeout"),
    ],
)
def test_page_when_an_upstream_fails_then_it_says_so_in_time(
    stack: Stack, upstream: str, fault: dict[str, Any], status: int, reason: str
) -> None:
    """A part that is missing is named; a page that cannot do without fails with its status."""
    path = {"users": FEED, "tmdb": f"{FEED}?page={status - 400}"}[upstream]
    stack.get(FEED)
    stack.faults(upstream, match="/favorites" if upstream == "users" else "/movie", **fault)
    # What is known already is served from memory; this reader knows of a change that is not.
    begun = time.monotonic()
    answer = stack.get(path, headers={"X-Library-Revision": "999999"})

    assert time.monotonic() - begun < 2.5
    assert answer.status_code == status
    if status == 200:
        assert answer.headers["X-Degraded"] == "favorites"
        assert answer.json()["sections"]["favorites"]["reason"] == reason
    else:
        assert answer.json()["reason"] == reason


def test_limit_when_it_is_used_up_then_the_workers_have_counted_together(tmp_path: Path) -> None:
    """One limit over all workers, and 429 above it."""
    stack = Stack(tmp_path, SERVER="granian", WEB_CONCURRENCY=2, RATE_LIMIT_PER_MINUTE=10)
    stack.servers["bff"].command = COMMAND
    with stack:
        statuses = [requests.get(stack.bff + FEED, timeout=10).status_code for _ in range(14)]

    assert statuses == [200] * 10 + [429] * 4


def test_metrics_when_there_are_several_workers_then_their_counts_are_added_up(
    stack: Stack,
) -> None:
    """Prometheus sees one service, whichever worker it meets."""

    def counted() -> float:
        text = requests.get(f"{stack.bff}/metrics", timeout=10).text
        name = 'bff_requests_total{method="GET",route="/api/dashboard/feed",status="200"}'
        return sum(float(line.split()[1]) for line in text.splitlines() if line.startswith(name))

    before = counted()
    for _ in range(12):
        requests.get(stack.bff + FEED, timeout=10)
    assert counted() == before + 12


def test_server_when_it_is_told_to_stop_then_open_requests_are_answered(tmp_path: Path) -> None:
    """SIGTERM ends what runs, refuses what comes, and leaves no process behind."""
    stack = Stack(tmp_path, SERVER="granian", WEB_CONCURRENCY=2)
    stack.servers["bff"].command = COMMAND
    server = stack.servers["bff"]
    with stack, concurrent.futures.ThreadPoolExecutor() as pool:
        started = ("Started worker-1", "Started worker-2")
        stack.wait(lambda: all(word in server.tail(99) for word in started), "no two workers")
        stack.faults("tmdb", latency_ms=800)
        open_request = pool.submit(
            requests.get, f"{stack.bff}/api/movies/popular?page=7", timeout=10
        )
        stack.wait(lambda: bool(stack.calls("tmdb")), "the request never reached TMDB")
        begun = time.monotonic()
        server.send(signal.SIGTERM)
        assert open_request.result().status_code == 200
        stack.wait(lambda: server.exit_code() is not None, "it did not end")

        assert server.exit_code() == 0
        assert time.monotonic() - begun < 5
        port = urlsplit(stack.bff).port
        assert not list(Path(MEMORY).glob(f"bff-metrics-*-granian-{port}"))
        assert "Traceback" not in server.tail(1000)
        assert "Killing" not in server.tail(1000)


def test_server_when_it_is_told_to_stop_while_it_starts_then_it_does(tmp_path: Path) -> None:
    """A worker that is still loading the application ends at once."""
    stack = Stack(tmp_path, SERVER="granian", WEB_CONCURRENCY=2)
    server = stack.servers["bff"]
    server.command = COMMAND
    server.start(clean_environment(**stack.settings))
    try:
        assert until(lambda: "Spawning worker-2" in server.tail(), 20)
        server.send(signal.SIGTERM)
        assert until(lambda: server.exit_code() is not None, 6)
        assert "Killing" not in server.tail()
    finally:
        server.end(2)


def test_worker_when_it_is_killed_then_another_takes_its_place(stack: Stack) -> None:
    """A worker that dies costs its open requests and no more."""
    master = stack.servers["bff"].pid
    children = Path(f"/proc/{master}/task/{master}/children")
    first = int(children.read_text().split()[0])
    os.kill(first, signal.SIGKILL)

    def whole() -> bool:
        now = list(map(int, children.read_text().split()))
        return len(now) == 2 and first not in now

    stack.wait(whole, "no new worker", within_s=15)
    stack.wait(lambda: stack.get(FEED).status_code == 200, "no answer", within_s=15)


def test_settings_when_one_is_wrong_then_it_does_not_start(tmp_path: Path) -> None:
    """The same one line for each fault as under gunicorn."""
    stack = Stack(tmp_path, SERVER="granian", THREADS="many")
    server = stack.servers["bff"]
    server.command = COMMAND
    server.start(clean_environment(**stack.settings))

    assert until(lambda: server.exit_code() is not None, 15)
    assert server.exit_code() == 1
    assert "THREADS: " in server.tail()


def test_start_all_when_the_server_is_granian_then_that_is_what_it_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`SERVER` chooses; without it start-all.sh starts gunicorn."""
    monkeypatch.setattr(start_all, "check_ports", lambda _ports: None)
    monkeypatch.setenv("ENV_FILE", os.devnull)

    assert "gunicorn" in start_all.plan(*start_all.read_settings())[-1].command
    monkeypatch.setenv("SERVER", "granian")
    assert "granian_server" in start_all.plan(*start_all.read_settings())[-1].command
