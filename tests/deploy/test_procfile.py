"""The Procfile as a platform runs it, with honcho: $PORT, WEB_CONCURRENCY and the release step."""

from __future__ import annotations

import json
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
from scripts.settings import defaults
from tests.e2e.stack import clean_environment, free_ports

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
    with (tmp_path / "log").open("wb") as log:
        honcho = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "honcho",
                "--no-colour",
                "--env",
                os.devnull,
                "start",
                "web",
                "users",
            ],
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
                return all(http.get(url, timeout=5).ok for url in urls)
            except requests.RequestException:
                return False

        try:
            assert until(lambda: answers() or honcho.poll() is not None, 30), text()
            favorites = http.get(f"http://127.0.0.1:{port}/api/users/favorites", timeout=20)
            assert until(lambda: text().count("Booting worker") == 3, 10), text()
        finally:
            honcho.send_signal(signal.SIGTERM)
            until(lambda: honcho.poll() is not None, 15)
    assert favorites.status_code == 200, text()
    assert favorites.json()["total"] == 3
    assert honcho.poll() is not None
    assert f"0.0.0.0:{port}" in text()
    assert not any(f"PORT={port}".encode() in environ_of(pid) for pid in running()), (
        "a process was left"
    )


def running() -> list[int]:
    """Return the process ids of this machine."""
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def environ_of(pid: int) -> list[bytes]:
    """Return the environment of a process; empty where it is gone or another's."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def test_app_json_when_read_then_its_settings_and_processes_exist() -> None:
    """No setting is misspelt, no secret has a value, and the formation is that of the Procfile."""
    app = json.loads((ROOT / "app.json").read_text())
    known = set(defaults())

    assert set(app["env"]) <= known
    assert set(app["formation"]) == set(PROCESSES) - {"release"}
    secrets = [name for name in app["env"] if name.endswith(("TOKEN", "SECRET", "KEY"))]
    assert secrets
    assert not [name for name in secrets if "value" in app["env"][name]]


def test_runtime_when_compared_then_it_is_a_python_that_the_project_takes() -> None:
    """The version for the platform is one that the project supports."""
    version = (ROOT / "runtime.txt").read_text().strip()

    assert version.startswith("python-3.")
    assert int(version.split(".")[1]) >= 11
    assert f"FROM {version.replace('-', ':')}-slim" in (ROOT / "Dockerfile").read_text()
