"""Start the BFF and what it needs, watch them, and end them together: `start-all.sh` runs this.

Exit code: 0 after Ctrl-C or SIGTERM, 1 where something could not start or died.
"""

from __future__ import annotations

import math
import signal
import sys
import time
from urllib.parse import urlsplit

from config import LOOPBACK, Config, ConfigError, TmdbStubConfig, UserServiceConfig, hosts
from scripts.processes import ROOT, Server, adopt_orphans, port_fault

LOGS = ROOT / "var" / "log"
START_WITHIN_S = 30.0
LOOK_EVERY_S = 0.1
STUB_STOP_WITHIN_S = 12.0


class StartError(Exception):
    """Something could not start or died; the text is what to print."""


class Watch:
    """The servers in order of their start, and whether somebody asked for the end."""

    def __init__(self, servers: list[Server], bff_stop_within_s: float) -> None:
        self.servers = servers
        self.bff_stop_within_s = bff_stop_within_s
        self.signals = 0
        for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(sig, self._note)

    def run(self, greeting: str) -> None:
        """Start all, print `greeting` when each answers, return when somebody asks for the end."""
        for server in self.servers:
            server.start()
        deadline = time.monotonic() + START_WITHIN_S
        waiting = list(self.servers)
        while not self.signals:
            self.check()
            if waiting:
                waiting = [server for server in waiting if not server.answers()]
                if not waiting:
                    print(greeting, flush=True)
                elif time.monotonic() > deadline:
                    names = " and ".join(server.name for server in waiting)
                    raise StartError(f"{names}: no answer to /health in {START_WITHIN_S:.0f} s")
            time.sleep(LOOK_EVERY_S)

    def check(self) -> None:
        """Raise `StartError` where a server died."""
        for server in self.servers:
            code = server.exit_code()
            if code is not None:
                how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
                log = server.log.relative_to(ROOT)
                raise StartError(f"{server.name} died ({how}); the end of {log}:\n{server.tail()}")

    def end(self) -> None:
        """End all; the BFF first, so that its open pages still have their upstreams."""
        for server in reversed(self.servers):
            # A second Ctrl-C means now.
            within_s = self.bff_stop_within_s if server.name == "BFF" else STUB_STOP_WITHIN_S
            server.end(within_s if self.signals < 2 else 0)

    def _note(self, *_: object) -> None:
        self.signals += 1


def read_settings() -> tuple[Config, UserServiceConfig, TmdbStubConfig]:
    """Read the settings of all processes; raise one `ConfigError` with the faults of all."""
    faults: list[str] = []
    settings = []
    for kind in (Config, UserServiceConfig, TmdbStubConfig):
        try:
            settings.append(kind.from_env())
        except ConfigError as error:
            faults += [fault for fault in error.faults if fault not in faults]
    if faults:
        raise ConfigError(faults)
    return tuple(settings)  # type: ignore[return-value]


def is_here(url: str, port: int) -> bool:
    """Whether `url` means the server that would be started on this machine's `port`."""
    parts = urlsplit(url)
    return parts.hostname in ("127.0.0.1", "localhost", "::1") and parts.port == port


def plan(bff: Config, users: UserServiceConfig, tmdb: TmdbStubConfig) -> list[Server]:
    """Return the servers to start, the BFF last; raise `StartError` where a port is not free.

    BIND is the BFF's. The other two serve the BFF on this machine, and nobody else.
    """
    servers = []
    ports = {}
    here = {"BIND": LOOPBACK}
    if is_here(bff.users.base_url, users.port):
        ports["USER_SERVICE_PORT"] = users.port
        servers.append(
            Server(
                "user service",
                "user_stub.wsgi:app",
                "user_stub/gunicorn_conf.py",
                users.port,
                LOGS / "user-service.log",
                settings=here,
            )
        )
    if not bff.tmdb_is_live and is_here(bff.tmdb.base_url, tmdb.port):
        ports["TMDB_STUB_PORT"] = tmdb.port
        servers.append(
            Server(
                "TMDB stub",
                "tmdb_stub.wsgi:app",
                "tmdb_stub/gunicorn_conf.py",
                tmdb.port,
                LOGS / "tmdb-stub.log",
                settings=here,
            )
        )
    ports["PORT"] = bff.port
    conf, log, host = "gunicorn.conf.py", LOGS / "bff.log", address(bff)
    servers.append(Server("BFF", "wsgi:app", conf, bff.port, log, host=host))
    check_ports(ports, bff.bind)
    return servers


def address(bff: Config) -> str:
    """Return where the BFF can be asked on this machine."""
    host = hosts(bff.bind)[0]
    return {"0.0.0.0": LOOPBACK, "[::]": "[::1]"}.get(host, host)  # noqa: S104


def check_ports(ports: dict[str, int], bind: str) -> None:
    """Raise `StartError` for each port that is taken, or given to two settings."""
    faults = []
    for name, port in ports.items():
        twins = [other for other, value in ports.items() if value == port and other != name]
        if twins:
            faults.append(f"port {port} is given to both {name} and {twins[0]}")
        elif fault := port_fault(port, hosts(bind if name == "PORT" else LOOPBACK)):
            faults.append(f"port {port} {fault}; free it, or set {name} to another one")
    if faults:
        raise StartError("; ".join(dict.fromkeys(faults)))


def summary(bff: Config, servers: list[Server]) -> str:
    """Return what a newcomer needs to go on."""
    names = {server.name for server in servers}
    host = address(bff)
    here = f"http://{'localhost' if host == LOOPBACK else host}:{bff.port}"
    if bff.tmdb_is_live:
        tmdb = f"live, {bff.tmdb.base_url}"
    elif "TMDB stub" in names:
        tmdb = f"stub, {bff.tmdb.base_url} (TMDB_API_KEY or TMDB_READ_TOKEN in .env: the real one)"
    else:
        tmdb = f"{bff.tmdb.base_url} (not started here, no credential set)"
    users = bff.users.base_url + ("" if "user service" in names else " (not started here)")
    logs = ", ".join(str(server.log.relative_to(ROOT)) for server in reversed(servers))
    return "\n".join(
        [
            "Movie Dashboard BFF is up.",
            f"  dashboard      {here}/",
            f"  API            curl '{here}/api/dashboard/feed'",
            f"  documentation  {here}/docs and {here}/redoc",
            f"  TMDB           {tmdb}",
            f"  user service   {users}",
            f"  logs           {logs}",
            "Ctrl-C stops everything.",
        ]
    )


def main() -> int:
    """Run until somebody asks for the end or a server dies; return the exit code."""
    adopt_orphans()
    try:
        settings = read_settings()
        servers = plan(*settings)
    except (ConfigError, StartError) as error:
        print(f"start-all: {error}", file=sys.stderr)
        return 1
    bff = settings[0]
    watch = Watch(servers, bff_stop_within_s=math.ceil(bff.page_deadline_s) + 8)
    try:
        watch.run(summary(bff, servers))
        print("start-all: ending everything", flush=True)
    except StartError as error:
        print(f"start-all: {error}", file=sys.stderr, flush=True)
        return 1
    finally:
        watch.end()
    return 0


if __name__ == "__main__":
    sys.exit(main())
