"""Many callers at once: one row for one film, and never one user's data for another."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from tests.e2e.stack import CALL_TIMEOUT_S, SECRET, Stack, as_user

pytestmark = pytest.mark.e2e

Json = dict[str, Any]
ROUNDS = 15
# Films that differ from user to user; each user's favourites are one of them and a common one.
OWN_FILMS = (13, 155, 680, 27205, 603, 238, 278, 424, 122, 157336, 496243, 129)
COMMON_FILM = 550


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Return a stack with two workers that accepts tokens, and has time for a busy machine."""
    with Stack(
        tmp_path_factory.mktemp("stack"),
        JWT_SECRET=SECRET,
        WEB_CONCURRENCY=2,
        # Twelve users at once ask for more than the bulkheads let through otherwise.
        POOL_THREADS=128,
        USER_SERVICE_CONCURRENT_CALLS=64,
        TMDB_CONCURRENT_CALLS=64,
        PAGE_DEADLINE_MS=20_000,
        USER_SERVICE_TIMEOUT_MS=20_000,
        TMDB_TIMEOUT_MS=20_000,
    ) as stack:
        yield stack


def test_favorite_when_fifty_requests_add_it_at_once_then_one_is_made(live: Stack) -> None:
    """One answer is 201, 49 are 409, and one row is there."""
    headers = as_user("eager")
    at_once = threading.Barrier(50)

    def add(_: int) -> int:
        at_once.wait(CALL_TIMEOUT_S)
        url, body = f"{live.bff}/api/users/favorites", {"movie_id": 603}
        return requests.post(url, headers=headers, json=body, timeout=CALL_TIMEOUT_S).status_code

    with ThreadPoolExecutor(50) as pool:
        statuses = Counter(pool.map(add, range(50)))

    assert statuses == {201: 1, 409: 49}
    assert live.get("/api/users/favorites", headers=headers).json()["total"] == 1


@pytest.mark.parametrize(
    "title",
    [
        "Amélie \u2013 千と千尋 Ирония مرحبا שלום",
        "e\u0301\u200d\ufe0f 🎬 👩\u200d👩\u200d👧 \ufeff\u2028",
        "\U0001d509ight <script>'\"; DROP TABLE favorites; --",
        "x" * 500,
    ],
)
def test_title_when_of_any_script_then_it_comes_back_as_it_was(live: Stack, title: str) -> None:
    """A title is kept character by character, through both services and the database."""
    headers = as_user("polyglot") | {"Content-Type": "application/json"}

    for body in (json.dumps({"title": title}), json.dumps({"title": title}, ensure_ascii=False)):
        put = live.call("PUT", "/api/users/watchlist/550", headers=headers, data=body.encode())
        assert put.status_code in (200, 201), put.text
        assert put.json()["watchlist_item"]["title"] == title
    kept = live.get("/api/users/watchlist", headers=headers).json()["watchlist"]
    assert [item["title"] for item in kept] == [title]


def is_right(page: Json, own: set[int], rating: int) -> bool:
    """Whether a page shows what belongs to the user with these films and stars."""
    if "favorites" in page:
        kept = {item["movie_id"]: item["rating"] for item in page["favorites"]}
        return kept == dict.fromkeys(own, rating)
    if "movies" in page:
        return all(
            film["is_favorite"] is (film["id"] in own)
            and film["user_rating"] == (rating if film["id"] in own else None)
            for film in page["movies"]
        )
    if "user_data" in page:
        return page["id"] in own and bool(page["user_data"]["user_rating"] == rating)
    led = {film["because"]["id"] for film in page["recommended_for_you"]}
    return bool(led) and led <= own and bool(page["stats"]["avg_rating"] == rating)


PAGES = (
    "/api/users/favorites",
    "/api/dashboard/feed",
    f"/api/dashboard/movie/{COMMON_FILM}/enriched",
    "/api/dashboard/complete",
)


def ask_as(live: Stack, name: str, own: set[int], rating: int) -> list[str]:
    """Ask for the pages in turn as one user; return what was wrong with any answer."""
    wrong = []
    with requests.Session() as session:
        session.trust_env = False
        session.headers.update(as_user(name))
        for turn in range(ROUNDS):
            path = PAGES[(turn + rating) % len(PAGES)]
            request_id = f"{name}.{turn}"
            # Every second answer has to come from the user service, not out of memory.
            headers = {"X-Request-ID": request_id, "X-Library-Revision": str(turn % 2 * 999_999)}
            answer = session.get(live.bff + path, headers=headers, timeout=CALL_TIMEOUT_S)
            if answer.status_code != 200 or "X-Degraded" in answer.headers:
                wrong.append(f"{path}: {answer.status_code} {answer.headers.get('X-Degraded')}")
            elif answer.headers["X-Request-ID"] != request_id:
                wrong.append(f"{path}: {answer.headers['X-Request-ID']} for {request_id}")
            elif not is_right(answer.json(), own, rating):
                wrong.append(f"{path}: not the answer for {name}")
    return wrong


def test_answers_when_many_users_ask_at_once_then_each_belongs_to_its_caller(live: Stack) -> None:
    """Lists, marks, numbers and request ids are never those of another request."""
    users = {
        f"user-{number}": ({film, COMMON_FILM}, number % 5 + 1)
        for number, film in enumerate(OWN_FILMS)
    }
    for name, (own, rating) in users.items():
        for film in own:
            body = {"movie_id": film, "rating": rating}
            added = live.call("POST", "/api/users/favorites", headers=as_user(name), json=body)
            assert added.status_code == 201, added.text

    with ThreadPoolExecutor(len(users)) as pool:
        asked = [pool.submit(ask_as, live, name, *user) for name, user in users.items()]
        wrong = [fault for future in asked for fault in future.result()]

    assert wrong == []
    log = live.servers["users"].log
    ids = {f"user-3.{turn}" for turn in range(1, ROUNDS, 2)}
    live.wait(
        lambda: ids <= set(re.findall(r"user-3\.\d+", log.read_text())),
        "the user service has not seen these ids",
    )
