"""What has to agree across the files of the deployment: timeouts, commands, names."""

from __future__ import annotations

import json
import os
import re
import runpy
from unittest import mock

import pytest
import yaml
from honcho.environ import parse_procfile

from scripts.processes import ROOT
from scripts.settings import defaults

SITE = (ROOT / "deploy" / "nginx" / "site.conf.template").read_text()
UNITS = {path.name: path.read_text() for path in (ROOT / "deploy" / "systemd").iterdir()}
PAGE = (ROOT / "docs" / "deployment.md").read_text()
PROCESSES = parse_procfile((ROOT / "Procfile").read_text()).processes
SERVICES = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]


def of_site(directive: str) -> list[int]:
    """Return the seconds of a directive of nginx, wherever it stands."""
    return [int(value) for value in re.findall(rf"\b{directive} (\d+)s;", SITE)]


def served(path: str, **settings: str) -> dict[str, object]:
    """Return what a configuration file of gunicorn sets."""
    with mock.patch.dict(os.environ, {"ENV_FILE": os.devnull} | settings):
        return runpy.run_path(str(ROOT / path))


def test_timeouts_when_compared_across_files_then_each_is_shorter_than_the_next() -> None:
    """Graceful timeout < kill (30 s) < nginx's wait for an answer, with the longest deadline."""
    bff = served("gunicorn.conf.py", PAGE_DEADLINE_MS="20000", TRUSTED_PROXY_HOPS="1")
    users = served("user_stub/gunicorn_conf.py")
    kills = [int(re.search(r"TimeoutStopSec=(\d+)\n", unit)[1]) for unit in UNITS.values()]  # type: ignore[index]
    kills += [int(SERVICES[name]["stop_grace_period"].rstrip("s")) for name in ("bff", "users")]
    (connect,) = of_site("proxy_connect_timeout")

    assert max(float(str(each["graceful_timeout"])) for each in (bff, users)) < 30
    assert set(kills) == {30}
    assert connect < 30 < min(of_site("proxy_read_timeout"))


def test_idle_connections_when_compared_then_nginx_closes_before_gunicorn() -> None:
    """The side that sends requests closes, so that none meets a connection that is ending."""
    bff = served("gunicorn.conf.py", TRUSTED_PROXY_HOPS="1")
    kept = re.findall(r"upstream \w+ \{[^}]*keepalive_timeout (\d+)s;", SITE)

    assert [int(seconds) < int(str(bff["keepalive"])) for seconds in kept] == [True]


def test_limits_when_compared_then_nginx_refuses_what_the_bff_would() -> None:
    """A body that passes nginx is one that the BFF takes, and a header that gunicorn takes."""
    from bff import MOST_BODY_BYTES

    assert f"client_max_body_size {MOST_BODY_BYTES // 1024}k;" in SITE
    assert "large_client_header_buffers 4 8k;" in SITE
    assert served("gunicorn.conf.py")["limit_request_field_size"] == 8190


def command(process: str) -> str:
    """Return a command of the Procfile without where it listens."""
    return str(PROCESSES[process].removeprefix("BIND=0.0.0.0 "))


def test_bind_when_somebody_else_is_in_front_then_it_is_said_in_so_many_words() -> None:
    """A platform's router and other containers reach the processes; by default nobody does."""
    assert all(PROCESSES[name].startswith("BIND=0.0.0.0 ") for name in ("web", "users"))
    assert "    BIND=0.0.0.0\n" in (ROOT / "Dockerfile").read_text()
    assert served("gunicorn.conf.py")["bind"][0] == "127.0.0.1:8000"  # type: ignore[index]
    for unit in UNITS.values():
        assert "BIND" not in unit, "nginx is on the same machine"


@pytest.mark.parametrize(
    ("token", "bind"), [("", "127.0.0.1:3001"), ("a-token-of-both", "0.0.0.0:3001")]
)
def test_bind_when_the_user_service_has_no_token_then_it_stays_on_its_machine(
    token: str, bind: str
) -> None:
    """Whoever reached the port could read and write everything."""
    settings = {"BIND": "0.0.0.0", "USER_SERVICE_TOKEN": token}  # noqa: S104

    assert served("user_stub/gunicorn_conf.py", **settings)["bind"][0] == bind  # type: ignore[index]
    assert served("tmdb_stub/gunicorn_conf.py", **settings)["bind"] == ["0.0.0.0:3002"]


def test_commands_when_compared_then_every_place_runs_those_of_the_procfile() -> None:
    """systemd, containers and platforms start the same processes."""
    started = set()
    for unit in UNITS.values():
        for run in re.findall(r"^ExecStart(?:Pre)?=(.*)$", unit, re.MULTILINE):
            started.add(run.replace("/opt/movie-dashboard/.venv/bin/", ""))
        assert "ExecReload=/bin/kill -s HUP $MAINPID" in unit

    assert started == set(map(command, PROCESSES))
    for name, process in (("bff", "web"), ("users", "users"), ("migrate", "release")):
        assert " ".join(SERVICES[name]["command"]) == command(process)


def test_platform_when_its_files_are_read_then_settings_processes_and_python_exist() -> None:
    """No setting of app.json is misspelt, no secret has a value, and runtime.txt is the image's."""
    app = json.loads((ROOT / "app.json").read_text())
    secrets = [name for name in app["env"] if name.endswith(("TOKEN", "SECRET", "KEY"))]
    version = (ROOT / "runtime.txt").read_text().strip()

    assert set(app["env"]) <= set(defaults())
    assert set(app["formation"]) == set(PROCESSES) - {"release"}
    assert secrets
    assert not [name for name in secrets if "value" in app["env"][name]]
    assert re.fullmatch(r"python-3\.1[1-9]\.\d+", version)
    assert f"FROM {version.replace('-', ':')}-slim" in (ROOT / "Dockerfile").read_text()


def test_page_when_it_names_a_metric_then_the_bff_has_it() -> None:
    """What the page says to alert on exists."""
    named = set(re.findall(r"`(bff_\w+)`", PAGE))
    text = (ROOT / "bff" / "observability" / "metrics.py").read_text()
    known = set(re.findall(r'"(bff_\w+)"', text))

    assert named
    assert {name.removesuffix("_total") for name in named} <= known


def test_page_when_it_says_the_chain_then_the_numbers_are_those_of_the_files() -> None:
    """The table of timeouts is true."""
    bff = served("gunicorn.conf.py", TRUSTED_PROXY_HOPS="1")
    longest = served("gunicorn.conf.py", PAGE_DEADLINE_MS="20000")
    rows = dict(re.findall(r"^\| ([^|]+?) \| ([\d.]+ s) \|", PAGE, re.MULTILINE))

    worker = mock.Mock()
    bff["post_fork"](None, worker)  # type: ignore[operator]

    waits_s = worker.cfg.set.call_args.args[1]
    assert rows["wait of a worker for open requests"] == f"{waits_s} s"
    assert rows["graceful timeout of gunicorn"] == f"{bff['graceful_timeout']} s"
    assert f"| {bff['graceful_timeout']} s | {longest['graceful_timeout']} s |" in PAGE
    assert rows["idle connection to the BFF, in gunicorn"] == f"{bff['keepalive']} s"
    assert rows["wait of nginx for an answer"] == f"{of_site('proxy_read_timeout')[0]} s"
    assert rows["page deadline"] == "2 s"
