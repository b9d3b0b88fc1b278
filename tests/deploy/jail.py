"""Run a command as a container would: the image's files, another user, a read-only file system."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.processes import ROOT
from tests.e2e.stack import clean_environment

# /dev/shm stays writable, as in a container. The one capability kept is to read: the Python of
# this machine may lie where the user of the image could not look.
SCRIPT = """
set -eu
mount -t tmpfs -o mode=0777 tmpfs "$JAIL/var"
mount -t tmpfs -o mode=0777 tmpfs "$JAIL/tmp"
mount -o remount,bind,ro /
cd "$JAIL"
exec setpriv --pdeathsig TERM --no-new-privs \
    --reuid "$JAIL_USER" --regid "$JAIL_USER" --clear-groups \
    --inh-caps=-all,+dac_read_search --ambient-caps=-all,+dac_read_search \
    --bounding-set=-all,+dac_read_search "$@"
"""
COMMAND = ("unshare", "--mount", "--propagation", "private", "sh", "-c", SCRIPT, "jail")
IMAGE_USER = 10001
NGINX_USER = 101


def image_files() -> list[Path]:
    """Return what .dockerignore lets into the image."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    allowed = [ROOT / line[1:] for line in lines if line.startswith("!")]
    files: list[Path] = []
    for path in allowed:
        files += [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return [file for file in files if "__pycache__" not in file.parts]


class Jail:
    """The image's files in a directory of their own, and commands that run in it."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="bff-image-"))
        self.directory.chmod(0o755)
        for file in image_files():
            copy = self.directory / file.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, copy)
        subprocess.run([sys.executable, "-m", "compileall", "-q", self.directory], check=True)
        for name in ("var", "tmp"):
            (self.directory / name).mkdir()

    def close(self) -> None:
        """Remove the directory."""
        shutil.rmtree(self.directory)

    def popen(
        self, command: Sequence[str], env: Mapping[str, str], user: int = IMAGE_USER, **options: Any
    ) -> subprocess.Popen[bytes]:
        """Start a command with `env` and little else in its environment."""
        path = f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}:/usr/sbin"
        own = {
            "PATH": path,
            "HOME": "/nonexistent",
            "ENV_FILE": os.devnull,
            "PYTHONDONTWRITEBYTECODE": "1",
            "TMPDIR": str(self.directory / "tmp"),
            "JAIL": str(self.directory),
            "JAIL_USER": str(user),
        }
        return subprocess.Popen(
            [*COMMAND, *command],
            env=clean_environment() | own | dict(env),
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            **options,
        )


@functools.cache
def fault() -> str:
    """Return why no such file system can be made here, or nothing."""
    if os.geteuid() != 0:
        return "a read-only file system of one's own needs root"
    tried = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "mount", "-o", "remount,bind,ro", "/"],
        capture_output=True,
    )
    return tried.stderr.decode().strip()
