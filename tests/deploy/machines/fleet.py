"""Two machines of one deployment: what is started, and how it is asked by many at once."""

from __future__ import annotations

import http.client
import json
import os
import signal
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jwt
import psycopg

from tests.e2e.stack import Stack

SECRET = "a-secret-of-enough-bytes-for-HS256"
# Both machines: two workers, time for a machine that is busy, and no bound but the one under test.
SETTINGS: dict[str, Any] = {
    "WEB_CONCURRENCY": 2,
    "JWT_SECRET": SECRET,
    "PAGE_DEADLINE_MS": 10_000,
    "TMDB_TIMEOUT_MS": 5000,
    "USER_SERVICE_TIMEOUT_MS": 8000,
    "TMDB_CALLS_PER_SECOND": 10_000,
    "CIRCUIT_BREAKER_TIMEOUT_SECONDS": 3,
    "LOG_FORMAT": "json",
}


@dataclass(frozen=True)
class Answer:
    """What a caller got; status 0: no answer at all, and `text` says why."""

    status: int
    text: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def json(self) -> Any:
        """Return the body, decoded."""
        return json.loads(self.text)


def ask(url: str, method: str = "GET", body: Any = None, **headers: str) -> Answer:
    """Send one request on a connection of its own, so that any worker may get it."""
    parts = urlsplit(url)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if body is not None:
        named["Content-Type"] = "application/json"
    sent = None if body is None else json.dumps(body)
    connection = http.client.HTTPConnection("127.0.0.1", parts.port or 80, timeout=20)
    with closing(connection):
        try:
            connection.request(method, url.partition(parts.netloc)[2], sent, named)
            response = connection.getresponse()
            text = response.read().decode()
        except (OSError, http.client.HTTPException) as error:
            return Answer(0, repr(error))
        return Answer(response.status, text, {k.lower(): v for k, v in response.getheaders()})


def get_at_once(urls: list[str], **headers: str) -> list[Answer]:
    """GET all addresses at the same moment."""
    barrier = threading.Barrier(len(urls))

    def get(url: str) -> Answer:
        barrier.wait(10)
        return ask(url, **headers)

    with ThreadPoolExecutor(len(urls)) as pool:
        return list(pool.map(get, urls))


def as_user(name: str) -> dict[str, str]:
    """Return the headers of a user with a token."""
    token = jwt.encode({"sub": name, "exp": time.time() + 600}, SECRET, "HS256")
    return {"Authorization": f"Bearer {token}"}


def circuits(door: str, operation: str, asked: int = 10) -> set[str]:
    """Return what the workers of an instance say of a circuit; `none`: never heard of it."""
    states = set()
    for _ in range(asked):
        checks = ask(f"{door}/health/ready").json["checks"]["tmdb:circuit"]
        said = [check["observedValue"] for check in checks if check["componentId"] == operation]
        states.add(said[0] if said else "none")
    return states


def rows(database_url: str, user: str) -> dict[int, int]:
    """Return how often each film stands among a user's favourites, from PostgreSQL itself."""
    with closing(psycopg.connect(database_url.replace("+psycopg", ""))) as connection:
        found = connection.execute(
            "SELECT movie_id, COUNT(*) FROM favorites WHERE user_id = %s GROUP BY movie_id", (user,)
        )
        return dict(found.fetchall())


class Writers:
    """Twenty clients, each of which adds films at one door.

    Who has no answer, or one that invites to try again, asks again with the same key.
    """

    ENOUGH = 40
    AGAIN = (0, 409, 502, 503, 504)

    def __init__(self, doors: list[str], films: Sequence[int]) -> None:
        self.added: dict[str, list[int]] = {f"{uuid.uuid4().hex}": [] for _ in range(20)}
        self.failed: Counter[str] = Counter()  # answers by door
        self.wrong: list[Answer] = []
        self.begun = threading.Event()  # the first writes are answered
        self._pause = threading.Event()
        self._doors, self._films = doors, films

    def write(self, number: int) -> None:
        """Be one of the clients."""
        user, door = list(self.added)[number], self._doors[number % len(self._doors)]
        for film in self._films:
            headers = as_user(user) | {"Idempotency-Key": uuid.uuid4().hex}
            answer, end = Answer(0), time.monotonic() + 20
            while answer.status in self.AGAIN and time.monotonic() < end:
                answer = ask(door, "POST", {"movie_id": film}, **headers)
                if answer.status != 201:
                    self.failed[door] += 1
                    self._pause.wait(0.05)
            if answer.status == 201:
                self.added[user].append(film)
            else:
                self.wrong.append(answer)
            if sum(map(len, self.added.values())) > self.ENOUGH:
                self.begun.set()


def kill(stack: Stack) -> None:
    """End a user service at once, master and workers, without a word."""
    server = stack.servers["users"]
    os.killpg(server.pid, signal.SIGKILL)
    server.end(5)


@contextmanager
def pair(folder: Path, names: tuple[str, ...], **settings: Any) -> Iterator[tuple[Stack, Stack]]:
    """Run two instances with files of their own; the first one's TMDB serves both."""
    one = Stack(folder / "one", **SETTINGS | settings)
    two = Stack(folder / "two", **SETTINGS | settings | {"TMDB_BASE_URL": f"{one.tmdb}/3"})
    try:
        one.start(*names, "tmdb")
        two.start(*names)
        yield one, two
    finally:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(Stack.end, (two, one)))
