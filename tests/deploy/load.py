"""Reads and writes at a steady rate, and what came back of them."""

from __future__ import annotations

import http.client
import itertools
import json
import threading
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

FILMS = (550, 680, 13, 155, 27205, 603)
READS = (
    "/api/dashboard/feed",
    "/api/movies/popular",
    "/api/users/favorites",
    "/api/dashboard/movie/550/enriched",
    "/api/configuration",
)
JSON = {"Content-Type": "application/json"}


@dataclass
class Result:
    """How many requests were sent, and each failure with the number of its request."""

    requests: int = 0
    failures: list[tuple[int, str]] = field(default_factory=list)


def request_number(number: int) -> tuple[str, str, bytes | None]:
    """Return method, path and body of a request; each fifth one is a write."""
    film = FILMS[number // 5 % len(FILMS)]
    if number % 5:
        return "GET", READS[number % len(READS)], None
    if number % 10:
        return "PUT", f"/api/users/history/{film}", b'{"progress": 0.5}'
    # 409 where it is there already, which is an answer as well.
    return "POST", "/api/users/watchlist", json.dumps({"movie_id": film}).encode()


class Load:
    """Requests at a steady rate from `senders` kept connections, until `stop`.

    Open loop: the next request does not wait for the last answer as long as a sender is free.
    """

    def __init__(self, url: str, rate: float, senders: int = 16) -> None:
        self.result = Result()
        self._host = urlsplit(url).netloc
        self._every_s = 1 / rate
        self._numbers = itertools.count()
        self._begun = time.monotonic()
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._send) for _ in range(senders)]
        for thread in self._threads:
            thread.start()

    def sent(self) -> int:
        """Return how many requests have had their end."""
        with self._lock:
            return self.result.requests

    def stop(self) -> Result:
        """End the load after the open requests, and return what came back."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()
        return self.result

    def _send(self) -> None:
        connection = http.client.HTTPConnection(self._host, timeout=40)
        while True:
            with self._lock:
                number = next(self._numbers)
            due = self._begun + number * self._every_s
            if self._stopped.wait(max(0.0, due - time.monotonic())):
                break
            self._one(connection, number)
        connection.close()

    def _one(self, connection: http.client.HTTPConnection, number: int) -> None:
        method, path, body = request_number(number)
        text = ""
        try:
            connection.request(method, path, body, JSON if body else {})
            response = connection.getresponse()
            text = response.read().decode(errors="replace")
            status = str(response.status)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            status = type(error).__name__
        with self._lock:
            self.result.requests += 1
            if not status.isdigit() or int(status) >= 500:
                self.result.failures.append((number, f"{method} {path}: {status} {text[:200]}"))
