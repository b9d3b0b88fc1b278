"""A throwaway PostgreSQL server."""

from __future__ import annotations

import glob
import os
import shutil
import signal
import socket
import subprocess
import time
import uuid
from contextlib import closing
from pathlib import Path

import psycopg

ACCOUNT = "postgres"


class Server:
    """A PostgreSQL server in a folder of its own."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs = programs
        self._folder = folder
        # The server refuses to run as root; the Debian package brings an account for it.
        self._user = {"user": ACCOUNT} if os.geteuid() == 0 else {}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        if self._user:
            shutil.chown(folder, ACCOUNT)
        command = [programs / "initdb", "-D", folder / "data", "-U", ACCOUNT]
        command += ["-A", "trust", "-E", "UTF8", "--no-sync"]
        subprocess.run(command, check=True, capture_output=True, cwd=folder, **self._user)

    def start(self) -> None:
        """Start and wait until the server lets clients in."""
        command = [self._programs / "postgres", "-D", self._folder / "data", "-p", str(self.port)]
        command += ["-k", self._folder, "-c", "fsync=off", "-c", "listen_addresses=127.0.0.1"]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=self._folder, **self._user
            )
        until = time.monotonic() + 20
        while True:
            try:
                psycopg.connect(self.address("postgres")).close()
            except psycopg.OperationalError:
                assert time.monotonic() < until, (self._folder / "log").read_text()
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        """Break off all connections and end."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait(20)

    def new_database(self) -> str:
        """Make a database and return its address for SQLAlchemy."""
        name = f"t{uuid.uuid4().hex}"
        with closing(psycopg.connect(self.address("postgres"), autocommit=True)) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.address(name).replace("postgresql:", "postgresql+psycopg:")

    def address(self, database: str) -> str:
        """Return the address of a database for psycopg."""
        return f"postgresql://{ACCOUNT}@127.0.0.1:{self.port}/{database}"


def programs() -> Path | None:
    """Return the folder of the server's programs; Debian keeps it out of the PATH."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))
    found += [path for path in [shutil.which("initdb")] if path]
    return Path(found[0]).parent if found else None
