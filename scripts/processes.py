"""One server process: how it is started, asked whether it is up, and ended with all its children.

Used by `start_all` and by the end-to-end tests. Standard library only.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def adopt_orphans() -> None:
    """Make this process the parent of grandchildren that lose theirs, so that they can be reaped.

    A gunicorn master that is killed leaves workers behind. Where process 1 of a
    container reaps nothing they would stay as zombies. Does nothing outside Linux.
    """
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _end_with_parent() -> None:
    # Runs between fork and exec. Even a kill -9 of the starter leaves no server behind.
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def _in_main_thread() -> bool:
    # Linux sends that signal when the starting thread ends, so only a lasting thread may ask.
    return threading.current_thread() is threading.main_thread()


def port_fault(port: int, hosts: Sequence[str] = ("127.0.0.1",)) -> str | None:
    """Return why nobody could listen on `port` of one of `hosts`, or None where it is free."""
    for host in hosts:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family) as probe:
            # As gunicorn does: a port whose old connections are in TIME_WAIT counts as free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host.strip("[]"), port))
                probe.listen(1)
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    return "is in use by another program"
                return f"of {host} cannot be listened on ({error.strerror})"
    return None


class Server:
    """A gunicorn master and its workers, in a process group of their own.

    Not thread-safe. `log` receives what they print; the first start empties it. `host` is where
    it can be asked; `settings` go before those of the environment.
    """

    def __init__(
        self,
        name: str,
        app: str,
        conf: str,
        port: int,
        log: Path,
        options: Sequence[str] = (),
        *,
        host: str = "127.0.0.1",
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.host = host
        self.port = port
        self.log = log
        self._settings = {"PYTHONUNBUFFERED": "1", **(settings or {})}
        self.command = [sys.executable, "-m", "gunicorn", "-c", conf, *options, app]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, env: Mapping[str, str] | None = None) -> None:
        """Start it, with `env` in place of this process's environment; do not wait."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab" if self._process else "wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - a fixed command, no shell
                self.command,
                cwd=ROOT,
                env={**(os.environ if env is None else env), **self._settings},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # A group of its own: Ctrl-C in the terminal reaches only the starter, which
                # ends the servers in order.
                start_new_session=True,
                preexec_fn=_end_with_parent if _in_main_thread() else None,
            )

    @property
    def pid(self) -> int:
        """Process id of the gunicorn master, and of its process group."""
        if self._process is None:
            raise RuntimeError(f"{self.name} was not started")
        return self._process.pid

    def exit_code(self) -> int | None:
        """Return the exit code of the master, or None while it runs."""
        return self._process.poll() if self._process else None

    def answers(self, path: str = "/health") -> bool:
        """Whether it answers `path` with 200 now."""
        # http.client: it knows no proxy settings, which would send this call elsewhere.
        connection = http.client.HTTPConnection(self.host.strip("[]"), self.port, timeout=2)
        try:
            connection.request("GET", path)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def send(self, sig: signal.Signals) -> None:
        """Send a signal to the master alone; do nothing where it is gone."""
        if self._process is not None:
            self._process.send_signal(sig)

    def end(self, within_s: float) -> None:
        """End master and workers: SIGTERM, and SIGKILL for what is left after `within_s`."""
        if self._process is None:
            return
        if self.exit_code() is None:
            self.send(signal.SIGTERM)
        else:
            self._signal_group(signal.SIGTERM)  # workers that have lost their master
        if not until(lambda: not self._group_lives(), within_s):
            self._signal_group(signal.SIGKILL)
            until(lambda: not self._group_lives(), 2)

    def tail(self, lines: int = 15) -> str:
        """Return the last lines of its log."""
        try:
            text = self.log.read_text(errors="replace")
        except FileNotFoundError:
            return "(no log)"
        return "\n".join(text.splitlines()[-lines:]) or "(its log is empty)"

    def _signal_group(self, sig: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, sig)

    def _group_lives(self) -> bool:
        self.exit_code()  # reaps the master
        with contextlib.suppress(ChildProcessError):
            # Adopted workers (see adopt_orphans); the master is reaped by Popen alone.
            while self.exit_code() is not None and os.waitpid(-self.pid, os.WNOHANG)[0]:
                pass
        try:
            os.killpg(self.pid, 0)
        except (ProcessLookupError, PermissionError):
            return False
        return True


def until(condition: Callable[[], bool], within_s: float, every_s: float = 0.05) -> bool:
    """Poll `condition` until it holds; return False where it does not within `within_s`."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(every_s)
    return True
