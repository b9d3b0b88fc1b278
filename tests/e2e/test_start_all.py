"""start-all.sh and setup.sh as a newcomer and an operator use them."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from config import hosts
from scripts.processes import ROOT, port_fault, until
from scripts.tree import tracked
from tests.e2e.stack import clean_environment, free_ports

pytestmark = pytest.mark.e2e

HANG_GUARD_S = 120

# What the scripts call. A PATH of these alone shows what they do on a machine without Python.
TOOLS = (
    *("bash", "cat", "cmp", "dirname", "env", "flock", "grep", "mkdir", "readlink", "rm", "sed"),
    *("sleep", "tail"),
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the project that shares the virtual environment and has its own var/."""
    copy = tmp_path_factory.mktemp("project") / "a checkout"
    for name in tracked(ROOT):
        if not name.startswith("tests/"):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    (copy / ".venv").symlink_to(ROOT / ".venv")
    subprocess.run([copy / "setup.sh"], check=True, capture_output=True)
    return copy


class Started:
    """start-all.sh in a process group of its own, as in a terminal."""

    def __init__(self, project: Path, cwd: Path, command: Path, **settings: str) -> None:
        self.project = project
        self.ports = free_ports(3)
        self.output = cwd / "output"
        names = ("PORT", "USER_SERVICE_PORT", "TMDB_STUB_PORT")
        ports = {name: str(port) for name, port in zip(names, self.ports, strict=True)}
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [command],
                cwd=cwd,
                env=clean_environment(
                    ENV_FILE=os.devnull,
                    WEB_CONCURRENCY="1",
                    PROMETHEUS_MULTIPROC_DIR=str(cwd / "metrics"),
                    **(ports | settings),
                ),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def text(self) -> str:
        return self.output.read_text()

    def wait_until_up(self) -> None:
        """Return when it says that everything is up."""
        up = until(
            lambda: "Ctrl-C stops" in self.text or self.process.poll() is not None, HANG_GUARD_S
        )
        assert up, self.text
        assert self.process.poll() is None, self.text

    def exit_code(self, within_s: float = HANG_GUARD_S) -> int:
        """Return the exit code once it has ended."""
        assert until(lambda: self.process.poll() is not None, within_s), self.text
        return int(self.process.returncode)

    def pids(self, of: str = "") -> list[int]:
        """Return the processes that run in the project, those with `of` in their command line."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    here = (entry / "cwd").resolve() == self.project.resolve()
                    if here and of.encode() in (entry / "cmdline").read_bytes():
                        found.append(int(entry.name))
                except OSError:
                    continue  # it ended while we looked
        return found

    def master(self, of: str) -> int:
        """Return the gunicorn master that serves the application `of`: the workers' parent."""
        pids = self.pids(of)
        stats = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2] for pid in pids]
        (master,) = set(pids) & {int(stat.split()[1]) for stat in stats}
        return master

    def end(self) -> None:
        """Leave nothing behind, whatever the test did."""
        if self.process.poll() is None:
            self.process.terminate()
            until(lambda: self.process.poll() is not None, 20)
        for pid in self.pids():
            os.kill(pid, signal.SIGKILL)
        self.process.wait(10)


@pytest.fixture
def start(project: Path, tmp_path: Path) -> Iterator[type]:
    """Return a function that runs the copy's start-all.sh from an unrelated directory."""
    made: list[Started] = []

    def run(command: Path = project / "start-all.sh", **settings: str) -> Started:
        started = Started(project, tmp_path, command, **settings)
        made.append(started)
        return started

    yield run  # type: ignore[misc]
    for started in made:
        started.end()


def test_start_all_when_run_through_a_link_from_elsewhere_then_all_is_up(
    start: type, project: Path, tmp_path: Path
) -> None:
    """From another directory, nothing to install: everything is up and named; SIGTERM ends it."""
    link = tmp_path / "go"
    link.symlink_to(project / "start-all.sh")
    started = start(link)
    started.wait_until_up()

    assert "installing" not in started.text
    assert all(port_fault(port) for port in started.ports)
    assert f"http://localhost:{started.ports[0]}/api/dashboard/feed" in started.text
    assert "TMDB           stub" in started.text
    assert "var/log/bff.log" in started.text
    started.process.terminate()
    assert started.exit_code() == 0
    assert started.pids() == []
    assert not any(port_fault(port) for port in started.ports)
    assert "Traceback" not in (project / "var" / "log" / "bff.log").read_text()


@pytest.mark.skipif(len(hosts("127.0.0.1")) < 2, reason="this machine has no IPv6")
def test_start_all_when_bind_is_an_ipv6_address_then_the_bff_alone_is_there(start: type) -> None:
    """It answers at that address and no other; killed itself, it leaves nothing behind."""
    started = start(BIND="[::1]")
    started.wait_until_up()

    assert f"http://[::1]:{started.ports[0]}/api/dashboard/feed" in started.text
    connection = http.client.HTTPConnection("::1", started.ports[0], timeout=HANG_GUARD_S)
    connection.request("GET", "/api/dashboard/feed")
    answer = connection.getresponse()
    assert answer.status == 200
    assert answer.getheader("X-Degraded") is None
    connection.close()
    assert not port_fault(started.ports[0])
    assert port_fault(started.ports[0], ["[::1]"])
    # Even a kill -9 of the starter leaves no server behind.
    started.process.kill()
    started.process.wait(HANG_GUARD_S)
    assert until(lambda: started.pids() == [], HANG_GUARD_S)


def test_start_all_when_a_credential_is_set_then_no_stub_starts_and_it_is_not_shown(
    start: type,
) -> None:
    """With a credential TMDB is live; the credential appears nowhere. Ctrl-C ends everything."""
    started = start(TMDB_READ_TOKEN="planted-credential", TMDB_BASE_URL="http://127.0.0.1:9/3")
    started.wait_until_up()

    assert "TMDB           live" in started.text
    assert not port_fault(started.ports[2])
    os.killpg(started.process.pid, signal.SIGINT)
    assert started.exit_code() == 0
    assert started.pids() == []
    logs = [file.read_text() for file in (started.project / "var" / "log").glob("*.log")]
    assert not any("planted-credential" in text for text in [started.text, *logs])


def test_start_all_when_a_process_dies_then_it_says_which_and_ends_the_others(
    start: type,
) -> None:
    """A line names it, its exit and its log, also at the start; what it leaves behind ends too."""
    started = start()
    started.wait_until_up()
    os.kill(started.master("user_stub.wsgi:app"), signal.SIGKILL)

    assert started.exit_code() == 1
    line = "start-all: user service died (killed by SIGKILL); the end of var/log/user-service.log:"
    assert line in started.text.splitlines()
    assert started.pids() == []
    started = start(GUNICORN_CMD_ARGS="--certfile /no/such/file")
    assert started.exit_code() == 1
    assert re.search(r"start-all: .+ died \(exit code 1\); the end of var/log/", started.text)
    assert "/no/such/file" in started.text
    assert started.pids() == []


def test_start_all_when_ports_or_settings_are_wrong_then_all_faults_are_named_before_a_start(
    start: type,
) -> None:
    """A busy port, a port for two, and every wrong setting of every process; nothing starts."""
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        started = start(USER_SERVICE_PORT=str(port))
        assert started.exit_code() == 1
    assert started.text == (
        f"start-all: port {port} is in use by another program; "
        "free it, or set USER_SERVICE_PORT to another one\n"
    )
    started = start(PORT=str(port), TMDB_STUB_PORT=str(port))
    assert started.exit_code() == 1
    assert f"port {port} is given to both" in started.text
    started = start(THREADS="0", FAULT_PROFILE="sleepy", DATABASE_URL="nowhere", LOG_LEVEL="x")
    assert started.exit_code() == 1
    for name in ("THREADS", "FAULT_PROFILE", "DATABASE_URL", "LOG_LEVEL"):
        assert started.text.count(f"- {name}: ") == 1
    assert "Traceback" not in started.text


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """Return a project of nothing but the set-up and empty requirements."""
    root = tmp_path / "bare"
    root.mkdir()
    shutil.copy2(ROOT / "setup.sh", root)
    (root / "requirements.txt").write_text("# none\n")
    (root / "requirements-dev.txt").write_text("-r requirements.txt\n")
    return root


def tools(directory: Path, **scripts: str) -> str:
    """Make a PATH of the tools that the scripts call, and of small scripts by name."""
    directory.mkdir()
    for tool in TOOLS:
        (directory / tool).symlink_to(str(shutil.which(tool)))
    for name, text in scripts.items():
        (directory / name).write_text(f"#!/bin/bash\n{text}\n")
        (directory / name).chmod(0o755)
    return str(directory)


def setup(root: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the set-up of a bare project; pip may ask no index."""
    return subprocess.run(
        [root / "setup.sh", *arguments],
        cwd="/",
        env=clean_environment(PIP_NO_INDEX="1") | environment,
        capture_output=True,
        text=True,
        timeout=HANG_GUARD_S,
        check=False,
    )


@pytest.mark.parametrize(
    ("python", "said"),
    [
        (None, ["Python 3.11 or newer is needed (no python3 found)", "apt-get install python3"]),
        (
            'case "$2" in *print*) echo 3.9;; *) exit 1;; esac',
            ["Python 3.11 or newer is needed (python3 is 3.9)"],
        ),
        (
            'case "$2" in *print*) echo 3.12;; *venv*) exit 1;; esac',
            ["Python 3.12 lacks the venv module", "python3.12-venv"],
        ),
    ],
    ids=["none", "old", "without-venv"],
)
def test_setup_when_python_is_not_good_enough_then_one_line_says_what_to_install(
    bare: Path, python: str | None, said: list[str]
) -> None:
    """What was found is named beside what is needed; Debian packs venv apart."""
    result = setup(bare, PATH=tools(bare / "bin", **({"python3": python} if python else {})))

    assert result.returncode != 0
    assert [text for text in said if text not in result.stderr] == []
    assert len(result.stderr.splitlines()) == 1


def stand_in(root: Path, install: str = "true") -> None:
    """Make a virtual environment whose pip runs a line of shell in place of an install."""
    python = root / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True, exist_ok=True)
    python.write_text(f'#!/bin/bash\ncase "$*" in *install*) {install};; esac\n')
    python.chmod(0o755)


def test_setup_when_an_install_fails_then_it_is_not_taken_for_ready(bare: Path) -> None:
    """A failed install is told in one line with pip's reason, and the next run tries again."""
    stand_in(bare, "echo 'ERROR: No matching distribution'; echo; exit 1")
    failures = [setup(bare), setup(bare)]
    stand_in(bare)
    repaired = setup(bare)

    for result in failures:
        assert result.returncode == 1
        assert result.stderr.splitlines()[-1] == (
            "setup: pip could not install requirements.txt: ERROR: No matching distribution "
            "(log: var/log/setup.log)"
        )
    assert repaired.returncode == 0


def test_setup_when_two_run_at_once_then_the_second_waits_for_the_first(bare: Path) -> None:
    """Two set-ups never install into one environment at the same time."""
    begin, go = f"echo begin >>'{bare}/order'", f"until [ -e '{bare}/go' ]; do sleep 0.05; done"
    stand_in(bare, f"{begin}; {go}; echo end >>'{bare}/order'")
    with (bare / "said").open("w") as said:
        both = [
            subprocess.Popen([bare / "setup.sh", *how], env=clean_environment(), stderr=said)
            for how in ([], ["--dev"])
        ]
    waits = "another set-up is at work"
    assert until(lambda: waits in (bare / "said").read_text(), HANG_GUARD_S)
    (bare / "go").touch()

    assert [process.wait(HANG_GUARD_S) for process in both] == [0, 0]
    order = (bare / "order").read_text().split()
    assert order in (["begin", "end"], ["begin", "end"] * 2)


def test_setup_when_the_requirements_change_then_it_installs_again(bare: Path) -> None:
    """Ready means installed from exactly these requirements; a typing mistake installs nothing."""
    assert "usage: setup.sh [--dev]" in setup(bare, "--develop").stderr
    stand_in(bare)
    assert setup(bare).returncode == 0
    assert setup(bare).stderr == ""
    (bare / "requirements.txt").write_text("# changed\n")

    assert "installing requirements.txt" in setup(bare).stderr
    assert setup(bare).stderr == ""


def test_setup_when_it_is_ended_then_pip_ends_with_it(bare: Path) -> None:
    """SIGTERM in the middle of an install leaves nothing running and nothing ready."""
    stand_in(bare, f"echo $$ >'{bare}/pid'; exec sleep 60")
    with subprocess.Popen(
        [bare / "setup.sh"], env=clean_environment(), stderr=subprocess.PIPE, text=True
    ) as process:
        pid = bare / "pid"
        assert until(lambda: pid.exists() and pid.read_text().endswith("\n"), HANG_GUARD_S)
        process.terminate()
        _, said = process.communicate(timeout=HANG_GUARD_S)

    assert process.returncode == 143
    assert "interrupted" in said
    cwd = Path(f"/proc/{int(pid.read_text())}/cwd")
    assert until(lambda: not cwd.is_dir(), HANG_GUARD_S)
    assert not (bare / ".venv" / ".installed-run").exists()
