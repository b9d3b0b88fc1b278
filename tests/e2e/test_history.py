"""The history checker: no read is older than what its reader may rely on.

Clients write through both doors (the BFF and the user service itself) and read through the BFF,
over four workers, while the streams of changes are cut and held up. What each film of each user
was and is stands in a history; every read is held against it. It ends when there were enough
reads and cuts, however long that takes; HISTORY_READS=5000 makes more of them.
"""

from __future__ import annotations

import os
import random
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.e2e.stack import CALL_TIMEOUT_S, SECRET, Stack, as_user
from tests.e2e.wire import Wire

pytestmark = pytest.mark.e2e

READS, CUTS = int(os.environ.get("HISTORY_READS", "250")), 8
USERS, WRITERS, WORKERS = 4, 2, 4  # and one client for each user that reads only
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

    def done_before(self, moment: float) -> int:
        """Return how many writes had been answered at a moment."""
        done = self.done
        return next(n for n in range(len(done) - 1, -1, -1) if done[n] <= moment)


class Client(threading.Thread):
    """One device of a user: it writes its own film, if it has one, and reads those of all.

    Each request goes over a connection of its own, which meets any worker.
    """

    def __init__(
        self, stack: Stack, user: str, own: Film | None, films: list[Film], end: threading.Event
    ) -> None:
        super().__init__(name=f"{user}-{own.movie_id if own else 'reader'}", daemon=True)
        self.stack, self.own, self.films, self.end = stack, own, films, end
        self.user, self.token = user, as_user(user)
        self.random = random.Random(self.name)
        self.revision = self.reads = self.from_memory = 0
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

    def write(self, own: Film) -> None:
        """Make the next version of the own film, through either door."""
        own.begun += 1
        now, before = mark(own.begun), mark(own.begun - 1)
        path, body = f"favorites/{own.movie_id}", now and {"rating": now[0], "title": now[1]}
        method = "PUT" if now else "DELETE"
        if body and before is None and self.random.random() < 0.5:
            method, path, body = "POST", "favorites", body | {"movie_id": own.movie_id}
        if self.random.random() < 0.5:
            url, headers = f"{self.stack.bff}/api/users/{path}", self.token
        else:
            url, headers = f"{self.stack.users}/{path}", {"X-User-Id": self.user}
        answer = self.send(method, url, headers, json=body)
        self.revision = max(self.revision, int(answer.headers["X-Library-Revision"]))
        own.done.append(time.monotonic())

    def read(self) -> None:
        """Read one page, and hold it against the history."""
        started = time.monotonic()
        least = [
            film.done_before(started - (0 if film is self.own else OTHERS_AFTER_S))
            for film in self.films
        ]
        path, seen = self.look(self.random.choice(("feed", "movie", "favorites")))
        self.reads += 1
        for film, before in zip(self.films, least, strict=True):
            if film.movie_id not in seen:
                continue
            found = seen[film.movie_id]
            marks = [mark(version) for version in range(before, film.begun + 1)]
            if path != "favorites":  # which alone shows the version itself
                marks = [each and (each[0], "") for each in marks]
            if found not in marks:
                whose = "its own write" if film is self.own else "another client's write"
                self.faults.append(
                    f"{self.name} missed {whose}: {path} shows {found} for film {film.movie_id}; "
                    f"allowed: {marks}, versions {before} to {film.begun}, revision handed back: "
                    f"{self.revision}"
                )

    def look(self, kind: str) -> tuple[str, dict[int, Mark]]:
        """Return a page's name, and film -> how it is marked there."""
        if kind == "favorites":
            items = self.get("/api/users/favorites")["favorites"]
            held = {item["movie_id"]: (item["rating"], item["title"]) for item in items}
            return kind, {film.movie_id: held.get(film.movie_id) for film in self.films}
        if kind == "feed":
            data = {film["id"]: film for film in self.get("/api/dashboard/feed")["movies"]}
        else:
            film = self.random.choice(self.films).movie_id
            data = {film: self.get(f"/api/dashboard/movie/{film}/enriched")["user_data"]}
        return kind, {
            film: (shown["user_rating"], "") if shown["is_favorite"] else None
            for film, shown in data.items()
        }

    def get(self, path: str) -> Any:
        """Read from the BFF with the revision of the last write handed back, in either way."""
        name, value = self.random.choice(
            (("X-Library-Revision", "{}"), ("Cookie", "library_revision={}"))
        )
        headers = self.token | {name: value.format(self.revision)}
        answer = self.send("GET", self.stack.bff + path, headers)
        assert "X-Degraded" not in answer.headers, (path, answer.text[:300])
        self.from_memory += 'desc="users favorites"' in answer.headers["Server-Timing"]
        return answer.json()

    def send(self, method: str, url: str, headers: dict[str, str], **options: Any) -> Any:
        """Send a request, which must succeed."""
        headers = headers | {"Connection": "close"}
        answer = requests.request(method, url, headers=headers, timeout=CALL_TIMEOUT_S, **options)
        assert answer.ok, (method, url, answer.status_code, answer.text[:200])
        return answer


def test_reads_when_many_write_through_both_doors_and_streams_break_then_none_is_too_old(
    tmp_path: Path,
) -> None:
    """A reader sees its own last write at once and everybody else's soon."""
    stack = Stack(
        tmp_path,
        WEB_CONCURRENCY=WORKERS,
        JWT_SECRET=SECRET,
        LOG_LEVEL="WARNING",
        # On a machine that is busy a call takes long; what is tested is not that.
        PAGE_DEADLINE_MS=20_000,
        USER_SERVICE_TIMEOUT_MS=20_000,
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
    # Where all reads ask the user service there is nothing to be old.
    assert sum(client.from_memory for client in clients) > READS / 40


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
    return clients
