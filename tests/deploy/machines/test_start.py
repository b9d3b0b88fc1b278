"""What is not right with Redis or the database at the start, and a kill -9 over SQLite."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from scripts.processes import ROOT, until
from tests.bff.upstream.servers import RedisServer
from tests.deploy.machines.fleet import ask
from tests.e2e.stack import Stack, clean_environment, free_ports
from tests.user_stub.postgresql import Server

pytestmark = pytest.mark.e2e

BFF = ("gunicorn.conf.py", "wsgi:app")
USERS = ("user_stub/gunicorn_conf.py", "user_stub.wsgi:app")


@pytest.mark.parametrize(
    ("served", "setting", "value"),
    [
        (BFF, "REDIS_URL", "redis://:change-me@127.0.0.1:port/0"),
        (BFF, "REDIS_URL", "redis://:change-me@127.0.0.1/zero"),
        (BFF, "REDIS_URL", "redis://:change-me@127.0.0.1/0?socket_timeout=soon"),
        (BFF, "REDIS_URL", "redis://:change-me@127.0.0.1/0?no_such_option=1"),
        (USERS, "DATABASE_URL", "mysql://me:change-me@127.0.0.1/films"),
        (USERS, "DATABASE_URL", "postgres://me:change-me@127.0.0.1:port/films"),
        (USERS, "DATABASE_URL", "films.sqlite"),
    ],
)
def test_start_when_an_address_does_not_parse_then_it_stops_and_names_the_setting(
    tmp_path: Path, served: tuple[str, str], setting: str, value: str
) -> None:
    """It stops with a status, a line with the name, and without the password."""
    conf, app = served
    port = free_ports(1)[0]
    environment = clean_environment(
        ENV_FILE=os.devnull,
        WEB_CONCURRENCY="1",
        PORT=str(port),
        USER_SERVICE_PORT=str(port),
        CACHE_DIR=str(tmp_path / "cache"),
        **{setting: value},
    )
    command = [sys.executable, "-m", "gunicorn", "-c", conf, "-b", f"127.0.0.1:{port}", app]

    ended = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=30, check=False
    )

    said = ended.stdout + ended.stderr
    assert ended.returncode != 0
    assert f"{setting}: " in said, said
    assert "change-me" not in said


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
