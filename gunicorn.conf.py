"""How gunicorn serves the BFF: every number comes from the settings (`config.py`)."""

import math
import os
import shutil
import sys
import tempfile
from typing import Any

from config import Config, ConfigError

try:
    settings = Config.from_env()
except ConfigError as error:
    sys.exit(str(error))

wsgi_app = "wsgi:app"
bind = f"0.0.0.0:{settings.port}"
worker_class = "gunicorn_worker.BffWorker"
workers = settings.workers
threads = settings.threads
# Threads, pools and sockets that are built before a fork do not survive it.
preload_app = False

backlog = 2048
# nginx keeps idle connections to its upstreams for 60 s. The side that sends requests must
# be the one that closes, or a request meets a connection that is just being closed.
keepalive = 75 if settings.trusted_proxy_hops else 5

# Socket timeout <= page deadline < graceful timeout < 30 s, which is when platforms kill.
# The deadline is at most 20 s, see PAGE_DEADLINE_MS.
graceful_timeout = math.ceil(settings.page_deadline_s) + 5
# Not a limit for a request: with threads, only a worker whose main loop hangs is killed.
timeout = 30

# A bound for what leaks slowly. The jitter keeps the workers from restarting together.
max_requests = 100_000
max_requests_jitter = 20_000

# The heartbeat file of a worker on a disk can block it; memory cannot.
memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108
worker_tmp_dir = memory

# A longer request is refused with 414 or 431, see gunicorn_worker.py. 8190 is the most that
# gunicorn can do for a line; a token in Authorization needs about as much in a header.
limit_request_line = 8190
limit_request_fields = 100
limit_request_field_size = 8190

# gunicorn believes no forwarded header. How many proxies are trusted says TRUSTED_PROXY_HOPS,
# and the application alone acts on it.
forwarded_allow_ips = ""
forwarder_headers = ""

# The application logs each request itself, with what only it knows.
accesslog = None
errorlog = "-"
loglevel = settings.log_level.lower()
# Since gunicorn 25 a control socket in the home directory is on by default: a way in that
# nobody asked for, and two servers of one user would share it.
control_socket_disable = True


METRICS_DIR = "PROMETHEUS_MULTIPROC_DIR"


def on_starting(server: Any) -> None:
    """Give the workers a directory for their metrics, so that /metrics can add them up."""
    if METRICS_DIR not in os.environ:
        os.environ[METRICS_DIR] = tempfile.mkdtemp(prefix="bff-metrics-", dir=memory)
        server.own_metrics_dir = os.environ[METRICS_DIR]


def child_exit(_server: Any, worker: Any) -> None:
    """Forget the gauges of a worker that is gone; its counts stay."""
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(worker.pid)


def on_exit(server: Any) -> None:
    """Remove the directory, unless a new master (USR2) has taken over the workers' place."""
    directory = getattr(server, "own_metrics_dir", None)
    if directory and not server.reexec_pid:
        shutil.rmtree(directory, ignore_errors=True)


def worker_exit(_server: Any, worker: Any) -> None:
    """Close what the application opened, before the interpreter waits for its threads."""
    app = getattr(worker, "application", None)
    close = getattr(getattr(app, "extensions", {}).get("bff"), "close", None)
    if callable(close):
        close()
