"""The history checker: no read is older than what its reader may rely on.

Clients write through both doors (the BFF and the user service itself) and read through the BFF,
over four workers, while the streams of changes are cut and held up. What each film of each user
was and is stands in a history; every read is held against it.

It ends when there were enough reads and cuts, however long that takes; HISTORY_READS=5000 makes
more of them.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.e2e.stack import SECRET, Stack, as_user
from tests.e2e.wire import Wire

pytestmark = pytest.mark.e2e

READS, CUTS = int(os.environ.get("HISTORY_READS", "400")), 8
USERS, WRITERS, WORKERS = 4, 2, 4  # and one for each user that reads only
# By then a change that somebody else made must be seen. On an idle machine it takes a twentieth
# of a second; this is as long as a machine may be busy with something else.
OTHERS_AFTER_S = 5.0
HANG_GUARD_S = 300

# A film's mark: None, or its stars and its title, which names the version.
Mark = tuple[int, str] | None


def mark(version: int) -> Mark:
    """Return what the film is after its write number `version`; every fourth takes it away."""
    return None if version % 4 == 0 else (1 + version % 5, f"version {version}")


@dataclass
class Film:
    """What one client made of one film. Only that client writes; any thread reads."""

    movie_id: int
    begun: int = 0  # the number of the last write that was sent
    done: list[float] = field(default_factory=lambda: [float("-inf")])  # moments of the answers

    def may_be(self, least: int) -> list[Mark]:
        """Return what a read may show that began when `least` writes had been answered."""
        return [mark(version) for version in range(least, self.begun + 1)]

    def done_before(self, moment: float) -> int:
        """Return how many writes had been answered at a moment."""
        done = self.done
        return next(n for n in range(len(done) - 1, -1, -1) if done[n] <= moment)


class Client(threading.Thread):
    """One device of a user: it writes its own film, if it has one, and reads those of all."""

    def __init__(
        self, stack: Stack, user: str, own: Film | None, films: list[Film], end: threading.Event
    ) -> None:
        super().__init__(name=f"{user}-{own.movie_id if own else 'reader'}")
        self.stack, self.own, self.films, self.end = stack, own, films, end
        self.user, self.token = user, as_user(user)
        self.random = random.Random(self.name)
        self.revision = 0
        self.connection: http.client.HTTPConnection | None = None
        self.reads = self.from_memory = 0
        self.faults: list[str] = []

    def run(self) -> None:
        """Write and read until the end; what is wrong is noted, and ends this client."""
        try:
            while not self.end.is_set() and not self.faults:
                if self.own is not None:
                    self.write(self.own)
                for _ in range(self.random.randint(1, 4)):
                    self.read()
        except Exception as error:
            self.faults.append(f"{self.name}: {type(error).__name__}: {error}")

    # -- writes

    def write(self, own: Film) -> None:
        """Make the next version of the own film, through either door."""
        own.begun += 1
        now, before = mark(own.begun), mark(own.begun - 1)
        film = own.movie_id
        if now is None:
            method, path, body = "DELETE", f"favorites/{film}", None
        elif before is None and self.random.random() < 0.5:
            method, path = "POST", "favorites"
            body = {"movie_id": film, "rating": now[0], "title": now[1]}
        else:
            method, path = "PUT", f"favorites/{film}"
            body = {"rating": now[0], "title": now[1]}
        if self.random.random() < 0.5:
            base, prefix, headers = self.stack.bff, "/api/users/", self.token
        else:
            base, prefix, headers = self.stack.users, "/", {"X-User-Id": self.user}
        status, answered, text = self.send(base, method, prefix + path, headers, body)
        if status not in (200, 201):
            raise AssertionError(f"{method} {base}{prefix}{path}: {status} {text[:200]!r}")
        self.revision = max(self.revision, int(answered["X-Library-Revision"]))
        own.done.append(time.monotonic())

    # -- reads

    def read(self) -> None:
        """Read one page, and hold it against the history."""
        check = self.random.choice((self.read_feed, self.read_movie, self.read_favorites))
        started = time.monotonic()
        least = [
            film.done_before(started - (0 if film is self.own else OTHERS_AFTER_S))
            for film in self.films
        ]
        seen = check()
        took_s = time.monotonic() - started
        self.reads += 1
        for film, before in zip(self.films, least, strict=True):
            if film.movie_id not in seen:
                continue
            allowed = [seen[film.movie_id][0](version) for version in film.may_be(before)]
            found = seen[film.movie_id][1]
            if found not in allowed:
                whose = "its own write" if film is self.own else "another client's write"
                self.faults.append(
                    f"{self.name} missed {whose}: {check.__name__} took {took_s:.3f} s and shows "
                    f"{found} for film {film.movie_id}; allowed: {allowed}, versions "
                    f"{before} to {film.begun}, revision handed back: {self.revision}"
                )

    def read_feed(self) -> dict[int, tuple[Callable[[Mark], Any], Any]]:
        """Return film -> how a mark shows in the feed, and what it shows."""
        page = self.get("/api/dashboard/feed")
        return {
            film["id"]: (_stars, (film["is_favorite"], film["user_rating"]))
            for film in page["movies"]
        }

    def read_movie(self) -> dict[int, tuple[Callable[[Mark], Any], Any]]:
        """Return the same of one film's page."""
        film = self.random.choice(self.films).movie_id
        data = self.get(f"/api/dashboard/movie/{film}/enriched")["user_data"]
        return {film: (_stars, (data["is_favorite"], data["user_rating"]))}

    def read_favorites(self) -> dict[int, tuple[Callable[[Mark], Any], Any]]:
        """Return the same of the list, which shows the version itself."""
        items = self.get("/api/users/favorites")["favorites"]
        held = {item["movie_id"]: (item["rating"], item["title"]) for item in items}
        return {film.movie_id: (_itself, held.get(film.movie_id)) for film in self.films}

    def get(self, path: str) -> Any:
        """Read from the BFF with the revision of the last write handed back, in either way."""
        headers = dict(self.token)
        if self.random.random() < 0.5:
            headers["X-Library-Revision"] = str(self.revision)
        else:
            headers["Cookie"] = f"library_revision={self.revision}"
        status, answered, text = self.send(self.stack.bff, "GET", path, headers)
        if status != 200 or "X-Degraded" in answered:
            degraded = answered.get("X-Degraded")
            raise AssertionError(f"GET {path}: {status} {degraded} {text[:200]!r}")
        self.from_memory += 'desc="users favorites"' in answered["Server-Timing"]
        return json.loads(text)

    def send(
        self, base: str, method: str, path: str, headers: dict[str, str], body: Any = None
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Send a request, often over a new connection, which meets another worker."""
        address = urlsplit(base).netloc
        connection = self.connection
        if connection is None or base != self.stack.bff or self.random.random() < 0.3:
            connection = http.client.HTTPConnection(address, timeout=HANG_GUARD_S)
        text = None if body is None else json.dumps(body).encode()
        if text is not None:
            headers = headers | {"Content-Type": "application/json"}
        connection.request(method, path, text, headers)
        response = connection.getresponse()
        answer = response.read()
        if base != self.stack.bff:
            connection.close()
        elif connection is not self.connection:
            if self.connection is not None:
                self.connection.close()
            self.connection = connection
        return response.status, response.headers, answer


def _itself(state: Mark) -> Mark:
    return state


def _stars(state: Mark) -> tuple[bool, int | None]:
    return (False, None) if state is None else (True, state[0])


def test_reads_when_many_write_through_both_doors_and_streams_break_then_none_is_too_old(
    tmp_path: Path,
) -> None:
    """A reader sees its own last write at once and everybody else's within a second."""
    stack = Stack(
        tmp_path,
        WEB_CONCURRENCY=WORKERS,
        JWT_SECRET=SECRET,
        LOG_LEVEL="WARNING",
        # On a machine that is busy a call takes long; what is tested is not that.
        PAGE_DEADLINE_MS=15_000,
        USER_SERVICE_TIMEOUT_MS=15_000,
    )
    port = urlsplit(stack.users).port
    assert port is not None
    with Wire(port) as wire:
        stack.settings["USER_SERVICE_URL"] = wire.url
        with stack:
            clients = _play(stack, wire)
    faults = [fault for client in clients for fault in client.faults]
    assert not faults, "\n".join(faults)
    assert wire.cuts >= CUTS
    reads = sum(client.reads for client in clients)
    # Where all reads ask the user service there is nothing to be old.
    assert sum(client.from_memory for client in clients) > reads / 40


def _play(stack: Stack, wire: Wire) -> list[Client]:
    """Let the clients run while the streams are cut and held up; return them when they are done."""
    popular = stack.get("/api/dashboard/feed").json()["movies"]
    wanted = [film["id"] for film in popular[:WRITERS]]
    for film in wanted:
        stack.get(f"/api/dashboard/movie/{film}/enriched")  # what is tested is not TMDB
    end = threading.Event()
    clients = []
    for user in range(USERS):
        films = [Film(movie_id) for movie_id in wanted]
        clients += [Client(stack, f"history-{user}", own, films, end) for own in (*films, None)]
    for client in clients:
        client.start()
    chance = random.Random(1)
    guard = time.monotonic() + HANG_GUARD_S
    while sum(client.reads for client in clients) < READS or wire.cuts < CUTS:
        assert time.monotonic() < guard, "too few reads or cuts"
        if any(client.faults for client in clients):
            break
        time.sleep(chance.uniform(0.05, 0.8))
        if chance.random() < 0.7:
            wire.cut(chance.randint(1, WORKERS))
        else:
            wire.hold(chance.uniform(0.05, 0.2))
    end.set()
    for client in clients:
        client.join(HANG_GUARD_S)
        if client.connection is not None:
            client.connection.close()
    return clients
