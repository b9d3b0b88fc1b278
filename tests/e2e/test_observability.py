"""A deployment of several workers, seen through its logs and metrics."""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import socket
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jwt
import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.stack import Stack

pytestmark = pytest.mark.e2e
SECRET = "planted-jwt-secret-of-more-than-32-bytes"
TOKEN = "planted-user-service-token"
WORKERS, THREADS, POOL = 4, 8, 48
# Requests at once, of so many users; TMDB is asked about each of three favourites: eight calls.
REQUESTS, USERS, SECTIONS = 200, 20, 8


def bearer(user: str) -> dict[str, str]:
    """Return the headers of a user."""
    claims = {"sub": user, "exp": int(time.time()) + 3600}
    return {"Authorization": f"Bearer {jwt.encode(claims, SECRET, 'HS256')}"}


def lines(stack: Stack) -> list[dict[str, Any]]:
    """Return the lines of the BFF's log that are the application's."""
    found = map(json.loads, stack.servers["bff"].log.read_text().splitlines())
    return [line for line in found if line["logger"].startswith("bff")]


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Return a deployment of four workers, as shipped."""
    settings = {
        "WEB_CONCURRENCY": WORKERS,
        "THREADS": THREADS,
        "POOL_THREADS": POOL,
        "LOG_LEVEL": "DEBUG",
        "LOG_FORMAT": "json",
        "JWT_SECRET": SECRET,
        "USER_SERVICE_TOKEN": TOKEN,
        "USER_SERVICE_EVENTS": "false",
        "TMDB_CALLS_PER_SECOND": 10_000,
        "CACHE_TTL": 3600,
        "CIRCUIT_BREAKER_TIMEOUT_SECONDS": 3600,
        # A busy machine must not turn a call into a timeout.
        "PAGE_DEADLINE_MS": 20_000,
        "TMDB_TIMEOUT_MS": 20_000,
        "USER_SERVICE_TIMEOUT_MS": 20_000,
    }
    with Stack(tmp_path_factory.mktemp("observability"), **settings) as stack:
        yield stack


Sample = tuple[str, frozenset[tuple[str, str]]]
TURNED_AWAY = {"circuit_open", "saturated"}

FEED, FILM = "/api/dashboard/feed", "/api/dashboard/movie/<tmdb_id:movie_id>/enriched"
SEARCH, LIST = "/api/dashboard/search/enriched", "/api/users/favorites"
# (method, path, route, status, headers)
KINDS: list[tuple[str, str, str, int, dict[str, str]]] = [
    ("GET", f"{FEED}?page={{}}", FEED, 200, bearer("anna")),
    ("GET", FEED, FEED, 200, bearer("anna")),
    ("GET", "/api/dashboard/complete", "/api/dashboard/complete", 200, {}),
    ("GET", f"{SEARCH}?query=star&page={{}}", SEARCH, 200, {}),
    ("GET", "/api/dashboard/movie/550/enriched", FILM, 200, {}),
    ("HEAD", "/api/movies/popular", "/api/movies/popular", 200, {}),
    ("GET", "/api/movies/popular?page={}", "/api/movies/popular", 200, {}),
    ("GET", "/api/movies/2147483647", "/api/movies/<tmdb_id:movie_id>", 404, {}),
    ("GET", "/api/movies/popular?page=501", "/api/movies/popular", 422, {}),
    ("GET", LIST, LIST, 401, {"Authorization": "Bearer no"}),
    ("GET", LIST, LIST, 200, {}),
    ("POST", LIST, LIST, 409, {}),
    ("GET", "/api/nowhere", "-", 404, {}),
]


def scrape(stack: Stack) -> dict[Sample, float]:
    """Return what /metrics says."""
    text = stack.get("/metrics", headers={"Connection": "close"}).text  # of any worker
    families = text_string_to_metric_families(text)
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def by(samples: dict[Sample, float], name: str, *labels: str) -> Counter[tuple[str, ...]]:
    """Add the samples of a name up, by some of their labels."""
    found: Counter[tuple[str, ...]] = Counter()
    for (called, pairs), value in samples.items():
        if called == name and value:
            found[tuple(dict(pairs)[label] for label in labels)] += int(value)
    return found


class Load:
    """Sends requests, each on a connection of its own so that all workers get some; counts."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.requests: Counter[tuple[str, ...]] = Counter()
        self.sections: Counter[tuple[str, ...]] = Counter()
        self.hits = 0
        self.workers = 0

    def send(self, number: int) -> None:
        method, path, route, status, headers = KINDS[number % len(KINDS)]
        body = {"movie_id": 550} if method == "POST" else None
        response = requests.request(
            method,
            self.stack.bff + path.format(1 + number % 97),
            headers={**headers, "Connection": "close"},
            json=body,
            timeout=30,
        )
        assert response.status_code == status, (path, response.text)
        self.count(method, route, response)

    def count(self, method: str, route: str, response: requests.Response) -> None:
        self.requests[route, method, str(response.status_code)] += 1
        timing = response.headers.get("Server-Timing", "")
        self.hits += len(re.findall(r'cache;desc="tmdb ', timing))
        if response.status_code == 200 and route.startswith("/api/dashboard"):
            for name, section in response.json()["sections"].items():
                self.sections[name, section["status"]] += 1

    def run(self, numbers: range) -> None:
        with ThreadPoolExecutor(8) as pool:
            # Counted in this thread only: counters are not made for several.
            list(pool.map(self.send, numbers))

    def fail(self, count: int) -> None:
        """Send requests that TMDB fails, one after the other."""
        for number in range(count):
            response = requests.get(
                f"{self.stack.bff}/api/dashboard/feed?page={300 + number}",
                headers={"Connection": "close"},
                timeout=30,
            )
            assert response.status_code in (502, 503)
            self.count("GET", "/api/dashboard/feed", response)


def workers(stack: Stack) -> list[int]:
    """Return the process ids of the BFF's workers."""
    master = stack.servers["bff"].pid
    text = Path(f"/proc/{master}/task/{master}/children").read_text()
    return [int(pid) for pid in text.split()]


def check(stack: Stack, load: Load, before: dict[Sample, float]) -> dict[Sample, float]:
    """Hold everything that is counted against the load's and the stubs' own counts."""
    now = scrape(stack)
    new = {key: value - before.get(key, 0) for key, value in now.items()}

    counted = by(new, "bff_requests_total", "route", "method", "status")
    # Whoever waited for the start may have a /health on its way still.
    own = {key: count for key, count in counted.items() if key[0] not in ("/metrics", "/health")}
    assert own == load.requests
    timed = by(new, "bff_request_seconds_count", "route")
    assert sum(timed.values()) == sum(counted.values())
    assert by(new, "bff_sections_total", "section", "status") == load.sections

    calls = by(new, "bff_upstream_calls_total", "upstream", "outcome")
    for upstream in ("tmdb", "users"):
        sent = sum(
            count
            for (name, outcome), count in calls.items()
            if name == upstream and outcome not in TURNED_AWAY
        )
        assert sent == sum(stack.calls(upstream).values()), (upstream, calls)

    cache = by(new, "bff_cache_total", "result")
    tmdb = sum(count for (name, _), count in calls.items() if name == "tmdb")
    assert cache[("miss",)] == tmdb, (cache, calls)
    assert cache[("hit",)] + cache[("stale",)] == load.hits
    return now


def test_metrics_when_four_workers_are_loaded_then_every_count_is_exact(deployed: Stack) -> None:
    """Requests, calls, cache and sections; also right after a worker was killed and replaced."""
    deployed.forget_calls("tmdb")
    deployed.forget_calls("users")
    before = scrape(deployed)
    load = Load(deployed)

    load.run(range(len(KINDS) * 12))
    check(deployed, load, before)

    first = workers(deployed)
    os.kill(first[0], signal.SIGKILL)
    deployed.wait(
        lambda: len(workers(deployed)) == WORKERS and first[0] not in workers(deployed),
        "no new worker",
        60,
    )
    check(deployed, load, before)
    load.run(range(len(KINDS) * 12, len(KINDS) * 18))
    # The new worker tells of its slots as soon as it has loaded the application.
    slots: Sample = ("bff_upstream_slots", frozenset({("upstream", "users")}))
    deployed.wait(lambda: scrape(deployed)[slots] == WORKERS * POOL // 2, "no new worker", 60)
    now = check(deployed, load, before)

    assert len(by(now, "bff_upstream_calls_total", "upstream", "operation")) > 4
    gauges = {name: int(value) for (name, pairs), value in now.items() if not pairs}
    assert gauges["bff_pool_threads"] == WORKERS * POOL
    assert gauges["bff_pool_tasks"] == 0
    assert by(now, "bff_upstream_slots", "upstream") == {
        ("tmdb",): WORKERS * POOL // 2,
        ("users",): WORKERS * POOL // 2,
    }
    assert not by(now, "bff_upstream_calls_in_flight", "upstream")
    assert any(name == "bff_upstream_calls_in_flight" for name, _ in now)
    assert not by(now, "bff_circuit_state", "circuit")

    deployed.faults("tmdb", status=500)
    load.fail(30)
    now = check(deployed, load, before)

    assert max(by(now, "bff_circuit_state", "circuit").values()) == 2
    assert by(now, "bff_upstream_calls_total", "upstream", "outcome")["tmdb", "circuit_open"] > 0


def test_metrics_when_any_worker_is_asked_then_it_says_the_same(deployed: Stack) -> None:
    """Each adds up what all of them have written; only the scrapes themselves are counted on."""
    Load(deployed).run(range(len(KINDS)))

    def said() -> dict[Sample, float]:
        return {key: value for key, value in scrape(deployed).items() if "/metrics" not in str(key)}

    first = said()
    assert len(first) > 100
    for _ in range(4 * WORKERS):
        assert said() == first


def test_logs_when_requests_of_all_kinds_were_sent_then_no_user_and_no_secret_is_in_them(
    deployed: Stack,
) -> None:
    """Reads, writes, refusals, bad input and failures."""
    user = f"person-{secrets.token_hex(6)}"
    own = bearer(user)
    wrong = {"Authorization": "Bearer planted-wrong-token"}
    note = f"note-{secrets.token_hex(6)}"
    kinds: list[tuple[str, str, dict[str, Any]]] = [
        ("GET", "/api/dashboard/complete", {"headers": own}),
        ("GET", "/api/dashboard/feed", {"headers": own}),
        ("GET", f"/api/dashboard/search/enriched?query={note}", {"headers": own}),
        (
            "POST",
            "/api/users/favorites",
            {"headers": own, "json": {"movie_id": 550}},
        ),
        ("PUT", "/api/users/watchlist/13", {"headers": own, "json": {"title": note}}),
        ("PUT", "/api/users/history/13", {"headers": own, "json": {"progress": 0.5}}),
        ("DELETE", "/api/users/favorites/550", {"headers": own}),
        ("GET", "/api/users/favorites", {"headers": wrong}),
        ("GET", f"/api/movies/popular?api_key={note}", {"headers": own}),
        ("POST", "/api/users/favorites", {"headers": own, "data": note}),
        ("GET", "/nowhere", {"headers": own}),
        ("GET", "/api/movies/popular", {"headers": {"Cookie": f"session={note}"}}),
    ]
    for method, path, options in kinds:
        deployed.call(method, path, **options)
    with socket.create_connection(("127.0.0.1", deployed.servers["bff"].port), timeout=30) as sock:
        sock.sendall(f"GET / HTTP/1.1\r\nAuthorization Bearer {note}\r\n\r\n".encode())
        assert sock.recv(4096).startswith(b"HTTP/1.1 400 ")
    deployed.faults("tmdb", garbage=True)
    deployed.faults("users", status=500)
    deployed.get("/api/dashboard/complete?page=77", headers=own)
    deployed.faults("tmdb")
    deployed.faults("users")

    text = deployed.servers["bff"].log.read_text()
    tokens = [headers["Authorization"].split()[1] for headers in (own, wrong)]
    for planted in (user, note, SECRET, TOKEN, *tokens, "demo-user-123"):
        assert planted not in text, planted
    assert "server.refused" in text
    assert "Traceback" not in text
    asked = [line for line in lines(deployed) if line["event"] == "request"]
    assert {"method", "route", "status", "duration_ms", "upstream", "request_id"} <= set(asked[-1])
    assert any(re.fullmatch(r"[0-9a-f]{12}", line.get("user", "")) for line in asked)


def fill(stack: Stack, user: str) -> None:
    """Give a user three favourites, which lead to three recommendations."""
    headers = {"Authorization": f"Bearer {TOKEN}", "X-User-Id": user, "Connection": "close"}
    for movie_id in (550, 155, 13):
        response = requests.put(
            f"{stack.users}/favorites/{movie_id}", json={"rating": 5}, headers=headers, timeout=60
        )
        assert response.ok, response.text


def test_logs_when_200_requests_run_at_once_then_no_line_has_anothers_id(deployed: Stack) -> None:
    """Eight calls each; id and user of every line, from any thread, belong together."""
    settings = {"WEB_CONCURRENCY": 2, "THREADS": 100, "POOL_THREADS": 2000}
    deployed.restart("bff", CACHE_ENABLED="false", TMDB_CONNECTIONS=1000, **settings)
    users = [f"person-{secrets.token_hex(6)}" for _ in range(USERS)]
    sent = {f"line-{secrets.token_hex(8)}": users[number % USERS] for number in range(REQUESTS)}

    def ask(one: str) -> int:
        headers = {**bearer(sent[one]), "X-Request-ID": one, "Connection": "close"}
        url = f"{deployed.bff}/api/dashboard/complete"
        response = requests.get(url, headers=headers, timeout=60)
        assert response.headers["X-Request-ID"] == one
        return response.status_code

    with ThreadPoolExecutor(REQUESTS) as pool:
        list(pool.map(lambda user: fill(deployed, user), users))
        statuses = Counter(pool.map(ask, sent))
    assert statuses == {200: REQUESTS}

    found = defaultdict(list)
    for line in lines(deployed):
        if line["request_id"] in sent:
            found[line["request_id"]].append(line)
    assert set(found) == set(sent)
    hashes: dict[str, set[str]] = defaultdict(set)
    calls_seen = 0
    for one, user in sent.items():
        (own,) = [line for line in found[one] if line["event"] == "request"]
        assert (own["route"], own["status"]) == ("/api/dashboard/complete", 200)
        hashes[user] |= {line["user"] for line in found[one]}
        calls = Counter(
            f"{line['upstream']}.{line['operation']}:{line['outcome']}"
            for line in found[one]
            if line["event"] == "upstream.call"
        )
        assert calls == Counter(own["upstream"])
        calls_seen += sum(calls.values())
    assert calls_seen == REQUESTS * SECTIONS
    assert all(len(of_one) == 1 for of_one in hashes.values())
    assert len(set.union(*hashes.values())) == USERS
    text = deployed.servers["bff"].log.read_text()
    assert not any(user in text for user in users)
