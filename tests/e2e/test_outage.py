"""What each page says while an upstream fails, and that it says so before the fault is over.

A fault that holds a call lasts until the test ends it: an answer that comes before that did not
wait for the call. Which fault gives which reason in which section is tests/faults' business.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from tests.e2e.stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.essential]

# name of the fault: (the fault, reason that the sections give, status of a page that needs it)
FAULTS: dict[str, tuple[dict[str, Any], str, int]] = {
    "503": ({"status": 503}, "upstream_error", 502),
    "429": ({"status": 429, "retry_after": 1}, "rate_limited", 503),
    "hang": ({"hang": True}, "timeout", 504),
    "slow-body": ({"slow_body_ms": 600_000}, "timeout", 504),
    "reset": ({"reset": True}, "unreachable", 502),
    "truncate": ({"truncate": True}, "bad_response", 502),
}
# A page's address, and its sections that need the user service.
PAGES = {
    "feed": ("/api/dashboard/feed?language={}", "favorites, watchlist"),
    "movie": ("/api/dashboard/movie/550/enriched?language={}", "favorites, watchlist, history"),
    "search": ("/api/dashboard/search/enriched?query=love&language={}", "favorites, watchlist"),
    "complete": (
        "/api/dashboard/complete?language={}",
        "favorites, watchlist, history, recommended",
    ),
}
# A language that nobody has asked for: its answers are in no cache.
LETTERS = "abcdefghijklmnopqrstuvwxyz"
LANGUAGES = (f"{first}{second}-QQ" for first, second in itertools.product(LETTERS, repeat=2))


@pytest.fixture(scope="module")
def _live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(
        tmp_path_factory.mktemp("stack"),
        CACHE_TTL=1,
        CACHE_GRACE=1,
        CIRCUIT_BREAKER_ENABLED="false",  # it would hide how each single call ends
        TMDB_CALLS_PER_SECOND=1000,
        USER_SERVICE_EVENTS="false",  # what is in memory would be shown all the same
    ) as stack:
        yield stack


@pytest.fixture
def live(_live: Stack) -> Stack:
    """Return this module's stack, once all of it is well again (after a 429 it waits a while)."""
    _live.reset()
    _live.wait(lambda: "X-Degraded" not in cold(_live, "complete").headers, "the stack is not well")
    return _live


def cold(stack: Stack, page: str) -> requests.Response:
    """Ask for a page of which nothing is in the cache."""
    return stack.get(PAGES[page][0].format(next(LANGUAGES)))


def all_pages(stack: Stack) -> dict[str, requests.Response]:
    """Ask for every page cold, side by side."""
    with ThreadPoolExecutor(len(PAGES)) as pool:
        return dict(zip(PAGES, pool.map(lambda page: cold(stack, page), PAGES), strict=True))


def degraded(response: requests.Response) -> dict[str, Any]:
    """Return the sections that are not ok, once X-Degraded agrees; such a page has no ETag."""
    sections = response.json()["sections"]
    missing = {name: part for name, part in sections.items() if part["status"] != "ok"}
    assert response.headers.get("X-Degraded", "") == ", ".join(missing)
    assert "ETag" not in response.headers or not missing
    return missing


@pytest.mark.parametrize("name", FAULTS)
def test_pages_when_tmdb_fails_then_they_say_so_at_their_deadline(live: Stack, name: str) -> None:
    """What needs TMDB fails with its reason; the complete page shows what the user has."""
    fault, reason, status = FAULTS[name]
    live.faults("tmdb", **fault)

    answers = all_pages(live)

    for page in ("feed", "movie", "search"):
        problem = answers[page].json()
        assert answers[page].status_code == status, page
        assert answers[page].headers["Content-Type"] == "application/problem+json"
        assert (problem["upstream"], problem["reason"]) == ("tmdb", reason), page
        if status == 503:
            assert int(answers[page].headers["Retry-After"]) == problem["retry_after"] > 0
    complete = answers["complete"]
    body, missing = complete.json(), degraded(complete)
    assert complete.status_code == 200
    assert list(missing) == ["popular", "trending", "recommended"]
    assert {part["reason"] for part in missing.values()} == {reason}
    assert body["popular_movies"] is body["trending_movies"] is body["recommended_for_you"] is None
    assert body["stats"]["total_favorites"] == 3


@pytest.mark.parametrize("name", FAULTS)
def test_pages_when_the_user_service_fails_then_films_are_shown_with_unknown_marks(
    live: Stack, name: str
) -> None:
    """Every page is 200 with its films; what the user service could not say is null."""
    fault, reason, _ = FAULTS[name]
    live.faults("users", **fault)

    answers = all_pages(live)

    for page, response in answers.items():
        missing = degraded(response)
        assert response.status_code == 200, page
        assert ", ".join(missing) == PAGES[page][1]
        assert {part["reason"] for part in missing.values()} == {reason}, page
    for page, films in (("feed", "movies"), ("search", "results")):
        shown = answers[page].json()[films]
        assert shown
        for mark in ("is_favorite", "is_in_watchlist", "user_rating"):
            assert {film[mark] for film in shown} == {None}
    assert answers["feed"].json()["favorites_count"] is None
    assert set(answers["movie"].json()["user_data"].values()) == {None}
    complete = answers["complete"].json()
    assert len(complete["popular_movies"]) == len(complete["trending_movies"]) == 12
    assert complete["recommended_for_you"] is complete["continue_watching"] is None
    assert set(complete["stats"].values()) == {None}


def test_complete_when_one_list_hangs_then_only_its_section_is_missing(live: Stack) -> None:
    """One call that hangs costs its own section; a page without any section is an error."""
    live.faults("users", match="/history", hang=True)

    response = cold(live, "complete")

    page, missing = response.json(), degraded(response)
    assert missing["history"]["reason"] == "timeout"
    assert page["popular_movies"]
    assert page["stats"]["total_favorites"] == 3
    assert page["continue_watching"] is None

    live.faults("tmdb", status=500)
    live.faults("users", status=500)
    response = cold(live, "complete")
    assert (response.status_code, response.json()["reason"]) == (502, "upstream_error")


def test_feed_when_tmdb_fails_and_an_old_answer_is_there_then_it_is_shown_as_stale(
    live: Stack,
) -> None:
    """Stale if error: the old films with their age, and no ETag that would make them the truth."""
    path = PAGES["feed"][0].format(next(LANGUAGES))
    fresh = live.get(path).json()
    live.faults("tmdb", status=503)

    live.wait(lambda: "X-Degraded" in live.get(path).headers, "the feed never became stale")
    response = live.get(path)

    missing = degraded(response)
    assert response.status_code == 200
    assert list(missing) == ["movies"]
    section = missing["movies"]
    assert (section["status"], section["reason"]) == ("stale", "upstream_error")
    assert section["age"] >= 1
    assert response.json()["movies"] == fresh["movies"]


def test_breaker_when_tmdb_failed_five_times_then_it_is_not_asked_and_later_recovers(
    live: Stack,
) -> None:
    """An open circuit answers 503 with Retry-After and asks nobody; a probe closes it again."""
    # The last test of this file, since the BFF keeps the settings.
    live.restart("bff", CIRCUIT_BREAKER_ENABLED="true", CIRCUIT_BREAKER_TIMEOUT_SECONDS=600)
    live.faults("tmdb", status=500)
    live.wait(
        lambda: cold(live, "feed").json()["reason"] == "circuit_open", "the circuit stays shut"
    )
    live.faults("tmdb")
    live.forget_calls("tmdb")

    response = cold(live, "feed")

    assert response.status_code == 503
    assert response.json()["reason"] == "circuit_open"
    assert 1 <= int(response.headers["Retry-After"]) <= 600
    assert live.get("/health/ready").json()["status"] == "warn"
    assert live.calls("tmdb") == {}
    live.restart("bff", CIRCUIT_BREAKER_TIMEOUT_SECONDS=1)
    live.faults("tmdb", status=500)
    live.wait(
        lambda: cold(live, "feed").json()["reason"] == "circuit_open", "the circuit stays shut"
    )
    live.faults("tmdb")
    live.wait(lambda: cold(live, "feed").status_code == 200, "the circuit stays open")
