"""`flask doctor`: what it prints and how it exits; and how wrong settings end a start."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import redis

import bff
from bff.doctor import examine
from config import ROOT, Config
from tests.bff.doctor.conftest import WRONG, Make, Serve
from tests.bff.doctor.servers import BFF, IMAGES, USERS

BIN = Path(sys.executable).parent
SECRETS = {
    "TMDB_READ_TOKEN": "planted-read-token",
    "TMDB_API_KEY": "planted-api-key",
    "USER_SERVICE_TOKEN": "planted-users-token",
    "JWT_SECRET": "planted-short",
}


def doctor(*options: str, **settings: Any) -> tuple[int, str]:
    """Run the command on an app of its own; return exit code and output."""
    own = {"ENV_FILE": os.devnull, **SECRETS, **settings}
    with mock.patch.dict(os.environ, {key: str(value) for key, value in own.items()}, clear=True):
        app = bff.create_app(Config.from_env())
        result = app.test_cli_runner().invoke(args=["doctor", *options])
    app.extensions["bff"].close()
    return result.exit_code, result.output


@pytest.fixture
def well(serve: Serve, tmp_path: Path) -> dict[str, Any]:
    """Return the settings of a deployment without a fault."""
    return {
        "TMDB_BASE_URL": f"{serve({'/3/configuration': (200, {}, IMAGES)}).url}/3",
        "USER_SERVICE_URL": serve(USERS).url,
        "CACHE_DIR": tmp_path / "cache",
        "PORT": serve(BFF).port,
    }


def test_doctor_when_all_is_well_then_it_exits_with_0(well: dict[str, Any]) -> None:
    """One line for each finding; a warning (the short secret) is no failure; JSON says the same."""
    code, output = doctor(**well)
    json_code, json_output = doctor("--json", **well)

    lines, body = output.splitlines(), json.loads(json_output)
    assert (code, json_code, body["ok"]) == (0, 0, True), output
    told = [[finding["level"], finding["check"]] for finding in body["findings"]]
    assert [line.split()[:2] for line in lines] == told
    names = "settings tmdb clock users redis cache port files processors"
    assert [check for _, check in told] == names.split()
    assert lines[0].startswith("WARN settings   JWT_SECRET is short and can be guessed -> set")


def test_doctor_when_things_fail_then_it_exits_with_1_and_tells_no_secret(
    well: dict[str, Any], serve: Serve, redis_client: redis.Redis
) -> None:
    """A refused credential, a refused token, a refused password and a proxy with one."""
    refused = (401, {}, {"status_code": 7})
    server = serve({**USERS, "/favorites": refused, "/3/configuration": refused})
    settings = {
        **well,
        "TMDB_BASE_URL": "http://tmdb.test/3",
        "TMDB_PROXY": f"http://me:{WRONG}@127.0.0.1:{server.port}",
        "USER_SERVICE_URL": server.url,
        "REDIS_URL": f"redis://:{WRONG}@127.0.0.1:{redis_client.get_connection_kwargs()['port']}/0",
    }

    for code, output in (doctor(**settings), doctor("--json", **settings)):
        assert code == 1
        assert [output.count(word) for word in ("FAIL", "refuses the ")] == [3, 3]
        assert "planted" not in output


def test_examine_when_a_check_has_a_bug_then_the_others_still_tell(
    subject: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The text of the error, which may hold anything, is not told."""
    monkeypatch.setattr(resource, "getrlimit", mock.Mock(side_effect=RuntimeError("planted")))

    found = examine(subject())

    assert found[-2].found == "the check itself failed (RuntimeError)"
    assert found[-1].check == "processors"
    assert "planted" not in repr(found)


@pytest.mark.e2e
@pytest.mark.parametrize("command", ["flask --app wsgi doctor", "gunicorn wsgi:app"])
def test_start_when_settings_are_wrong_then_the_list_is_all_it_says(command: str) -> None:
    """Every fault on stderr, exit code 1, no traceback, no secret."""
    env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "ENV_FILE": os.devnull}
    env |= {"PORT": "x", "REDIS_URL": f"http://:{WRONG}@h", "AUTH_ENABLED": "true"}
    program, *rest = command.split()

    result = subprocess.run(
        [BIN / program, *rest], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )

    assert (result.returncode, result.stdout) == (1, "")
    named = [line for line in result.stderr.splitlines() if line.startswith("  - ")]
    assert [line.split(":")[0] for line in named] == ["  - PORT", "  - REDIS_URL", "  - JWT_SECRET"]
    assert not any(word in result.stderr for word in ("Traceback", "planted"))
