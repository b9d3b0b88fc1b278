"""gunicorn's settings for the user service."""

import os
from typing import Any

from config import LOOPBACK, UserServiceConfig, hosts
from log_format import RefusalFilter

_config = UserServiceConfig.from_env()

# Without a token, anyone who reaches the port can read and write everything, so the service binds
# to this machine only, whatever BIND says; override it with `-b`.
bind = [f"{host}:{_config.port}" for host in hosts(_config.bind if _config.token else LOOPBACK)]
loglevel = _config.log_level.lower()
accesslog = "-" if _config.log_level in ("DEBUG", "INFO") else None
# The raw request line: a decoded path could contain a newline and forge a log line.
access_log_format = '"%(r)s" status=%(s)s duration_ms=%(M)s request_id=%({x-request-id}o)s'
proc_name = "user-service"
worker_class = "gthread"
# One worker by default, so that `/__calls` and `/__faults` apply to the whole service. With more
# (`--workers`), each has its own counts and faults.
workers = 1
# Each event stream holds a thread; there are at most 32 (`user_stub/events.py`), so that as many
# are left for other calls. So does each call that an injected fault hangs.
threads = 64
# Longer than clients keep idle connections, so that the client closes first.
keepalive = 75
# Shorter than platforms wait. A worker's part of it (see post_fork) is longer than the longest
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
    """End the event streams when the worker stops or has lost its master."""
    streams = worker.wsgi.extensions["store"].streams
    streams.stopping = lambda: not worker.alive or worker.ppid != os.getppid()


def worker_exit(_server: Any, worker: Any) -> None:
    """Close the store; a worker that failed to start has none."""
    store = getattr(getattr(worker, "wsgi", None), "extensions", {}).get("store")
    if store is not None:
        store.close()
