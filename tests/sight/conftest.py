"""One deployment of four workers, as shipped, for everything that is to be seen from outside."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from typing import Any

import jwt
import pytest

from tests.e2e.stack import Stack

SECRET = "planted-jwt-secret-of-more-than-32-bytes"
TOKEN = "planted-user-service-token"
WORKERS, THREADS, POOL = 4, 8, 48


def bearer(user: str) -> dict[str, str]:
    """Return the headers of a user."""
    claims = {"sub": user, "exp": int(time.time()) + 3600}
    return {"Authorization": f"Bearer {jwt.encode(claims, SECRET, 'HS256')}"}


def request_id() -> str:
    """Return an id that no other request has."""
    return f"sight-{secrets.token_hex(8)}"


def lines(stack: Stack) -> list[dict[str, Any]]:
    """Return the lines of the BFF's log that are the application's."""
    found = map(json.loads, stack.servers["bff"].log.read_text().splitlines())
    return [line for line in found if line["logger"].startswith("bff")]


@pytest.fixture(scope="package")
def _stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Return the processes."""
    stack = Stack(
        tmp_path_factory.mktemp("sight"),
        WEB_CONCURRENCY=WORKERS,
        THREADS=THREADS,
        POOL_THREADS=POOL,
        LOG_LEVEL="DEBUG",
        LOG_FORMAT="json",
        JWT_SECRET=SECRET,
        USER_SERVICE_TOKEN=TOKEN,
        USER_SERVICE_EVENTS="false",
        TMDB_CALLS_PER_SECOND=10_000,
        TMDB_CONNECTIONS=1000,
        # A busy machine must not turn a call into a timeout.
        PAGE_DEADLINE_MS=20_000,
        TMDB_TIMEOUT_MS=15_000,
        USER_SERVICE_TIMEOUT_MS=15_000,
        CACHE_ENABLED="true",
        CACHE_TTL=3600,
        CIRCUIT_BREAKER_TIMEOUT_SECONDS=1,
    )
    with stack:
        yield stack


def _running(stack: Stack, **settings: object) -> Stack:
    """Restart the BFF where it runs with other settings than these."""
    if any(stack.settings.get(name) != str(value) for name, value in settings.items()):
        stack.restart("bff", **settings)
    return stack


@pytest.fixture
def deployed(_stack: Stack) -> Stack:
    """Return the running deployment, with its cache and four workers."""
    return _running(
        _stack,
        CACHE_ENABLED="true",
        WEB_CONCURRENCY=WORKERS,
        THREADS=THREADS,
        POOL_THREADS=POOL,
    )


@pytest.fixture
def uncached(_stack: Stack) -> Stack:
    """Return the deployment without a cache, so that each section is a call of a worker thread."""
    return _running(
        _stack, CACHE_ENABLED="false", WEB_CONCURRENCY=2, THREADS=100, POOL_THREADS=2000
    )
