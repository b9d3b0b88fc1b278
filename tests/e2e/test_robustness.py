"""Many callers at once: one row for one film, and never one user's data for another."""

from __future__ import annotations

import concurrent.futures
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
import requests

from tests.e2e.conftest import LIVE
from tests.e2e.stack import Stack

pytestmark = pytest.mark.e2e

Json = dict[str, Any]
SECRET = "a-secret-of-enough-bytes-for-HS256"
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
        PAGE_DEADLINE_MS=10_000,
        USER_SERVICE_TIMEOUT_MS=8000,
        TMDB_TIMEOUT_MS=8000,
    ) as stack:
        LIVE.append(stack)
        yield stack
        LIVE.remove(stack)


def as_user(name: str) -> dict[str, str]:
    """Return the headers of a user with a token."""
    token = jwt.encode({"sub": name, "exp": time.time() + 600}, SECRET, "HS256")
    return {"Authorization": f"Bearer {token}"}


def test_favorite_when_fifty_requests_add_it_at_once_then_one_is_made(live: Stack) -> None:
    """One answer is 201, 49 are 409, and one row is there."""
    headers = as_user("eager")
    at_once = threading.Barrier(50)

    def add(_: int) -> int:
        at_once.wait(10)
        return requests.post(
            f"{live.bff}/api/users/favorites", headers=headers, json={"movie_id": 603}, timeout=30
        ).status_code

    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        statuses = Counter(pool.map(add, range(50)))

    assert statuses == {201: 1, 409: 49}
    assert live.get("/api/users/favorites", headers=headers).json()["total"] == 1


@pytest.mark.parametrize(
    "title",
    [
        "Amélie \u2013 Le Fabuleux Destin",
        "千と千尋の神隠し",
        "Ирония судьбы 🎬🍿",
        "مرحبا שלום",
        "e\u0301\u200d\ufe0f 👩\u200d👩\u200d👧",
        "\U0001d509ight <script>'\"; DROP TABLE favorites; --",
        "\ufeff\u2028",
        "x" * 500,
    ],
)
def test_title_when_of_any_script_then_it_comes_back_as_it_was(live: Stack, title: str) -> None:
    """A title is kept character by character, through both services and the database."""
    headers = as_user("polyglot")

    for body in (json.dumps({"title": title}), json.dumps({"title": title}, ensure_ascii=False)):
        put = live.call(
            "PUT",
            "/api/users/watchlist/550",
            headers={**headers, "Content-Type": "application/json"},
            data=body.encode(),
        )

        assert put.status_code in (200, 201), put.text
        assert put.json()["watchlist_item"]["title"] == title
    kept = live.get("/api/users/watchlist", headers=headers).json()["watchlist"]
    assert [item["title"] for item in kept] == [title]


@pytest.mark.parametrize(
    ("status", "title"),
    [(422, "a\x00b"), (422, "a\nb"), (422, "a\x85b"), (422, ""), (422, 501 * "x"), (400, "\ud800")],
)
def test_title_when_it_cannot_be_shown_then_it_is_refused_and_nothing_changes(
    live: Stack, status: int, title: str
) -> None:
    """Control characters and endless texts are 422; half a surrogate pair is no JSON text."""
    headers = as_user("careless")

    put = live.call("PUT", "/api/users/watchlist/550", headers=headers, json={"title": title})

    assert put.status_code == status
    assert list(put.json().get("errors", ["title"])) == ["title"]
    assert live.get("/api/users/watchlist", headers=headers).json()["total"] == 0


def has_favorites(page: Json, own: set[int], rating: int) -> bool:
    """Whether a list of favourites is that of the user with these films and stars."""
    kept = {item["movie_id"]: item["rating"] for item in page["favorites"]}
    return kept == dict.fromkeys(own, rating)


def has_marks(page: Json, own: set[int], rating: int) -> bool:
    """Whether a feed's marks are those of the user."""
    return all(
        film["is_favorite"] is (film["id"] in own)
        and film["user_rating"] == (rating if film["id"] in own else None)
        for film in page["movies"]
    )


def has_user_data(page: Json, own: set[int], rating: int) -> bool:
    """Whether the data on the page of a film are the user's."""
    return page["id"] in own and bool(page["user_data"]["user_rating"] == rating)


def has_numbers(page: Json, own: set[int], rating: int) -> bool:
    """Whether the numbers and recommendations of a complete page are the user's."""
    led = {film["because"]["id"] for film in page["recommended_for_you"]}
    return bool(led) and led <= own and bool(page["stats"]["avg_rating"] == rating)


PAGES = (
    ("/api/users/favorites", has_favorites),
    ("/api/dashboard/feed", has_marks),
    (f"/api/dashboard/movie/{COMMON_FILM}/enriched", has_user_data),
    ("/api/dashboard/complete", has_numbers),
)


def ask_as(live: Stack, name: str, own: set[int], rating: int) -> list[str]:
    """Ask for the pages in turn as one user; return what was wrong with any answer."""
    wrong = []
    with requests.Session() as session:
        session.trust_env = False
        session.headers.update(as_user(name))
        for turn in range(ROUNDS):
            path, is_of = PAGES[(turn + rating) % len(PAGES)]
            request_id = f"{name}.{turn}"
            # Every second answer has to come from the user service, not out of memory.
            headers = {"X-Request-ID": request_id, "X-Library-Revision": str(turn % 2 * 999_999)}
            answer = session.get(live.bff + path, headers=headers, timeout=30)
            if answer.status_code != 200 or "X-Degraded" in answer.headers:
                wrong.append(f"{path}: {answer.status_code} {answer.headers.get('X-Degraded')}")
            elif answer.headers["X-Request-ID"] != request_id:
                wrong.append(f"{path}: {answer.headers['X-Request-ID']} for {request_id}")
            elif not is_of(answer.json(), own, rating):
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

    with concurrent.futures.ThreadPoolExecutor(len(users)) as pool:
        asked = [pool.submit(ask_as, live, name, *user) for name, user in users.items()]
        wrong = [fault for future in asked for fault in future.result(60)]

    assert wrong == []
    log = live.servers["users"].log.read_text()
    assert {f"user-3.{turn}" for turn in range(1, ROUNDS, 2)} <= set(
        re.findall(r"user-3\.\d+", log)
    )
