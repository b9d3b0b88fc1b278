"""bff/api/limits.py: 429 with what a client needs to wait, per caller, with Redis and without."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import jwt
import pytest
import time_machine
from flask.testing import FlaskClient
from limits import WindowStats

import bff
from bff import limiter as limiter_module
from bff.api.limits import RateLimiter
from bff.limiter import FAIL_OPEN_S
from config import Config
from scripts.processes import until

SECRET = "planted-jwt-secret-of-more-than-32-bytes"
# Nobody is asked for any of these: the first is unknown, the second is wrong, both count.
UNKNOWN, WRONG = "/api/nowhere", "/api/movies/0"
MakeClient = Callable[..., FlaskClient]


@pytest.fixture
def make_client(tmp_path: Path) -> Iterator[MakeClient]:
    """Return a maker of clients of a fresh app, in which a caller has three requests a minute."""
    made = []

    def make(**settings: str) -> FlaskClient:
        own = {
            "ENV_FILE": os.devnull,
            "CACHE_DIR": str(tmp_path / "cache"),
            "USER_SERVICE_EVENTS": "false",
            "JWT_SECRET": SECRET,
            "RATE_LIMIT_PER_MINUTE": "3",
            **settings,
        }
        with mock.patch.dict(os.environ, own, clear=True):
            app = bff.create_app(Config.from_env())
        made.append(app)
        return app.test_client(use_cookies=False)

    yield make
    for app in made:
        app.extensions["bff"].close()


@pytest.fixture
def client(make_client: MakeClient) -> FlaskClient:
    """Return a client that may ask three times a minute."""
    return make_client()


def statuses(client: FlaskClient, *paths: str, **headers: str) -> list[int]:
    """GET each path and return the statuses."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return [client.get(path, headers=named).status_code for path in paths]


def bearer(user: str) -> str:
    """Return the Authorization of a user."""
    return f"Bearer {jwt.encode({'sub': user}, SECRET, 'HS256')}"


def test_limit_when_it_is_reached_then_429_says_how_long_to_wait(client: FlaskClient) -> None:
    """Every answer says what is left; a window is a minute from the first request."""
    for left in (2, 1, 0):
        response = client.get(UNKNOWN)
        assert response.status_code == 404
        assert response.headers["RateLimit-Policy"] == '"default";q=3;w=60'
        assert re.fullmatch(rf'"default";r={left};t=\d+', response.headers["RateLimit"])

    refused = client.get(UNKNOWN)

    assert refused.status_code == 429
    assert refused.content_type == "application/problem+json"
    assert refused.json is not None
    assert refused.json["type"] == "/problems/rate-limited"
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert refused.json["retry_after"] == int(refused.headers["Retry-After"])
    assert refused.headers["RateLimit"] == f'"default";r=0;t={refused.headers["Retry-After"]}'
    assert refused.headers["X-Request-ID"] == refused.json["request_id"]


def test_limit_when_the_window_ends_then_the_caller_may_ask_again(client: FlaskClient) -> None:
    """Not before, and with the whole allowance."""
    with time_machine.travel("2026-11-28T12:00:00Z", tick=False) as clock:
        assert statuses(client, *[UNKNOWN] * 4) == [404, 404, 404, 429]
        clock.shift(59)
        refused = client.get(UNKNOWN)
        clock.shift(1)
        served = client.get(UNKNOWN)

    assert refused.status_code == 429
    assert refused.headers["Retry-After"] == "1"
    assert served.headers["RateLimit"] == '"default";r=2;t=60'


def test_limit_when_callers_differ_then_each_has_their_own(client: FlaskClient) -> None:
    """One user who asks too often takes nothing from the others, nor from their address."""
    mine = statuses(client, *[UNKNOWN] * 4, Authorization=bearer("me"))

    assert mine == [404, 404, 404, 429]
    assert statuses(client, UNKNOWN, Authorization=bearer("another")) == [404]
    assert statuses(client, UNKNOWN) == [404]


def test_limit_when_the_token_is_wrong_then_the_address_counts(client: FlaskClient) -> None:
    """Made-up tokens buy no new allowance."""
    found = [
        client.get(
            "/api/users/favorites", headers={"Authorization": f"Bearer made-up-{number}"}
        ).status_code
        for number in range(5)
    ]

    assert found == [401, 401, 401, 429, 429]


def test_limit_when_the_path_is_unknown_or_wrong_then_it_counts(client: FlaskClient) -> None:
    """Guessing paths and numbers is limited like anything else under /api."""
    assert statuses(client, UNKNOWN, WRONG, WRONG, WRONG) == [404, 422, 422, 429]


@pytest.mark.parametrize("path", ["/health", "/health/ready", "/metrics", "/openapi.json"])
def test_limit_when_health_and_documents_are_asked_then_they_do_not_count(
    client: FlaskClient, path: str
) -> None:
    """A monitor is never turned away, and takes nothing from the callers."""
    for _ in range(5):
        response = client.get(path)
        assert response.status_code == 200
        assert "RateLimit" not in response.headers
    assert client.get(UNKNOWN).headers["RateLimit"].startswith('"default";r=2;')


def test_limit_when_a_preflight_comes_then_it_does_not_count(client: FlaskClient) -> None:
    """A browser's question before the request is free."""
    for _ in range(5):
        headers = {"Origin": "http://localhost:3000", "Access-Control-Request-Method": "GET"}
        assert client.options("/api/users/favorites", headers=headers).status_code < 300
    assert statuses(client, UNKNOWN) == [404]


def test_limit_when_it_is_switched_off_then_nothing_is_counted(make_client: MakeClient) -> None:
    """RATE_LIMIT_ENABLED=false: no header, no 429."""
    client = make_client(RATE_LIMIT_ENABLED="false")

    assert statuses(client, *[UNKNOWN] * 5) == [404] * 5
    assert "RateLimit" not in client.get(UNKNOWN).headers


def test_limit_when_a_proxy_is_trusted_then_the_client_behind_it_counts(
    make_client: MakeClient,
) -> None:
    """With TRUSTED_PROXY_HOPS the address is the one that the proxy saw, not one made up."""
    client = make_client(RATE_LIMIT_PER_MINUTE="1", TRUSTED_PROXY_HOPS="1")

    assert statuses(client, UNKNOWN, X_Forwarded_For="192.0.2.1") == [404]
    assert statuses(client, UNKNOWN, X_Forwarded_For="192.0.2.2") == [404]
    assert statuses(client, UNKNOWN, X_Forwarded_For="made-up, 192.0.2.1") == [429]


def test_limit_when_no_proxy_is_trusted_then_a_forwarded_address_buys_nothing(
    client: FlaskClient,
) -> None:
    """A caller cannot name an address of their own."""
    found = [
        client.get(UNKNOWN, headers={"X-Forwarded-For": f"192.0.2.{number}"}).status_code
        for number in range(4)
    ]

    assert found == [404, 404, 404, 429]


def test_memory_when_many_callers_have_come_and_gone_then_it_is_given_back() -> None:
    """A counter is forgotten after its window: strangers cannot fill a worker's memory."""
    limiter = RateLimiter(3)
    storage = limiter._limiter._local.storage
    with time_machine.travel("2026-11-28T12:00:00Z", tick=False) as clock:
        for number in range(20_000):
            limiter.hit(f"address:{number}")
        held = len(storage.storage)
        storage.timer.join()  # the sweep that runs now, before anything has expired
        clock.shift(61)
        limiter.hit("address:one-more")
        storage.timer.join()

    assert held == 20_000
    assert list(storage.storage) == list(storage.expirations)
    assert len(storage.storage) == 1


class Redis:
    """A Redis server of this test's own, without persistence."""

    def __init__(self, folder: Path) -> None:
        binary = shutil.which("redis-server")
        if binary is None:
            pytest.skip("redis-server is not installed")
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self._command = [binary, *("--port", str(self.port), "--bind", "127.0.0.1", "--save", "")]
        self._command += ["--dir", str(folder)]
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        assert until(self._answers, 60)

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
        except OSError:
            return False
        return True

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture
def redis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Redis]:
    """Return a running Redis."""
    # A busy machine must not turn a slow answer into a fault.
    monkeypatch.setattr(limiter_module, "REDIS_TIMEOUT_S", 60.0)
    server = Redis(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the events that the limiter logs."""
    names: list[str] = []
    monkeypatch.setattr(limiter_module, "event", lambda _log, _level, name, **_: names.append(name))
    return names


class Clock:
    """A monotonic clock that a test moves."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def remaining(limiter: RateLimiter) -> int:
    """Count a request of one caller and return what is left."""
    return limiter.hit("user:me").remaining


def test_redis_when_two_workers_count_then_they_share_the_allowance(redis: Redis) -> None:
    """Also the moment at which the window ends."""
    one, other = RateLimiter(3, redis.url), RateLimiter(3, redis.url)

    found = [limiter.hit("user:me") for limiter in (one, other, one, other)]

    assert [usage.remaining for usage in found] == [2, 1, 0, 0]
    assert [usage.allowed for usage in found] == [True, True, True, False]
    assert all(1 <= usage.reset_s <= 60 for usage in found)


def test_redis_when_it_is_gone_then_each_worker_counts_until_it_is_back(
    redis: Redis, warnings: list[str]
) -> None:
    """It is left alone for a while after each fault; one warning tells of all of them."""
    clock = Clock()
    limiter = RateLimiter(9, redis.url, clock)
    assert [remaining(limiter) for _ in range(3)] == [8, 7, 6]

    redis.kill()
    assert [remaining(limiter) for _ in range(2)] == [8, 7]
    clock.now += FAIL_OPEN_S
    assert remaining(limiter) == 6  # tried in vain
    assert warnings == ["limits.local"]

    redis.start()
    assert remaining(limiter) == 5  # not tried yet
    clock.now += FAIL_OPEN_S
    assert [remaining(limiter) for _ in range(2)] == [8, 7]

    redis.kill()
    assert remaining(limiter) == 4
    assert warnings == ["limits.local"] * 2


def test_redis_when_it_does_not_answer_then_one_request_in_a_while_waits_for_it(
    monkeypatch: pytest.MonkeyPatch, warnings: list[str]
) -> None:
    """A server that accepts connections and says nothing costs `REDIS_TIMEOUT_S`, then nothing."""
    monkeypatch.setattr(limiter_module, "REDIS_TIMEOUT_S", 0.01)
    clock = Clock()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        limiter = RateLimiter(9, f"redis://127.0.0.1:{silent.getsockname()[1]}/0", clock)
        limiter.hit("user:me")
        shared = mock.Mock(wraps=limiter._limiter._shared)
        limiter._limiter._shared = shared
        for _ in range(3):
            limiter.hit("user:me")
        skipped = shared.hit.call_count
        clock.now += FAIL_OPEN_S
        for _ in range(3):
            limiter.hit("user:me")

    assert (skipped, shared.hit.call_count) == (0, 1)
    assert warnings == ["limits.local"]


def test_redis_when_one_request_tries_it_again_then_the_others_do_not_wait(
    warnings: list[str],
) -> None:
    """They count in memory until it is known whether Redis is back."""
    clock, trying, known = Clock(), threading.Event(), threading.Event()
    limiter = RateLimiter(9, "redis://127.0.0.1:1/0", clock)
    limiter.hit("user:me")
    clock.now += FAIL_OPEN_S

    def slow(*_: object) -> bool:
        trying.set()
        assert known.wait(60)
        return True

    limiter._limiter._shared = shared = mock.Mock(**{"hit.side_effect": slow})
    shared.get_window_stats.return_value = WindowStats(0, 8)
    first = threading.Thread(target=limiter.hit, args=("user:me",))
    first.start()
    assert trying.wait(60)
    other = threading.Thread(target=limiter.hit, args=("user:me",))
    other.start()
    other.join(60)
    ended = not other.is_alive()
    known.set()
    first.join()
    other.join()

    assert ended
    assert shared.hit.call_count == 1


def test_redis_when_it_is_dead_at_the_start_then_requests_are_counted_all_the_same(
    make_client: MakeClient,
) -> None:
    """The app starts, and the limit holds in each worker."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    client = make_client(REDIS_URL=f"redis://127.0.0.1:{port}/0")

    assert statuses(client, *[UNKNOWN] * 4) == [404, 404, 404, 429]
