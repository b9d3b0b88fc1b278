"""Every page, every upstream call of it, every way to fail: what the caller sees, and when."""

from __future__ import annotations

import re
from typing import Any

import orjson
import pytest
from werkzeug.test import TestResponse

from tests.faults.house import House
from tests.faults.table import CASES, NOT_FOUND, Call, Case

pytestmark = pytest.mark.e2e

AGE_S = 20_000  # past ttl and grace of every read, and young enough to be served
EMPTY = {
    "watchlist": ("users", "/watchlist", b'{"watchlist":[],"total":0}'),
    "history": ("users", "/history", b'{"history":[],"total":0}'),
    "recommended": (
        "tmdb",
        "/3/movie/*/recommendations",
        b'{"page":1,"results":[],"total_pages":0,"total_results":0}',
    ),
}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_page_when_a_call_fails_then_says_what_is_missing_or_old(house: House, case: Case) -> None:
    """Status, sections and headers are as the table says; the rest is the healthy bytes.

    An old answer is labelled with reason and age; a 404 is a 404, whatever was cached.
    """
    body = _expected(house, case)
    with house.case(case, AGE_S if case.cached else 0) as running:
        upstream = house.upstreams[case.call.upstream]
        response = running.get(case.page.url)
        attempts = upstream.asked(case.call.path)
        # Nobody waited until a held call was let go.
        assert not (case.fault.is_slow and upstream.healed.is_set())
    if body is None:
        _is_problem(case, response)
    else:
        _is_page(case, response, body)
    if not case.cached and case.fault.name != "refused":
        sent = case.fault.attempts * case.call.copies
        # One 429 is enough to keep the calls back that were still to go.
        assert attempts == sent or (case.fault.name == "429" and 0 < attempts <= 3)


def _is_page(case: Case, response: TestResponse, body: Any) -> None:
    assert response.status_code == 200
    ages = [part["age"] for part in orjson.loads(response.data).get("sections", {}).values()]
    # Some seconds have passed since the answers were kept.
    assert all(age is None or AGE_S <= age < 2 * AGE_S for age in ages)
    data = re.sub(rb'"age":2\d{4}', b'"age":20000', response.data)
    assert data == (body if isinstance(body, bytes) else orjson.dumps(body))
    if case.page.name == "popular":
        stale = f"movie-dashboard-bff; hit; ttl=0; detail={case.reason}"
        assert response.headers["Cache-Status"] == stale
        assert AGE_S <= int(response.headers["Age"]) < 2 * AGE_S
        assert response.headers["X-Degraded"] == "tmdb"
        return
    parts = body["sections"]
    degraded = [name for name, part in parts.items() if part["status"] != "ok"]
    assert response.headers.get("X-Degraded") == (", ".join(degraded) or None)
    assert "ETag" not in response.headers or not any(part["reason"] for part in parts.values())


def _is_problem(case: Case, response: TestResponse) -> None:
    problem = orjson.loads(response.data)
    assert response.content_type == "application/problem+json"
    assert response.headers["Cache-Control"] == "no-store"
    if case.reason == NOT_FOUND:
        assert (response.status_code, problem["type"]) == (404, "/problems/not-found")
        return
    assert response.status_code == problem["status"] == case.fault.status
    assert problem["upstream"] == case.call.upstream
    assert problem["reason"] == case.reason
    assert problem.get("retry_after") == case.fault.retry_after
    wait = case.fault.retry_after
    assert response.headers.get("Retry-After") == (None if wait is None else str(wait))


# -- what the table says of a case


def _expected(house: House, case: Case) -> Any:
    """Return the body of the page, None where it is a problem; bytes where no section is told."""
    missing = case.reason == NOT_FOUND
    if any(call.required and (missing or not case.cached) for call in case.hit()):
        return None
    if case.page.name == "popular":
        return house.healthy(case.page)
    body = orjson.loads(house.healthy(case.page))
    if missing:  # of the films that the recommendations start from: nothing follows from them
        return house.healthy_but(case.page, *EMPTY["recommended"])
    for call in case.hit():
        if case.cached:
            body["sections"][call.section] = _section(case, "stale", AGE_S)
        else:
            _lose(house, case, call, body)
    return body


def _lose(house: House, case: Case, call: Call, body: Any) -> None:
    """Take from the page what it cannot have without a call."""
    body["sections"][call.section] = _section(case, "unavailable")
    for section, needed in call.feeds:
        fed = next(one for one in case.page.calls if one.section == section)
        if needed:
            body["sections"][section] = _section(case, "unavailable")
            _null(body, fed.nulls[0])
        elif body["sections"][section]["status"] == "ok":
            # Still there, but it may hold films that the user has already: it says why.
            body["sections"][section] = _section(case, "ok")
            less = house.healthy_but(case.page, *EMPTY[call.section])
            body[fed.nulls[0]] = less[fed.nulls[0]]
    for path in call.nulls:
        _null(body, path)


def _section(case: Case, status: str, age: int | None = None) -> dict[str, Any]:
    return {
        "status": status,
        "reason": case.reason,
        "age": age,
        "retry_after": case.fault.retry_after,
    }


def _null(body: Any, path: str) -> None:
    """Set a field to null: `a`, `a.b` or `a[].b`."""
    found = re.fullmatch(r"(?:(\w+)(\[\])?\.)?(\w+)", path)
    assert found, path
    where, each, name = found.groups()
    # A list that is null itself has nothing more to lose.
    parts = [body] if where is None else (body[where] or []) if each else [body[where]]
    for part in parts:
        assert part[name] is not None or each, f"{path} is null in the healthy answer"
        part[name] = None
