"""Reads and writes without a pause, and what came back of them."""

from __future__ import annotations

import itertools
import threading
from typing import Any

import requests

FILMS = (550, 680, 13, 155, 27205, 603)
READS = (
    "/api/dashboard/feed",
    "/api/movies/popular",
    "/api/users/favorites",
    "/api/dashboard/movie/550/enriched",
    "/api/configuration",
)


def request_number(number: int) -> tuple[str, str, dict[str, Any] | None]:
    """Return method, path and body of a request; each fifth one is a write."""
    film = FILMS[number // 5 % len(FILMS)]
    if number % 5:
        return "GET", READS[number % len(READS)], None
    if number % 10:
        return "PUT", f"/api/users/history/{film}", {"progress": 0.5}
    # 409 where it is there already, which is an answer as well.
    return "POST", "/api/users/watchlist", {"movie_id": film}


class Load:
    """Requests of `senders` kept connections, until the end of the block.

    `failures` are those without an answer or with 5xx, each with the number of its request.
    """

    def __init__(self, url: str, senders: int = 8) -> None:
        self.failures: list[tuple[int, str]] = []
        self._url, self._done = url, 0
        self._numbers = itertools.count()
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._send) for _ in range(senders)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def sent(self) -> int:
        """Return how many requests have had their end."""
        return self._done

    def _send(self) -> None:
        with requests.Session() as http:
            http.trust_env = False
            while not self._stopped.wait(0.05):
                number = next(self._numbers)
                method, path, body = request_number(number)
                try:
                    answer = http.request(method, self._url + path, json=body, timeout=60)
                    fault = f"{answer.status_code} {answer.text[:200]}" * (answer.status_code > 499)
                except requests.RequestException as error:
                    fault = repr(error)
                with self._lock:
                    self._done += 1
                    if fault:
                        self.failures.append((number, f"{method} {path}: {fault}"))
