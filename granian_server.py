"""Serve the BFF with Granian, a server written in Rust: `python -m granian_server`.

The other choice beside gunicorn (`SERVER=granian`), with the same settings. What it has not of
`gunicorn.conf.py` and `gunicorn_worker.py` stands in `docs/capacity.md`.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib import import_module
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.mp import MPServer

from config import Config, ConfigError

# As in gunicorn.conf.py.
BACKLOG = 2048
# A request line and its headers have to fit into it; the default would take half a megabyte.
MOST_HEAD_BYTES = 64 * 1024
METRICS_DIR = "PROMETHEUS_MULTIPROC_DIR"


def server(settings: Config, target: str, address: str) -> MPServer:
    """Return a server of the WSGI application `target` (`module:name`) that is not started."""
    return MPServer(
        target,
        address=address,
        port=settings.port,
        interface=Interfaces.WSGI,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(max_buffer_size=MOST_HEAD_BYTES),
        workers=settings.workers,
        blocking_threads=settings.threads,
        # A thread costs little while it waits; to end and start them costs the next burst.
        blocking_threads_idle_timeout=600,
        backlog=BACKLOG,
        # How many requests a worker takes in. What is above the threads waits in it.
        backpressure=BACKLOG,
        respawn_failed_workers=True,
        # Page deadline < this < the time after which platforms kill.
        workers_kill_timeout=math.ceil(settings.page_deadline_s) + 5,
        log_level=LogLevels(settings.log_level.lower()),
    )


def load(target: str) -> Callable[..., Any]:
    """Import the application; runs in each worker, after the fork."""
    module, _, name = target.partition(":")
    app: Callable[..., Any] = getattr(import_module(module), name)
    close = getattr(getattr(app, "extensions", {}).get("bff"), "close", None)
    if callable(close):
        # Before the interpreter waits for the application's threads.
        Finalize(None, close, exitpriority=10)
    return app


@contextlib.contextmanager
def metrics_directory(port: int) -> Iterator[None]:
    """Give the workers an empty directory for their metrics, so that /metrics can add them up."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else tempfile.gettempdir()  # noqa: S108
    own = Path(memory) / f"bff-metrics-{os.getuid()}-granian-{port}"
    directory = Path(os.environ.setdefault(METRICS_DIR, str(own)))
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    _empty(directory)
    try:
        yield
    finally:
        _empty(directory)
        with contextlib.suppress(OSError):  # somebody else's files are in it
            directory.rmdir()


def _empty(directory: Path) -> None:
    for file in directory.glob("*.db"):
        file.unlink(missing_ok=True)


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(description="Serve the BFF with Granian.")
    parser.add_argument("--address", default="0.0.0.0", help="where to listen")  # noqa: S104
    parser.add_argument("target", nargs="?", default="wsgi:app", help="module:name")
    options = parser.parse_args()
    try:
        settings = Config.from_env()
    except ConfigError as error:
        sys.exit(str(error))
    # A worker that is loading has its parent's handlers, which would swallow the order to stop.
    os.register_at_fork(after_in_child=lambda: signal.signal(signal.SIGTERM, signal.SIG_DFL))
    with metrics_directory(settings.port):
        server(settings, options.target, options.address).serve(target_loader=load)


if __name__ == "__main__":
    main()
