"""The app under test, in the process and under gunicorn."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from scripts.processes import ROOT
from tests.stub_faults.host_app import Host


@pytest.fixture
def host() -> Host:
    """An app with faults installed as the TMDB stub does it, with the base /3."""
    return Host(base="/3")


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, int]]:
    """The app under a real gunicorn: host and port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        listener.set_inheritable(True)
        address = listener.getsockname()
        command = [sys.executable, "-m", "gunicorn", "-c", "tests/stub_faults/gunicorn_conf.py"]
        command += ["--bind", f"fd://{listener.fileno()}", "tests.stub_faults.host_app:app"]
        process = subprocess.Popen(
            command, cwd=ROOT, pass_fds=[listener.fileno()], stderr=subprocess.DEVNULL
        )
    try:
        yield address
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
