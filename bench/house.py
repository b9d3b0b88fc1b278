"""Everything that the benchmark runs: the stubs, the BFF under each server, and the peers."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.inputs import SECRET, seed
from bench.measure import Memory, children, cpu_s, memory, tree
from bench.replay import Replay
from scripts.processes import Server, until
from tests.e2e.stack import Stack, clean_environment, free_ports

PEERS = Path(__file__).with_name("peers")
# What differs from the defaults, and why. `Stack` sets the rest for tests; None unsets it.
SHIPPED: dict[str, Any] = {
    "WEB_CONCURRENCY": None,
    "CIRCUIT_BREAKER_TIMEOUT_SECONDS": None,
    "PROMETHEUS_MULTIPROC_DIR": None,
    "RATE_LIMIT_PER_MINUTE": 1_000_000,  # all load comes from one address
    "JWT_SECRET": SECRET,  # without a key no token is accepted
}
# TMDB's ceiling of 40 calls a second is not what the cold rows are about.
UNHURRIED = {"TMDB_CALLS_PER_SECOND": "10000", "TMDB_CONNECTIONS": "1000"}
UNHURRIED_SERVERS = ("cold", "direct", "recorder")


@dataclass(frozen=True)
class Served:
    """A running server that is measured."""

    process: Server
    base: str

    def cpu_s(self) -> float:
        """Return the processor time it has used, with all its workers."""
        return cpu_s(self.process.pid)

    def workers(self) -> list[int]:
        """Return its worker processes."""
        return children(self.process.pid) or [self.process.pid]

    def memory(self) -> Memory:
        """Return the memory of the largest worker."""
        return memory(pid for worker in self.workers() for pid in tree(worker))


class House:
    """The stubs, and servers by name, each started when it is first asked for.

    With `replay`, all but the servers named `direct` ask that in place of the stubs.
    """

    def __init__(self, directory: Path, stack: Stack, replay: Replay | None = None) -> None:
        self.directory, self.stack = directory, stack
        self._replay = replay
        self._served: dict[str, Served] = {}

    def server(self, name: str) -> Served:
        """Return a server: a peer or `tmdb-stub`, or one of these, `/`, and what serves it.

        `bare`; `bff`, the BFF; `cold`, `direct` and `recorder`, the BFF without TMDB's ceiling.
        """
        if name not in self._served:
            self._served[name] = self._start(name)
        return self._served[name]

    def upstream_calls(self) -> int:
        """Return how many calls all servers have made, without the streams of changes."""
        made = [*self.stack.calls("users").items(), *self.stack.calls("tmdb").items()]
        asked = sum(count for call, count in made if not call.endswith("/events"))
        return asked + (self._replay.replayed() if self._replay else 0)

    def end(self) -> None:
        """End what was started here."""
        for served in self._served.values():
            served.process.end(10)

    def _start(self, name: str) -> Served:
        if name == "tmdb-stub":
            stub = self.stack.servers["tmdb"]
            return Served(stub, f"http://127.0.0.1:{stub.port}")
        what, _, server = name.partition("/")
        port = free_ports(1)[0]
        folder = self.directory / name.replace("/", "-")
        folder.mkdir()
        environment = clean_environment(**self.stack.settings) | {
            "PORT": str(port),
            "CACHE_FILE": str(folder / "tmdb-cache.sqlite"),  # limits stand beside it
            **(self._replay.settings if self._replay and what != "direct" else {}),
            **(UNHURRIED if what in UNHURRIED_SERVERS else {}),
        }
        target = "bench.bare:app" if what == "bare" else "wsgi:app"
        options = ["--bind", f"127.0.0.1:{port}"]
        process = Server(name, target, "gunicorn.conf.py", port, folder / "log", options)
        if server == "granian":
            process.command = [sys.executable, "-m", "granian_server"]
            process.command += ["--address", "127.0.0.1", target]
        elif what == "fastapi":
            process.command = [sys.executable, "-m", "uvicorn", "--no-access-log"]
            process.command += ["--port", str(port), "--workers", str(_workers())]
            process.command += ["--app-dir", str(PEERS), "fastapi_feed:app"]
        elif what.startswith("fastify"):
            process.command = [_node(), str(PEERS / "fastify_feed.mjs")]
            environment |= {"WORKERS": str(_workers()), "CACHED": str(int(what != "fastify"))}
        process.start(environment)
        if not until(process.answers, 30):
            process.end(2)
            raise SystemExit(f"{name} did not start:\n{process.tail(30)}")
        return Served(process, f"http://127.0.0.1:{port}")


@contextlib.contextmanager
def house(directory: Path, users: int, *, replay: bool = False, **settings: Any) -> Iterator[House]:
    """Run the stubs, with libraries for so many users, and what replays their answers."""
    stack = Stack(directory, **SHIPPED | settings)
    with contextlib.ExitStack() as ending:
        ending.callback(stack.end)
        stack.start("users", "tmdb")
        seed(directory / "users.sqlite", users)
        replayed = Replay(directory / "replay", stack) if replay else None
        if replayed:
            ending.callback(replayed.end)
            replayed.start()
        built = House(directory, stack, replayed)
        ending.callback(built.end)
        yield built


def _workers() -> int:
    return max(2, min(os.cpu_count() or 1, 8))  # as config.py


def _node() -> str:
    program = shutil.which("node")
    if program is None or not (PEERS / "node_modules").is_dir():
        raise SystemExit("the Fastify peer needs Node 20 and: npm ci --prefix bench/peers")
    return program
