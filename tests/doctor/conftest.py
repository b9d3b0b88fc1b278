"""A healthy subject, and servers that end with the test."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bff.upstream import doctor, sockets
from bff.upstream.doctor import Subject
from tests.doctor.servers import HttpServer

SECRETS = {
    "tmdb_headers": {"Authorization": "Bearer planted-tmdb-token"},
    "users_token": "planted-users-token",
}
Serve = Callable[..., HttpServer]
Resolve = Callable[..., None]


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test wait as long as an operator would."""
    monkeypatch.setattr(doctor, "CHECK_S", 1.2)
    monkeypatch.setattr(doctor, "IPV6_S", 0.3)


@pytest.fixture(autouse=True)
def _own_certificates() -> Iterator[None]:
    """Read the certificates that a test names, though a process reads them once."""
    sockets.tls.cache_clear()
    yield
    sockets.tls.cache_clear()


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Return a maker of HTTP servers."""
    made: list[HttpServer] = []

    def make(*args: Any, **options: Any) -> HttpServer:
        made.append(HttpServer(*args, **options))
        return made[-1]

    yield make
    for server in made:
        server.close()


@pytest.fixture
def subject(tmp_path: Path) -> Callable[..., Subject]:
    """Return a maker of subjects; what is not named is well, or not there."""

    def make(**changes: Any) -> Subject:
        plain: dict[str, Any] = {
            "port": 0,
            "tmdb_url": "http://127.0.0.1:1/3",
            "tmdb_is_live": True,
            "tmdb_query": {},
            "tmdb_proxy": "",
            "users_url": "http://127.0.0.1:1",
            "users_events": True,
            "redis_url": "",
            "cache_file": tmp_path / "cache.sqlite",
            "workers": 2,
            "threads": 16,
            "slots": 96,
            "secret_is_short": False,
            "algorithm": "HS256",
        }
        return Subject(**{**plain, **SECRETS, **changes})

    return make


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Resolve:
    """Return what answers in place of the system's resolver: addresses, an error, or nothing."""
    system = socket.getaddrinfo

    def instead(name: str, answer: Any) -> None:
        def getaddrinfo(host: str, port: int, *args: Any, **options: Any) -> Any:
            if host != name:
                return system(host, port, *args, **options)
            if isinstance(answer, float):
                time.sleep(answer)
            if isinstance(answer, (float, OSError)):
                raise answer if isinstance(answer, OSError) else socket.gaierror("late")
            return [
                (socket.AF_INET6 if ":" in where[0] else socket.AF_INET, 1, 6, "", where)
                for where in answer
            ]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    return instead
