"""Load from this process: clients in threads, each with a connection of its own."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Answer:
    """What a client saw; `status` 0: no answer."""

    path: str
    status: int
    seconds: float
    body: bytes

    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)


class Client:
    """One connection, kept alive. Not thread-safe."""

    def __init__(self, base: str) -> None:
        self._address = urlsplit(base).netloc
        self._connection: http.client.HTTPConnection | None = None

    def get(self, path: str, token: str = "") -> Answer:
        """Ask once, for the user of a token where there is one."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        started = time.monotonic()
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection(self._address, timeout=TIMEOUT_S)
            self._connection.request("GET", path, headers=headers)
            response = self._connection.getresponse()
            body, status = response.read(), response.status
        except (OSError, http.client.HTTPException):
            self.close()
            body, status = b"", 0
        return Answer(path, status, time.monotonic() - started, body)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def at_once(base: str, paths: Iterable[str]) -> list[Answer]:
    """Ask for all paths at the same moment, each from a client of its own."""
    wanted = list(paths)
    gate = threading.Barrier(len(wanted))
    answers: list[Answer] = []

    def one(path: str) -> None:
        client = Client(base)
        client.get("/health/live")  # the connection is there before the moment
        gate.wait(TIMEOUT_S)
        answers.append(client.get(path))
        client.close()

    _run([threading.Thread(target=one, args=(path,)) for path in wanted])
    return answers


def in_turn(base: str, paths: Iterable[str], clients: int) -> list[Answer]:
    """Ask for the paths one after another, `clients` at a time."""
    left, lock = iter(list(paths)), threading.Lock()
    answers: list[Answer] = []

    def work() -> None:
        client = Client(base)
        while True:
            with lock:
                path = next(left, None)
            if path is None:
                break
            answers.append(client.get(path))
        client.close()

    _run([threading.Thread(target=work) for _ in range(clients)])
    return answers


def at_rate(base: str, paths: Iterable[str], per_second: float, clients: int) -> list[Answer]:
    """Ask at a steady rate, however long the answers take (as far as `clients` are enough)."""
    start = time.monotonic()

    def timed() -> Iterator[str]:
        for number, path in enumerate(paths):
            time.sleep(max(0.0, start + number / per_second - time.monotonic()))
            yield path

    left, lock = timed(), threading.Lock()
    answers: list[Answer] = []

    def work() -> None:
        client = Client(base)
        while True:
            with lock:
                path = next(left, None)
            if path is None:
                break
            answers.append(client.get(path))
        client.close()

    _run([threading.Thread(target=work) for _ in range(clients)])
    return answers


def _run(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def statuses(answers: Iterable[Answer]) -> str:
    """Return how many answers had which status, such as `200: 498, 503: 2`."""
    counts = Counter(answer.status for answer in answers)
    return ", ".join(f"{status}: {count}" for status, count in sorted(counts.items()))


def percentile(values: Iterable[float], share: float) -> float:
    """Return the value that `share` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
