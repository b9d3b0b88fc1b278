"""`flask doctor`: what it prints and how it exits; and how wrong settings end a start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

import bff
from config import ROOT, Config
from tests.doctor.conftest import Serve
from tests.doctor.servers import IMAGES, USERS, redis_with

WRONG = "planted-wrong"
BIN = Path(sys.executable).parent
SECRETS = {
    "TMDB_READ_TOKEN": "planted-read-token",
    "TMDB_API_KEY": "planted-api-key",
    "USER_SERVICE_TOKEN": "planted-users-token",
    "JWT_SECRET": "planted-short",
}


@pytest.fixture(autouse=True)
def _patient(_short: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have all checks at once not fail for a busy machine."""
    monkeypatch.setattr("bff.upstream.doctor.CHECK_S", 8.0)


def doctor(*options: str, **settings: Any) -> tuple[int, str]:
    """Run the command on an app of its own; return exit code and output."""
    own = {"ENV_FILE": os.devnull, "PORT": "1", **SECRETS, **settings}
    with mock.patch.dict(os.environ, {key: str(value) for key, value in own.items()}, clear=True):
        app = bff.create_app(Config.from_env())
        result = app.test_cli_runner().invoke(args=["doctor", *options])
    app.extensions["bff"].close()
    return result.exit_code, result.output


@pytest.fixture
def well(serve: Serve, tmp_path: Path) -> dict[str, Any]:
    """Return the settings of a deployment without a fault."""
    tmdb, users = serve({"/3/configuration": (200, {}, IMAGES)}), serve(USERS)
    bff_itself = serve({"/health": (200, {}, {"service": "movie-dashboard-bff"})})
    return {
        "TMDB_BASE_URL": f"http://127.0.0.1:{tmdb.port}/3",
        "USER_SERVICE_URL": f"http://127.0.0.1:{users.port}",
        "CACHE_FILE": tmp_path / "cache.sqlite",
        "PORT": bff_itself.port,
    }


def test_doctor_when_all_is_well_then_it_exits_with_0(well: dict[str, Any]) -> None:
    """One line for each finding; a warning (the short secret) is no failure."""
    code, output = doctor(**well)

    lines = output.splitlines()
    assert code == 0, output
    assert {line.split()[0] for line in lines} <= {"OK", "WARN"}
    assert len(lines) >= 8
    assert any(line.startswith("WARN settings") and "JWT_SECRET" in line for line in lines)


def test_doctor_when_one_thing_fails_then_it_exits_with_1(well: dict[str, Any]) -> None:
    """The failure and what to do stand in its line."""
    code, output = doctor(**{**well, "USER_SERVICE_URL": "http://127.0.0.1:1"})

    assert code == 1
    (line,) = [line for line in output.splitlines() if line.startswith("FAIL")]
    assert "refuses the connection -> start it" in line


def test_doctor_when_asked_for_json_then_it_is_the_same(well: dict[str, Any]) -> None:
    """For programs."""
    code, output = doctor("--json", **well)
    body = json.loads(output)

    assert code == 0
    assert body["ok"] is True
    assert all(set(it) == {"check", "level", "found", "advice"} for it in body["findings"])


def test_doctor_when_it_prints_then_no_secret_is_in_it(
    well: dict[str, Any], serve: Serve, tmp_path: Path
) -> None:
    """Refused credentials, a refused password and a proxy with one: nothing of them shows."""
    refusing = serve(
        {"/3/configuration": (401, {}, {"status_code": 7}), "/health": USERS["/health"]}
    )
    here = f"http://127.0.0.1:{refusing.port}"
    with redis_with("planted-right", tmp_path) as port:
        settings = {
            **well,
            "TMDB_BASE_URL": "http://tmdb.test/3",
            "TMDB_PROXY": f"http://me:{WRONG}@127.0.0.1:{refusing.port}",
            "USER_SERVICE_URL": here,
            "REDIS_URL": f"redis://:{WRONG}@127.0.0.1:{port}/0",
        }
        outputs = [doctor(*options, **settings) for options in ((), ("--json",))]

    for code, output in outputs:
        assert code == 1
        assert output.count("FAIL") >= 3
        assert "planted" not in output


def run(*command: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the project with these settings alone."""
    env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "ENV_FILE": os.devnull, **settings}
    return subprocess.run(
        command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=30, check=False
    )


@pytest.mark.e2e
@pytest.mark.parametrize(
    "command",
    [
        ("flask", "--app", "wsgi", "doctor"),
        ("gunicorn", "wsgi:app"),
        ("python", "-c", "import wsgi"),
    ],
    ids=lambda command: command[0],
)
def test_start_when_settings_are_wrong_then_the_list_is_all_it_says(
    command: tuple[str, ...],
) -> None:
    """Every fault on stderr, exit code 1, no traceback, no secret."""
    result = run(
        str(BIN / command[0]),
        *command[1:],
        PORT="x",
        REDIS_URL=f"http://:{WRONG}@h",
        AUTH_ENABLED="true",
    )

    assert result.returncode == 1
    assert result.stdout == ""
    named = [line for line in result.stderr.splitlines() if line.startswith("  - ")]
    assert [line.split(":")[0] for line in named] == ["  - PORT", "  - REDIS_URL", "  - JWT_SECRET"]
    assert "Traceback" not in result.stderr
    assert "planted" not in result.stderr


@pytest.mark.e2e
def test_doctor_when_the_cache_cannot_be_written_then_it_still_tells(well: dict[str, Any]) -> None:
    """The app starts without a place for its files, and the command says which one."""
    settings = {key: str(value) for key, value in {**SECRETS, **well}.items()}
    settings["CACHE_FILE"] = "/dev/null/folder/cache.sqlite"
    result = run(str(BIN / "flask"), "--app", "wsgi", "doctor", **settings)

    assert result.returncode == 1, result.stderr
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("FAIL")]
    assert "/dev/null/folder/cache.sqlite cannot be written" in line
    assert "Traceback" not in result.stderr
    assert "limits.per_worker" in result.stderr
