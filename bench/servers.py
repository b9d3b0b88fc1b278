"""The processes of a run: both stubs, the nginx that replays them, and every server under load.

Everything listens on free ports of 127.0.0.1 and keeps its files in one directory. Linux only:
what a server costs is read from /proc.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
import requests

from scripts.processes import Server, until

HERE = Path(__file__).parent
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
WORKERS = max(2, min(os.cpu_count() or 1, 8))  # the default of WEB_CONCURRENCY
RECORDED_PAGES = 280  # of 20 films each
SECRET = "a-secret-of-the-benchmark-alone-32-bytes"  # noqa: S105 - opens nothing
# Where the settings differ from the defaults. bench/README.md says why.
SETTINGS = {
    "WEB_CONCURRENCY": str(WORKERS),
    "RATE_LIMIT_PER_MINUTE": "1000000",
    "TMDB_CALLS_PER_SECOND": "10000",
    "CACHE_TTL": "3600",
    "JWT_SECRET": SECRET,
}


def token(user: str) -> str:
    """Return a Bearer token for a user."""
    return jwt.encode({"sub": user}, SECRET, "HS256")


def program(name: str) -> str:
    """Return where a program is, or end with how to get it."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin")
    if found is None:
        raise SystemExit(f"{name} is not installed. Debian, Ubuntu: apt-get install {name}")
    return found


@dataclass(frozen=True)
class Served:
    """A running server."""

    process: Server
    base: str

    def cpu_s(self) -> float:
        """Return the user and system time that it has used, with all its workers."""
        ticks = 0
        for pid in _tree(self.process.pid):
            # What follows the name, which may hold spaces: utime, stime, and those of children
            # that were waited for, are fields 14 to 17 of proc(5).
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))
        return ticks * TICK_S

    def rss_mb(self) -> float:
        """Return the resident memory of its largest process."""
        pids = _tree(self.process.pid)
        pages = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids]
        return max(pages) * os.sysconf("SC_PAGE_SIZE") / 2**20


class Servers:
    """Starts the stubs and nginx at once, and each other server when it is first asked for.

    `films` are the ids of the films that the stub lists as popular. Not thread-safe.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.films: list[int] = []
        self._served: dict[str, Served] = {}
        self._ports = dict(zip(("tmdb_stub", "user_stub", "tmdb", "users"), _ports(4), strict=True))
        self._stubs = {name: f"http://127.0.0.1:{port}" for name, port in self._ports.items()}
        self._upstreams = {
            "TMDB_BASE_URL": f"{self._stubs['tmdb']}/3",
            "USER_SERVICE_URL": self._stubs["users"],
        }
        self._http = requests.Session()
        self._http.trust_env = False

    def __enter__(self) -> Servers:
        try:
            for name in ("tmdb_stub", "user_stub"):
                command = _gunicorn(f"{name}.wsgi:app", f"{name}/gunicorn_conf.py")
                database = f"sqlite:///{self.folder / 'users.sqlite'}"
                self._start(name, command, self._ports[name], {"DATABASE_URL": database})
            self._start("nginx", self._nginx(), self._ports["users"], {})
            for page in range(1, RECORDED_PAGES + 1):
                self.films += [film["id"] for film in self._popular(page)["results"]]
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()
        for served in reversed(self._served.values()):
            served.process.end(10)

    def get(self, name: str, workers: int = WORKERS) -> Served:
        """Return a server: `bare`, `fastapi`, `fastify`, `fastify-cached`, or else a BFF.

        BFFs of different names share nothing but the upstreams.
        """
        if name not in self._served:
            port = _ports(1)[0]
            settings = SETTINGS | self._upstreams | {"WEB_CONCURRENCY": str(workers)}
            if name == "fastapi":
                command = [sys.executable, "-m", "uvicorn", "--no-access-log", "--port", str(port)]
                command += ["--workers", str(workers), "--app-dir", str(HERE / "peers")]
                command += ["fastapi_feed:app"]
            elif name.startswith("fastify"):
                if not (HERE / "peers" / "node_modules").is_dir():
                    raise SystemExit("Fastify: needs Node 20 and npm ci --prefix bench/peers")
                command = [program("node"), str(HERE / "peers" / "fastify_feed.mjs")]
                settings |= {"WORKERS": str(workers), "CACHED": str(int(name == "fastify-cached"))}
            else:
                app = "bench.bare:app" if name == "bare" else "wsgi:app"
                command = _gunicorn(app, "gunicorn.conf.py")
                command += ["--bind", f"127.0.0.1:{port}", "--max-requests", "0"]
            self._start(name, command, port, settings)
        return self._served[name]

    def calls(self) -> int:
        """Return how many calls the upstreams have had from anybody, event streams apart.

        Waits until there are no more of them: wrk leaves requests behind that nobody waits for.
        """
        log, seen = self.folder / "nginx" / "calls", -1
        while (size := log.stat().st_size) != seen:
            seen = size
            time.sleep(0.3)
        return size // 2

    def fault(self, stub: str, **fault: Any) -> None:
        """Have a stub misbehave; without a fault, end it."""
        method = "PUT" if fault else "DELETE"
        url = f"{self._stubs[stub]}/__faults"
        self._http.request(method, url, json=fault or None, timeout=10).raise_for_status()

    def give_library(self, user: str, entries: int) -> None:
        """Give a user so many entries: six tenths favourites, three watchlist, one history."""
        numbers = [*dict.fromkeys(self.films), *range(10_000_000, 10_000_000 + entries)][:entries]
        url = self._stubs["user_stub"]

        def put(number: int) -> None:
            film = {"title": f"Film {number}", "poster_path": "/p.jpg"}
            place, body = (
                *[("favorites", film | {"rating": 4})] * 6,
                *[("watchlist", film)] * 3,
                ("history", {"progress": 0.5}),
            )[number % 10]
            address, headers = f"{url}/{place}/{numbers[number]}", {"X-User-Id": user}
            self._http.put(address, json=body, headers=headers, timeout=30).raise_for_status()

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(put, range(entries)))

    def _popular(self, page: int) -> Any:
        """Return a page of popular films, which nginx has recorded then."""
        url = f"{self._upstreams['TMDB_BASE_URL']}/movie/popular"
        headers = {"Authorization": "Bearer any"}
        answer = self._http.get(url, params={"page": page}, headers=headers, timeout=10)
        answer.raise_for_status()
        return answer.json()

    def _nginx(self) -> list[str]:
        folder = self.folder / "nginx"
        folder.mkdir()
        text = (HERE / "nginx.conf").read_text().replace("@folder@", str(folder))
        for name, port in self._ports.items():
            text = text.replace(f"@{name}@", str(port))
        (folder / "nginx.conf").write_text(text)
        as_root = ["-g", "user root;"] if os.geteuid() == 0 else []
        return [program("nginx"), "-p", str(folder), "-c", str(folder / "nginx.conf"), *as_root]

    def _start(self, name: str, command: list[str], port: int, settings: dict[str, str]) -> None:
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
        ports = {"TMDB_STUB_PORT": port, "USER_SERVICE_PORT": port, "PORT": port}
        files = {"CACHE_DIR": folder / "cache"}
        process = Server(name, "", "", port, folder / "log")
        process.command = command
        self._served[name] = Served(process, f"http://127.0.0.1:{port}")
        own = {key: str(value) for key, value in (ports | files).items()}
        process.start(kept | {"ENV_FILE": os.devnull} | own | settings)
        if not until(process.answers, 60):
            raise SystemExit(f"{name} did not start:\n{process.tail(30)}")


def _gunicorn(app: str, conf: str) -> list[str]:
    return [sys.executable, "-m", "gunicorn", "-c", conf, app]


def _ports(count: int) -> list[int]:
    """Return ports that nobody listens on; held together, so that they differ."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _tree(pid: int) -> list[int]:
    """Return a process and all below it."""
    below: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(
            FileNotFoundError, ProcessLookupError
        ):  # a thread may end meanwhile
            below += map(int, (task / "children").read_text().split())
    return [pid, *(found for child in below for found in _tree(child))]
