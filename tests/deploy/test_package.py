"""pyproject.toml: what `pip install .` installs, and that it serves without the tree around it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from packaging.requirements import Requirement

from scripts.processes import ROOT, until
from scripts.tree import tracked
from tests.e2e.stack import clean_environment, free_ports

NO_NETWORK = ("Name or service not known", "Temporary failure in name", "Network is unreachable")


def pins(file: str) -> dict[str, Requirement]:
    """Return the requirements of a pinned file, by name."""
    lines = (ROOT / file).read_text().splitlines()
    found = [Requirement(line) for line in lines if line and not line.startswith(("#", "-"))]
    return {requirement.name: requirement for requirement in found}


@pytest.mark.parametrize(
    ("file", "part"),
    [("requirements.txt", "dependencies"), ("requirements-tracing.txt", "tracing")],
)
def test_dependencies_when_compared_with_the_pins_then_each_pin_is_in_its_range(
    file: str, part: str
) -> None:
    """What is tested is what the package asks for, no more and no less."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    ranges = project[part] if part in project else project["optional-dependencies"][part]
    asked = {requirement.name: requirement for requirement in map(Requirement, ranges)}
    tested = pins(file)

    assert asked.keys() == tested.keys()
    for name, requirement in asked.items():
        (pin,) = tested[name].specifier
        assert requirement.specifier.contains(pin.version), name
        assert requirement.extras == tested[name].extras


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new virtual environment with the package in it, made from what git tracks.

    Its dependencies are those of this environment: the test of the pins says that they fit.
    """
    source, venv = (tmp_path_factory.mktemp(name) for name in ("source", "venv"))
    for name in tracked(ROOT):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, source / name)
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    (packages,) = venv.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    command = [venv / "bin" / "pip", "install", "--quiet", "--no-deps", source]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0 and any(sign in done.stderr for sign in NO_NETWORK):
        pytest.skip("pip cannot reach the index")
    assert done.returncode == 0, done.stderr
    shutil.rmtree(source)
    return venv


@contextmanager
def served(venv: Path, folder: Path, *arguments: str, **settings: str) -> Iterator[None]:
    """Run the environment's own gunicorn in an empty folder."""
    own = {"ENV_FILE": "/dev/null", "PATH": f"{venv / 'bin'}:/usr/bin:/bin", **settings}
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            [venv / "bin" / "python", "-m", "gunicorn", *arguments],
            cwd=folder,
            env=clean_environment() | own,
            stdout=log,
            stderr=log,
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


@pytest.mark.e2e
def test_package_when_installed_then_it_serves_pages_and_documents(
    installed: Path, tmp_path: Path
) -> None:
    """All three services, the page's files, the documents and the migrations are in it."""
    bff, users, tmdb = free_ports(3)
    settings = {
        "PORT": str(bff),
        "USER_SERVICE_PORT": str(users),
        "TMDB_STUB_PORT": str(tmdb),
        "USER_SERVICE_URL": f"http://127.0.0.1:{users}",
        "TMDB_BASE_URL": f"http://127.0.0.1:{tmdb}/3",
        "DATABASE_URL": f"sqlite:///{tmp_path / 'users.sqlite'}",
        "CACHE_DIR": str(tmp_path / "cache"),
    }
    conf = installed / "share" / "movie-dashboard-bff" / "gunicorn.conf.py"

    def get(path: str, port: int = bff) -> requests.Response | None:
        try:
            return requests.get(f"http://127.0.0.1:{port}{path}", timeout=30)
        except requests.ConnectionError:
            return None

    with (
        served(installed, tmp_path, "-c", "python:tmdb_stub.gunicorn_conf", "tmdb_stub.wsgi:app",
               **settings),
        served(installed, tmp_path, "-c", "python:user_stub.gunicorn_conf", "user_stub.wsgi:app",
               **settings),
        served(installed, tmp_path, "-c", str(conf), "wsgi:app", **settings),
    ):  # fmt: skip
        up = until(lambda: all(get("/health", port) for port in (bff, users, tmdb)), 60)
        assert up, (tmp_path / "log").read_text()
        feed = get("/api/dashboard/feed")
        assert feed is not None
        assert feed.status_code == 200
        assert {one["status"] for one in feed.json()["sections"].values()} == {"ok"}
        for path in ("/", "/web/main.js", "/docs", "/docs-ui/swagger-ui/swagger-ui.css"):
            answer = get(path)
            assert answer is not None
            assert answer.status_code == 200, path
