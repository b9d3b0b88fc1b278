"""gunicorn's settings for the user service."""

import os
from typing import Any

from config import UserServiceConfig

_config = UserServiceConfig.from_env()

# Without a token anybody who reaches the port may read and write everything, so it is this
# machine's only; `-b` on the command line says otherwise.
bind = f"{'0.0.0.0' if _config.token else '127.0.0.1'}:{_config.port}"  # noqa: S104
loglevel = _config.log_level.lower()
accesslog = "-" if _config.log_level in ("DEBUG", "INFO") else None
# The request line as it came: the decoded path could forge a line of the log.
access_log_format = '"%(r)s" status=%(s)s duration_ms=%(M)s request_id=%({x-request-id}o)s'
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
# Longer than the longest call (the wait for a locked database), shorter than a platform's kill.
graceful_timeout = 10
control_socket_disable = True


def post_worker_init(worker: Any) -> None:
    """Let event streams end when the worker is told to, or is without its master."""
    streams = worker.wsgi.extensions["store"].streams
    streams.stopping = lambda: not worker.alive or worker.ppid != os.getppid()


def worker_exit(_server: Any, worker: Any) -> None:
    """Close what the application opened; a worker that could not start has opened nothing."""
    store = getattr(getattr(worker, "wsgi", None), "extensions", {}).get("store")
    if store is not None:
        store.close()
