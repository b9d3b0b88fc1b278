"""Two hundred requests at once: whose each log line is."""

from __future__ import annotations

import secrets
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.e2e.stack import Stack
from tests.sight.conftest import TOKEN, bearer, lines, request_id

# TMDB's details are asked for each of three favourites: eight calls for one page.
REQUESTS, USERS, SECTIONS = 200, 20, 8


def fill(stack: Stack, user: str) -> None:
    """Give a user three favourites, which lead to three recommendations."""
    headers = {"Authorization": f"Bearer {TOKEN}", "X-User-Id": user, "Connection": "close"}
    for movie_id in (550, 155, 13):
        response = requests.put(
            f"{stack.users}/favorites/{movie_id}", json={"rating": 5}, headers=headers, timeout=30
        )
        assert response.ok, response.text


@pytest.mark.e2e
def test_logs_when_200_requests_run_at_once_then_no_line_has_anothers_id(uncached: Stack) -> None:
    """Eight sections each; id, trace and user of every line, from any thread, belong together."""
    users = [f"person-{secrets.token_hex(6)}" for _ in range(USERS)]
    sent = {
        request_id(): (users[number % USERS], secrets.token_hex(16)) for number in range(REQUESTS)
    }

    def ask(one: str) -> int:
        user, trace = sent[one]
        parent = f"00-{trace}-{secrets.token_hex(8)}-01"
        headers = {**bearer(user), "X-Request-ID": one, "traceparent": parent}
        url = f"{uncached.bff}/api/dashboard/complete"
        response = requests.get(url, headers={**headers, "Connection": "close"}, timeout=60)
        assert response.headers["X-Request-ID"] == one
        return response.status_code

    with ThreadPoolExecutor(REQUESTS) as pool:
        list(pool.map(lambda user: fill(uncached, user), users))
        statuses = Counter(pool.map(ask, sent))
    assert statuses == {200: REQUESTS}

    found = defaultdict(list)
    for line in lines(uncached):
        if line["request_id"] in sent:
            found[line["request_id"]].append(line)
    assert set(found) == set(sent)
    hashes: dict[str, set[str]] = defaultdict(set)
    calls_seen = 0
    for one, (user, trace) in sent.items():
        (own,) = [line for line in found[one] if line["event"] == "request"]
        assert (own["route"], own["status"]) == ("/api/dashboard/complete", 200)
        assert own["duration_ms"] > 0
        assert {line.get("trace_id") for line in found[one]} == {trace}
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
    text = uncached.servers["bff"].log.read_text()
    assert not any(user in text for user in users)
