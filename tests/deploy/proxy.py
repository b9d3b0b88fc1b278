"""nginx as it is shipped, in front of real processes, without root."""

from __future__ import annotations

import contextlib
import http.client
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType

from scripts.processes import ROOT, Server, _end_with_parent, until
from tests.e2e.stack import END_WITHIN_S, WAIT_S, Stack, clean_environment, free_ports

START = ROOT / "deploy" / "nginx" / "start.sh"
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")


class Nginx:
    """nginx in the foreground, started by deploy/nginx/start.sh on free ports of this machine.

    Its files are in a directory that `nobody` may write to, and so runs it where the tests are
    root's. `log` is what it says, `access` its access log.
    """

    def __init__(self, *servers: int, **variables: str) -> None:
        self.port, self.tls_port = free_ports(2)
        self.url = f"http://127.0.0.1:{self.port}"
        self.directory = Path(tempfile.mkdtemp(prefix="bff-nginx-"))
        self.run = self.directory / "run"
        self.log = self.directory / "log"
        self.access = self.run / "access.log"
        self._user = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        if self._user:
            os.chown(self.directory, self._user.pw_uid, self._user.pw_gid)
        self._variables = {
            "BFF_SERVERS": " ".join(f"127.0.0.1:{port}" for port in servers),
            "HTTP_LISTEN": f"127.0.0.1:{self.port}",
            "HTTPS_LISTEN": f"127.0.0.1:{self.tls_port}",
            "ACCESS_LOG": str(self.access),
        } | variables
        self._process: subprocess.Popen[bytes] | None = None

    def set(self, **variables: str) -> None:
        """Set variables of render.sh before the start."""
        self._variables |= variables

    def __enter__(self) -> Nginx:
        path = f"{os.environ['PATH']}:/usr/sbin"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                ["/bin/sh", START, self.run],
                cwd=self.directory,
                env=clean_environment() | {"PATH": path} | self._variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_end_with_parent,
                user=self._user.pw_uid if self._user else None,
                group=self._user.pw_gid if self._user else None,
                extra_groups=[] if self._user else None,
            )
        if not until(self._listens, WAIT_S):
            self.__exit__(None, None, None)
            raise AssertionError("nginx did not start")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None:
            if error is not None or not self._listens():
                print(self.log.read_text()[-2000:])  # noqa: T201 - pytest shows it
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGTERM)
            self._process.wait(10)
        shutil.rmtree(self.directory)

    def _listens(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            return False
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status > 0
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


class Deployment:
    """The user service, the TMDB stub, two instances of the BFF and nginx in front of them.

    `stack` has the first three; `url` is nginx's. As a context manager it starts and ends all.
    """

    def __init__(self, directory: Path, **settings: object) -> None:
        self.stack = Stack(directory, TRUSTED_PROXY_HOPS=1, **settings)
        (port,) = free_ports(1)
        self.second = Server(
            "bff-2",
            "wsgi:app",
            "gunicorn.conf.py",
            port,
            directory / "bff-2.log",
            ["--bind", f"127.0.0.1:{port}"],
        )
        self.bffs = (self.stack.servers["bff"], self.second)
        self.nginx = Nginx(*(server.port for server in self.bffs))
        self.url = self.nginx.url

    def __enter__(self) -> Deployment:
        self.second.start(self._environment(self.second))
        self.stack.start()
        self.until_all_answer()
        self.nginx.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.nginx.__exit__(kind, error, trace)
        for server in self.bffs:
            if server.exit_code() is None:
                server.send(signal.SIGTERM)  # both at once
        self.second.end(END_WITHIN_S)
        self.stack.end()

    def recover(self) -> None:
        """Start what a test has ended, and bring both stubs back to how they start."""
        for server in self.bffs:
            if server.exit_code() is not None:
                server.start(self._environment(server))
        self.until_all_answer()
        self.stack.reset()

    def until_all_answer(self) -> None:
        """Return when both instances answer."""
        self.stack.wait(
            lambda: all(server.answers() for server in self.bffs),
            "an instance of the BFF does not answer",
        )

    @staticmethod
    def kill(server: Server) -> None:
        """Send SIGKILL to an instance, master and workers, and wait for its end."""
        os.killpg(server.pid, signal.SIGKILL)
        assert until(lambda: server.exit_code() is not None, WAIT_S)
        server.end(0)

    def _environment(self, server: Server) -> dict[str, str]:
        return clean_environment(**self.stack.settings | {"PORT": str(server.port)})
