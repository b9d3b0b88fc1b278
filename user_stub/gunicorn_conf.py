"""gunicorn's settings for the user service."""

import os
from typing import Any

from config import LOOPBACK, UserServiceConfig, hosts
from log_format import RefusalFilter

_config = UserServiceConfig.from_env()

# Without a token anybody who reaches the port may read and write everything, so it is this
# machine's only, whatever BIND says; `-b` on the command line says otherwise.
bind = [f"{host}:{_config.port}" for host in hosts(_config.bind if _config.token else LOOPBACK)]
loglevel = _config.log_level.lower()
proc_name = "user-service"
worker_class = "gthread"
# One worker by default, so that `/__calls` and `/__faults` concern the whole service; the
# database work is short. Several workers are right too (`--workers`), each with its own counts.
workers = 1
# Held calls (`/__faults` with hang) take a thread each, and so do event streams: at most 32 of
# them (`user_stub/events.py`), so that as many threads are left for calls.
threads = 64
# Longer than a caller's pool keeps an idle connection, so that the caller closes first.
keepalive = 75
# Shorter than a platform's kill. A worker's part of it (see post_fork) is longer than the longest
# call, which is the wait for a locked database.
graceful_timeout = 7
control_socket_disable = True


def on_starting(server: Any) -> None:
    """Keep what a client sent out of gunicorn's own lines."""
    for handler in server.log.error_log.handlers:
        handler.addFilter(RefusalFilter())


def post_fork(_server: Any, worker: Any) -> None:
    """Have a worker give up on idle connections before the master, which counts from earlier."""
    worker.cfg.set("graceful_timeout", graceful_timeout - 3)


def post_worker_init(worker: Any) -> None:
    """Let event streams end when the worker is told to, or is without its master."""
    hub = worker.wsgi.extensions["store"].hub
    hub.stopping = lambda: not worker.alive or worker.ppid != os.getppid()


def worker_exit(_server: Any, worker: Any) -> None:
    """Close what the application opened; a worker that could not start has opened nothing."""
    store = getattr(getattr(worker, "wsgi", None), "extensions", {}).get("store")
    if store is not None:
        store.close()
