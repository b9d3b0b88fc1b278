"""bff/api/lifecycle.py: id, deadline, headers, metrics and log line of every request."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from prometheus_client import REGISTRY

from bff import context
from bff.api import lifecycle
from bff.context import RequestContext, Timing
from tests.bff.fake_upstreams import Upstream
from tests.contract.client import ContractClient

DEADLINE_S = 5.0
ROUTE = "/film/<int:number>"


@pytest.fixture
def seen() -> list[RequestContext]:
    """Return the contexts that the view saw."""
    return []


@pytest.fixture
def small(seen: list[RequestContext]) -> FlaskClient:
    """Return a client of a small app with one view."""
    app = Flask(__name__)
    lifecycle.register(app, DEADLINE_S)

    @app.get(ROUTE)
    def film(number: int) -> str:
        seen.append(context.current())
        if number == 2:
            timings = context.current().timings
            timings.append(Timing("tmdb", "details", "hit"))
            timings.append(Timing("users", "favorites", "timeout", 12.345))
        return "a film"

    return app.test_client(use_cookies=False)


@pytest.mark.parametrize("given", ["a", "trace-1.2_3~", "a-Z0!#$%&'*+.^_`|~" + "x" * 110])
def test_request_id_when_it_is_a_plain_token_then_it_is_the_callers(
    client: ContractClient, tmdb: Upstream, users: Upstream, logs: list[str], given: str
) -> None:
    """The caller's id is in the answer, in each upstream call and in each log line."""
    response = client.get("/api/dashboard/feed", headers={"X-Request-ID": given})

    assert response.headers["X-Request-ID"] == given
    assert {call.headers["X-Request-ID"] for call in tmdb.calls + users.calls} == {given}
    assert logs
    assert all(f"request_id={given} " in line for line in logs)


BAD_IDS = (
    *("", "x" * 129, "two words", "a\r\nSet-Cookie: planted=1", "a\nX-Planted: 1", "tab\there"),
    *("nul\x00", "üml\xe4ut", 'quo"te', "a,b", "${jndi:ldap://x}"),
)


@pytest.mark.parametrize("given", BAD_IDS, ids=ascii)
def test_request_id_when_it_is_no_plain_token_then_a_new_one_is_made(
    client: ContractClient, logs: list[str], given: str
) -> None:
    """What could break a header or a log line is replaced; each request gets its own id."""
    answers = [
        client.get("/api/nothing", environ_overrides={"HTTP_X_REQUEST_ID": given}) for _ in range(2)
    ]

    ids = {answer.headers["X-Request-ID"] for answer in answers}
    assert len(ids) == 2
    assert all(re.fullmatch(r"[0-9a-f]{32}", one) for one in ids)
    assert "X-Planted" not in answers[0].headers
    assert not [line for line in logs if given and given in line]


def test_deadline_when_a_request_begins_then_it_has_the_whole_time(
    small: FlaskClient, seen: list[RequestContext]
) -> None:
    """It counts from the moment when the application gets the request."""
    before = time.monotonic()
    small.get("/film/1")

    assert before + DEADLINE_S <= seen[0].deadline.at <= time.monotonic() + DEADLINE_S


def test_headers_when_upstreams_were_asked_then_server_timing_names_each_call(
    small: FlaskClient, client: ContractClient
) -> None:
    """`cache` for what was in memory; without a call there is no such header."""
    none, two = small.get("/film/1"), small.get("/film/2")
    real = client.get("/api/dashboard/feed").headers["Server-Timing"]

    assert "Server-Timing" not in none.headers
    assert two.headers["Server-Timing"] == (
        'cache;desc="tmdb details", users;desc="favorites";dur=12.3'
    )
    assert float(two.headers["X-Process-Time"]) >= 0
    assert re.search(r'tmdb;desc="\w+";dur=\d+\.\d', real)
    assert len(re.findall(r'users;desc="\w+";dur=\d+\.\d', real)) == 2


def test_log_when_a_request_ends_then_there_is_one_line(
    small: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the route in place of the path, and each call with its outcome; never the query."""
    found: list[dict[str, Any]] = []
    monkeypatch.setattr(
        lifecycle,
        "event",
        lambda _log, _level, name, **fields: found.append({"event": name, **fields}),
    )

    small.get("/film/2?query=private")
    small.get("/nowhere")

    first, second = found
    assert first.pop("duration_ms") >= 0
    assert first == {
        "event": "request",
        "method": "GET",
        "route": ROUTE,
        "status": 200,
        "upstream": ["tmdb.details:hit", "users.favorites:timeout"],
    }
    assert (second["route"], second["status"], second["upstream"]) == ("-", 404, [])


def test_log_when_a_path_holds_a_line_feed_then_no_line_is_forged(
    client: ContractClient, logs: list[str]
) -> None:
    """A caller cannot write lines of their own into the log."""
    client.get("/api/%0Aplanted request method=GET")
    client.get("/api/movies/%0Aplanted")

    assert logs
    assert not [line for line in logs if "\nplanted" in line]


def test_metrics_when_requests_end_then_each_is_counted_once(small: FlaskClient) -> None:
    """By route, method and status; a method that a caller makes up has no label of its own."""

    def counted(name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(name, {"route": ROUTE, **labels}) or 0

    def counts() -> list[float]:
        return [
            counted("bff_requests_total", method="GET", status="200"),
            counted("bff_requests_total", method="HEAD", status="200"),
            counted("bff_request_seconds_count"),
        ]

    before = counts()
    for method, path in (("GET", "1"), ("GET", "3"), ("HEAD", "1"), ("MADEUP", "1")):
        small.open(f"/film/{path}", method=method)

    assert [new - old for old, new in zip(before, counts(), strict=True)] == [2, 1, 3]
    unknown = {"route": "-", "method": "other", "status": "405"}
    assert REGISTRY.get_sample_value("bff_requests_total", unknown)
    assert "MADEUP" not in str([sample for it in REGISTRY.collect() for sample in it.samples])


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
def test_revision_when_the_caller_sends_one_then_the_context_has_it(
    small: FlaskClient, seen: list[RequestContext], headers: dict[str, str], revision: int
) -> None:
    """From the header, else from the cookie; what is no number counts as none."""
    small.get("/film/1", headers=headers)

    assert seen[0].revision == revision
