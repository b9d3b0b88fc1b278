"""bff/api/lifecycle.py: id, deadline, headers, metrics and log line of every request."""

from __future__ import annotations

import json
import secrets
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jwt
import pytest
import requests
from flask import Flask
from flask.testing import FlaskClient
from prometheus_client import REGISTRY

from bff import context
from bff.api import lifecycle
from bff.context import RequestContext, Timing
from tests.e2e.stack import Stack

DEADLINE_S = 5.0


@pytest.fixture
def seen() -> list[RequestContext]:
    """Return the contexts that the view saw."""
    return []


@pytest.fixture
def client(seen: list[RequestContext]) -> FlaskClient:
    """Return a client of a small app with one view."""
    app = Flask(__name__)
    lifecycle.register(app, DEADLINE_S)

    @app.get("/film/<int:number>")
    def film(number: int) -> str:
        seen.append(context.current())
        if number == 2:
            timings = context.current().timings
            timings.append(Timing("tmdb", "details", "hit"))
            timings.append(Timing("users", "favorites", "timeout", 12.345))
        return "a film"

    return app.test_client(use_cookies=False)


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Return the fields of the events that are logged."""
    found: list[dict[str, Any]] = []
    monkeypatch.setattr(
        lifecycle,
        "event",
        lambda _log, _level, name, **fields: found.append({"event": name, **fields}),
    )
    return found


@pytest.mark.parametrize("given", ["a", "trace-1.2_3~", "x" * 128])
def test_request_id_when_it_is_a_plain_token_then_it_is_the_callers(
    client: FlaskClient, seen: list[RequestContext], given: str
) -> None:
    """In the context, which log lines and calls read, and in the answer."""
    response = client.get("/film/1", headers={"X-Request-ID": given})

    assert response.headers["X-Request-ID"] == given
    assert seen[0].request_id == given


@pytest.mark.parametrize("given", [None, "", "two words", "x" * 129, "a,b", "caf\u00e9"])
def test_request_id_when_it_is_no_plain_token_then_a_new_one_is_made(
    client: FlaskClient, given: str | None
) -> None:
    """Nothing that a caller makes up becomes a header or a log line of its own."""
    headers = {} if given is None else {"X-Request-ID": given}

    made = {client.get("/film/1", headers=headers).headers["X-Request-ID"] for _ in range(3)}

    assert len(made) == 3
    assert all(len(one) == 32 and int(one, 16) for one in made)


def test_deadline_when_a_request_begins_then_it_has_the_whole_time(
    client: FlaskClient, seen: list[RequestContext]
) -> None:
    """Counted from the moment at which the application gets it."""
    before = time.monotonic()
    client.get("/film/1")

    assert before + DEADLINE_S <= seen[0].deadline.at <= time.monotonic() + DEADLINE_S


def test_headers_when_upstreams_were_asked_then_server_timing_names_each_call(
    client: FlaskClient,
) -> None:
    """`cache` for what was in memory; without a call there is no such header."""
    none, two = client.get("/film/1"), client.get("/film/2")

    assert "Server-Timing" not in none.headers
    assert two.headers["Server-Timing"] == (
        'cache;desc="tmdb details", users;desc="favorites";dur=12.3'
    )
    assert 0 <= float(two.headers["X-Process-Time"]) < DEADLINE_S


def test_log_when_a_request_ends_then_there_is_one_line(
    client: FlaskClient, events: list[dict[str, Any]]
) -> None:
    """With the route in place of the path, and each call with its outcome."""
    client.get("/film/2?query=private")
    client.get("/nowhere")

    first, second = events
    duration_ms = first.pop("duration_ms")
    assert 0 <= duration_ms < DEADLINE_S * 1000
    assert first == {
        "event": "request",
        "method": "GET",
        "route": "/film/<int:number>",
        "status": 200,
        "upstream": ["tmdb.details:hit", "users.favorites:timeout"],
    }
    assert (second["route"], second["status"], second["upstream"]) == ("-", 404, [])


def test_metrics_when_requests_end_then_each_is_counted_once(client: FlaskClient) -> None:
    """By route, method and status; a method that a caller makes up has no label of its own."""

    def counted(method: str, status: int) -> float:
        labels = {"route": "/film/<int:number>", "method": method, "status": str(status)}
        return REGISTRY.get_sample_value("bff_requests_total", labels) or 0

    def timed() -> float:
        labels = {"route": "/film/<int:number>"}
        return REGISTRY.get_sample_value("bff_request_seconds_count", labels) or 0

    before = (counted("GET", 200), counted("HEAD", 200), timed())
    client.get("/film/1")
    client.get("/film/3")
    client.head("/film/1")
    client.open("/film/1", method="MADEUP")

    after = (counted("GET", 200), counted("HEAD", 200), timed())
    assert [new - old for old, new in zip(before, after, strict=True)] == [2, 1, 3]
    unknown = {"route": "-", "method": "other", "status": "405"}
    assert REGISTRY.get_sample_value("bff_requests_total", unknown)
    assert "MADEUP" not in str(
        [sample for metric in REGISTRY.collect() for sample in metric.samples]
    )


@pytest.mark.parametrize(
    ("headers", "revision"),
    [
        ({}, 0),
        ({"X-Library-Revision": "12"}, 12),
        ({"Cookie": "library_revision=7"}, 7),
        ({"X-Library-Revision": "12", "Cookie": "library_revision=7"}, 12),
        ({"X-Library-Revision": "-1"}, 0),
        ({"X-Library-Revision": "\u0663"}, 0),
        ({"X-Library-Revision": "9" * 19}, 0),
        ({"Cookie": "library_revision="}, 0),
    ],
)
def test_revision_when_the_caller_hands_one_back_then_the_context_has_it(
    client: FlaskClient, seen: list[RequestContext], headers: dict[str, str], revision: int
) -> None:
    """From the header, else from the cookie; what is no number counts as none."""
    client.get("/film/1", headers=headers)

    assert seen[0].revision == revision


SECRET = "planted-jwt-secret-of-more-than-32-bytes"
TOKEN = "planted-user-service-token"
# TMDB's details are asked for each of three favourites: eight calls for one page.
REQUESTS, USERS, SECTIONS = 200, 20, 8


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """Return processes without a cache, so that each section is a call of a pool thread."""
    settings = {
        "CACHE_ENABLED": "false",
        "WEB_CONCURRENCY": 2,
        "THREADS": 100,
        "POOL_THREADS": 2000,
        "LOG_LEVEL": "DEBUG",
        "LOG_FORMAT": "json",
        "JWT_SECRET": SECRET,
        "USER_SERVICE_TOKEN": TOKEN,
        "USER_SERVICE_EVENTS": "false",
        "TMDB_CALLS_PER_SECOND": 10_000,
        "TMDB_CONNECTIONS": 1000,
        # A busy machine must not turn a call into a timeout.
        "PAGE_DEADLINE_MS": 20_000,
        "TMDB_TIMEOUT_MS": 20_000,
        "USER_SERVICE_TIMEOUT_MS": 20_000,
    }
    with Stack(tmp_path, **settings) as running:
        yield running


def lines(stack: Stack) -> list[dict[str, Any]]:
    """Return the lines of the BFF's log that are its own."""
    text = stack.servers["bff"].log.read_text()
    return [json.loads(line) for line in text.splitlines() if "request_id" in line]


def fill(stack: Stack, user: str) -> None:
    """Give a user three favourites, which lead to three recommendations."""
    headers = {"Authorization": f"Bearer {TOKEN}", "X-User-Id": user, "Connection": "close"}
    for movie_id in (550, 155, 13):
        response = requests.put(
            f"{stack.users}/favorites/{movie_id}", json={"rating": 5}, headers=headers, timeout=60
        )
        assert response.ok, response.text


@pytest.mark.e2e
def test_logs_when_200_requests_run_at_once_then_no_line_has_anothers_id(stack: Stack) -> None:
    """Eight calls each; id and user of every line, from any thread, belong together."""
    users = [f"person-{secrets.token_hex(6)}" for _ in range(USERS)]
    sent = {f"line-{secrets.token_hex(8)}": users[number % USERS] for number in range(REQUESTS)}

    def ask(one: str) -> int:
        claims = {"sub": sent[one], "exp": int(time.time()) + 3600}
        headers = {
            "Authorization": f"Bearer {jwt.encode(claims, SECRET, 'HS256')}",
            "X-Request-ID": one,
            "Connection": "close",
        }
        url = f"{stack.bff}/api/dashboard/complete"
        response = requests.get(url, headers=headers, timeout=60)
        assert response.headers["X-Request-ID"] == one
        return response.status_code

    with ThreadPoolExecutor(REQUESTS) as pool:
        list(pool.map(lambda user: fill(stack, user), users))
        statuses = Counter(pool.map(ask, sent))
    assert statuses == {200: REQUESTS}

    found = defaultdict(list)
    for line in lines(stack):
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
    text = stack.servers["bff"].log.read_text()
    assert not any(user in text for user in users)
