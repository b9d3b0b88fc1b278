"""A subject without a fault, and servers that end with the test."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import pytest
import redis

from bff.doctor import Finding, Subject
from tests.bff.doctor.servers import HttpServer, refusing

Serve = Callable[..., HttpServer]
Make = Callable[..., Subject]
RIGHT, WRONG = "planted-right", "planted-wrong"


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Return a maker of HTTP servers."""
    with ExitStack() as made:
        yield lambda *args, **options: made.enter_context(closing(HttpServer(*args, **options)))


@pytest.fixture
def redis_client(tmp_path: Path) -> Iterator[redis.Redis]:
    """A client of a throwaway Redis whose password is `RIGHT`."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    with refusing() as port:
        pass
    options = f"--port {port} --bind 127.0.0.1 --save  --requirepass {RIGHT}".split(" ")
    with subprocess.Popen(
        ["redis-server", *options], stdout=subprocess.DEVNULL, cwd=tmp_path
    ) as process:
        with redis.Redis(port=port, password=RIGHT) as client:
            while process.poll() is None:
                with suppress(redis.ConnectionError):
                    client.ping()
                    break
            yield client
        process.terminate()


@pytest.fixture
def subject(tmp_path: Path) -> Make:
    """Return a maker of subjects; what is not named is well, or not there."""

    def make(**changes: Any) -> Subject:
        plain: dict[str, Any] = {
            "port": 0,
            "tmdb_url": "http://127.0.0.1:1/3",
            "tmdb_is_live": True,
            "tmdb_headers": {"Authorization": "Bearer planted-tmdb-token"},
            "tmdb_query": {},
            "tmdb_proxy": "",
            "ca_bundle": "",
            "tmdb_timeout_s": 60.0,
            "users_url": "http://127.0.0.1:1",
            "users_headers": {"Authorization": "Bearer planted-users-token"},
            "users_events": True,
            "redis_url": "",
            "cache_dir": tmp_path / "cache",
            "workers": 2,
            "threads": 16,
            "slots": 96,
            "secret_is_short": False,
        }
        return Subject(**{**plain, **changes})

    return make


def only(findings: Iterator[Finding], level: str, *words: str) -> Finding:
    """Return the one finding of this level that says these words; if not OK, it has advice."""
    everything = list(findings)
    assert "planted" not in repr(everything)
    found = [it for it in everything if it.level == level and all(w in it.found for w in words)]
    assert len(found) == 1, everything
    assert level == "OK" or found[0].advice
    return found[0]
