"""The Procfile as a platform runs it, with honcho: $PORT, WEB_CONCURRENCY and the release step."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import requests
from honcho.environ import parse_procfile

from scripts.processes import ROOT, _end_with_parent, until
from tests.e2e.stack import WAIT_S, clean_environment, free_ports

pytestmark = pytest.mark.e2e

PROCESSES = parse_procfile((ROOT / "Procfile").read_text()).processes


def environment(**settings: str) -> dict[str, str]:
    """Return a platform's environment: tools on the PATH, settings, and nothing of a developer."""
    tools = Path(sys.executable).parent
    path = f"{tools}:{os.environ['PATH']}"
    return clean_environment(ENV_FILE=os.devnull, **settings) | {"PATH": path}


def test_release_when_it_runs_twice_then_the_second_changes_nothing(tmp_path: Path) -> None:
    """The release step makes the schema, and is harmless where it is there."""
    database = tmp_path / "users.sqlite"
    env = environment(DATABASE_URL=f"sqlite:///{database}")
    schemas = []
    for _ in range(2):
        ran = subprocess.run(
            ["/bin/sh", "-c", PROCESSES["release"]],
            cwd=ROOT,
            env=env,
            capture_output=True,
            text=True,
        )
        assert ran.returncode == 0, ran.stderr
        with closing(sqlite3.connect(database)) as connection:
            schemas.append(connection.execute("SELECT name, sql FROM sqlite_master").fetchall())

    assert schemas[0] == schemas[1]
    assert "alembic_version" in {name for name, _ in schemas[0]}


def test_processes_when_a_platform_starts_them_then_web_obeys_port_and_concurrency(
    tmp_path: Path,
) -> None:
    """`honcho start web users`: the BFF on $PORT with so many workers; a stop ends everything."""
    port, users_port = free_ports(2)
    env = environment(
        PORT=str(port),
        WEB_CONCURRENCY="2",
        USER_SERVICE_PORT=str(users_port),
        DATABASE_URL=f"sqlite:///{tmp_path / 'users.sqlite'}",
        CACHE_DIR=str(tmp_path / "cache"),
        PROMETHEUS_MULTIPROC_DIR=str(tmp_path / "metrics"),
    )
    options = f"--no-colour --env {os.devnull}"
    with (tmp_path / "log").open("wb") as log:
        honcho = subprocess.Popen(
            [sys.executable, "-m", "honcho", *options.split(), "start", "web", "users"],
            cwd=ROOT,
            env=env,
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=_end_with_parent,
        )
    text = (tmp_path / "log").read_text
    with requests.Session() as http:
        http.trust_env = False

        def answers() -> bool:
            try:
                urls = (f"http://127.0.0.1:{number}/health" for number in (port, users_port))
                return all(http.get(url, timeout=10).ok for url in urls)
            except requests.RequestException:
                return False

        try:
            assert until(lambda: answers() or honcho.poll() is not None, WAIT_S), text()
            favorites = http.get(f"http://127.0.0.1:{port}/api/users/favorites", timeout=WAIT_S)
            assert until(lambda: text().count("Booting worker") == 3, WAIT_S), text()
        finally:
            honcho.send_signal(signal.SIGTERM)
            until(lambda: honcho.poll() is not None, WAIT_S)
    assert favorites.status_code == 200, text()
    assert favorites.json()["total"] == 3
    assert honcho.poll() is not None
    assert f"0.0.0.0:{port}" in text()

    def environ_of(entry: Path) -> list[bytes]:
        try:
            return (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            return []  # gone, or another's

    left = [
        entry
        for entry in Path("/proc").glob("[0-9]*")
        if f"PORT={port}".encode() in environ_of(entry)
    ]
    assert left == []
