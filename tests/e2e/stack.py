"""Real processes for the end-to-end tests: the user service, the TMDB stub and the BFF.

Everything listens on free ports of 127.0.0.1 and keeps its files in a directory of its own.
"""

from __future__ import annotations

import os
import signal
import socket
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import requests

from scripts.processes import Server, adopt_orphans, until

# Guards against a hang, long enough for a machine that has much else to do.
START_WITHIN_S = WAIT_S = CALL_TIMEOUT_S = 60.0
END_WITHIN_S = 15.0
NAMES = ("users", "tmdb", "bff")
SECRET = "a-secret-of-enough-bytes-for-HS256"
# Asks for a newer state of a user's lists than the BFF may have in memory.
NEWER = {"X-Library-Revision": "999999"}

# What differs from the defaults of config.py, and why. A test may override each of them.
TEST_SETTINGS = {
    "ENV_FILE": os.devnull,  # a developer's .env is none of the tests' business
    "WEB_CONCURRENCY": "1",  # quick to start; state per process is not spread over several
    "LOG_LEVEL": "INFO",
    "RATE_LIMIT_PER_MINUTE": "1000000",  # tests share one address
    "CIRCUIT_BREAKER_TIMEOUT_SECONDS": "1",  # a fault of one test must not outlive it for long
}


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on; held together, so that they differ."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in sockets]
    finally:
        for sock in sockets:
            sock.close()


def clean_environment(**settings: str) -> dict[str, str]:
    """Return the environment of a started process: what a program needs, and `settings`."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "COVERAGE_PROCESS_START")
    return {name: os.environ[name] for name in kept if name in os.environ} | settings


def as_user(name: str, secret: str = SECRET, **claims: Any) -> dict[str, str]:
    """Return the headers of a user with a token."""
    token = jwt.encode({"sub": name, "exp": time.time() + 3600} | claims, secret, "HS256")
    return {"Authorization": f"Bearer {token}"}


class Stack:
    """The three processes. Not thread-safe, but any thread may send requests to them.

    `settings` are settings of `config.py` by name; values are turned into text, None unsets one
    of the test settings. `bff`, `users` and `tmdb` are the base URLs without a slash at the end
    (`tmdb` without `/3`). As a context manager it starts and ends them.
    """

    def __init__(self, directory: Path, **settings: Any) -> None:
        self.directory = directory
        ports = dict(zip(NAMES, free_ports(len(NAMES)), strict=True))
        self.bff, self.users, self.tmdb = (
            f"http://127.0.0.1:{ports[name]}" for name in ("bff", "users", "tmdb")
        )
        own = TEST_SETTINGS | {
            "PORT": ports["bff"],
            "USER_SERVICE_PORT": ports["users"],
            "TMDB_STUB_PORT": ports["tmdb"],
            "USER_SERVICE_URL": self.users,
            "TMDB_BASE_URL": f"{self.tmdb}/3",
            "DATABASE_URL": f"sqlite:///{directory / 'users.sqlite'}",
            "CACHE_DIR": directory / "cache",
            "PROMETHEUS_MULTIPROC_DIR": directory / "metrics",
        }
        self.settings = {
            name: str(value) for name, value in (own | settings).items() if value is not None
        }
        self.servers = {
            name: Server(
                name,
                app,
                conf,
                ports[name],
                directory / f"{name}.log",
                # Not on ::1 as well, where nobody has looked whether the port is free.
                ["--bind", f"127.0.0.1:{ports[name]}"],
            )
            for name, app, conf in (
                ("users", "user_stub.wsgi:app", "user_stub/gunicorn_conf.py"),
                ("tmdb", "tmdb_stub.wsgi:app", "tmdb_stub/gunicorn_conf.py"),
                ("bff", "wsgi:app", "gunicorn.conf.py"),
            )
        }
        # One session for all calls to the BFF; no proxy, .netrc or cookie of the developer.
        self.http = requests.Session()
        self.http.trust_env = False
        # Not kept alive: an idle connection delays a stop, and may end just as it is used again.
        self.http.headers["Connection"] = "close"
        self._was_faulty = False

    def __enter__(self) -> Stack:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def start(self, *names: str) -> None:
        """Start the named processes, or all, side by side; return when each answers /health."""
        adopt_orphans()
        if self not in LIVE:
            LIVE.append(self)
        chosen = [self.servers[name] for name in names or NAMES]
        for server in chosen:
            server.start(clean_environment(**self.settings))
        waiting = list(chosen)

        def all_answer() -> bool:
            dead = [server.name for server in chosen if server.exit_code() is not None]
            if dead:
                raise AssertionError(f"{', '.join(dead)} died at the start\n{self.logs()}")
            waiting[:] = [server for server in waiting if not server.answers()]
            return not waiting

        try:
            if not until(all_answer, START_WITHIN_S):
                names_left = ", ".join(server.name for server in waiting)
                raise AssertionError(f"{names_left}: no answer to /health\n{self.logs()}")
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """End all processes, the BFF first; harmless for those that are gone."""
        self.http.close()
        if self in LIVE:
            LIVE.remove(self)
        for name in reversed(NAMES):
            self.servers[name].end(END_WITHIN_S)

    def restart(self, name: str, **settings: Any) -> None:
        """End one process as an operator does, and start it again, perhaps with other settings."""
        self.servers[name].end(END_WITHIN_S)
        self.settings |= {key: str(value) for key, value in settings.items()}
        self.start(name)

    def kill(self, name: str) -> None:
        """Send SIGKILL to master and workers: a worker without its master would still answer."""
        server = self.servers[name]
        os.killpg(server.pid, signal.SIGKILL)
        self.wait(lambda: server.exit_code() is not None, f"{name} survived SIGKILL")
        server.end(0)

    def wait(self, condition: Callable[[], bool], otherwise: str, within_s: float = WAIT_S) -> None:
        """Poll `condition`; raise with the logs where it does not hold in time."""
        if not until(condition, within_s):
            raise AssertionError(f"{otherwise}\n{self.logs()}")

    def get(self, path: str, **options: Any) -> requests.Response:
        """GET `path` of the BFF; `options` are those of requests."""
        return self.call("GET", path, **options)

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send any request to the BFF."""
        return self.http.request(method, self.bff + path, **{"timeout": CALL_TIMEOUT_S} | options)

    def faults(self, upstream: str, **fault: Any) -> None:
        """Set a fault of `users` or `tmdb` (see the contract); without one, end it."""
        if fault:
            self._was_faulty = True
            self._control("PUT", upstream, "/__faults", json=fault)
        else:
            self._control("DELETE", upstream, "/__faults")

    def calls(self, upstream: str) -> dict[str, int]:
        """Return how often `users` or `tmdb` was called since the reset: `GET /path` -> number.

        Without what the BFF does by itself whenever it likes: /health and the stream of events.
        """
        counts: dict[str, int] = self._control("GET", upstream, "/__calls").json()
        by_itself = (" /health", " /events")
        return {call: count for call, count in counts.items() if not call.endswith(by_itself)}

    def forget_calls(self, upstream: str) -> None:
        """Reset the counts of `calls`."""
        self._control("DELETE", upstream, "/__calls")

    def reset(self) -> None:
        """Bring both stubs back to how they start: no fault, no counts, the sample data."""
        for upstream in ("users", "tmdb"):
            self.faults(upstream)
        if self._was_faulty:
            # An earlier test may have opened a circuit; an uncached call to each closes it.
            self.wait(self._bff_has_recovered, "the BFF did not recover from a fault")
            self._was_faulty = False
        self._control("POST", "users", "/reset")
        for upstream in ("users", "tmdb"):
            self.forget_calls(upstream)

    def _bff_has_recovered(self) -> bool:
        paths = ("/api/users/favorites", f"/api/movies/search?query={uuid.uuid4().hex}")
        return all(self.get(path).ok for path in paths)

    def logs(self, lines: int = 25) -> str:
        """Return the last lines of every process's log."""
        return "\n".join(
            f"----- log of {name} -----\n{server.tail(lines)}"
            for name, server in self.servers.items()
        )

    def _control(self, method: str, upstream: str, path: str, **options: Any) -> requests.Response:
        base = {"users": self.users, "tmdb": self.tmdb}[upstream]
        token = self.settings.get("USER_SERVICE_TOKEN", "")
        if upstream == "users" and token:
            options["headers"] = {"Authorization": f"Bearer {token}"}
        response = self.http.request(method, base + path, timeout=CALL_TIMEOUT_S, **options)
        if not response.ok:
            raise AssertionError(f"{method} {base}{path}: {response.status_code} {response.text}")
        return response


# Those that run, whose logs stand in the report of a failed test.
LIVE: list[Stack] = []
