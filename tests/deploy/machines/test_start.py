"""Redis or the database that is down at the start."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from scripts.processes import until
from tests.bff.upstream.servers import RedisServer
from tests.deploy.machines.fleet import ask
from tests.e2e.stack import Stack, clean_environment
from tests.user_stub.postgresql import Server

pytestmark = pytest.mark.e2e


def test_bff_when_redis_is_down_at_the_start_then_it_warns_and_serves_and_shares_later(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    """Without Redis it counts, caches and answers by itself; nobody has to start it again."""
    redis_server.kill()
    url = f"{redis_server.url[:-1]}2"
    stack = Stack(tmp_path, REDIS_URL=url, RATE_LIMIT_PER_MINUTE=1000, USER_SERVICE_EVENTS="false")
    try:
        stack.start("tmdb", "bff")
        alone = ask(f"{stack.bff}/api/movies/popular")
        log = stack.servers["bff"].tail(200)
        ready = ask(f"{stack.bff}/health/ready")
        redis_server.start()

        def shared() -> bool:
            ask(f"{stack.bff}/api/movies/search?query={uuid.uuid4().hex}")
            checks = ask(f"{stack.bff}/health/ready").json["checks"]
            return all(
                checks[name][0]["status"] == "pass" for name in ("cache:store", "redis:ping")
            )

        assert alone.status == 200
        assert "ratelimit" in alone.headers
        assert "redis.gone" in log
        assert "limits.local" in log
        assert (ready.status, ready.json["status"]) == (200, "warn")
        assert until(shared, 8), stack.logs()
    finally:
        stack.end()


def test_user_service_when_the_database_is_down_at_the_start_then_503_until_it_is_there(
    postgresql: Server, tmp_path: Path
) -> None:
    """It starts, warns, answers 503, and serves when the database has come."""
    stack = Stack(tmp_path, DATABASE_URL=postgresql.new_database())
    postgresql.stop()
    running = False
    try:
        stack.servers["users"].start(clean_environment(**stack.settings))
        assert until(lambda: ask(f"{stack.users}/health").status != 0, 10), stack.logs()
        down = ask(f"{stack.users}/favorites")
        log = stack.servers["users"].tail(200)
        postgresql.start()
        running = True
        back = until(lambda: ask(f"{stack.users}/favorites").status == 200, 5)

        assert down.status == 503, down
        assert "database.unavailable" in log
        assert back, stack.logs()
        assert ask(f"{stack.users}/favorites").json["total"] == 3
    finally:
        stack.end()
        if not running:
            postgresql.start()
