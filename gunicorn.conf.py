"""How gunicorn serves the BFF: every number comes from the settings (`config.py`)."""

import contextlib
import ctypes
import math
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from config import Config, ConfigError
from gunicorn_worker import handover

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
M_ARENA_MAX = -8  # of malloc.h


def when_ready(server: Any) -> None:
    """Give the workers an empty directory for their metrics, so that /metrics can add them up.

    The address is in its name and is ours by now: two servers never share one, and what a
    killed server left is found and emptied.
    """
    if "GUNICORN_PID" in os.environ:
        return  # a new master (USR2) beside the old one, whose directory it has inherited
    address = re.sub(r"\W+", "-", str(server.LISTENERS[0]))
    own = Path(memory or tempfile.gettempdir()) / f"bff-metrics-{os.getuid()}-{address}"
    directory = Path(os.environ.setdefault(METRICS_DIR, str(own)))
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    empty(directory)


def empty(directory: Path) -> None:
    """Remove what prometheus_client wrote, and nothing else."""
    for file in directory.glob("*.db"):
        file.unlink(missing_ok=True)


def on_reload(server: Any) -> None:
    """Have the workers that are there serve until the new ones can."""
    handover.begin(server.cfg.workers)


def pre_fork(server: Any, worker: Any) -> None:
    """Choose the processor with the fewest workers, if there is one for each of them.

    Python runs one thread of a worker at a time. With two processors at hand, every short call
    of the system that a thread makes lets another one run on the other processor, and the first
    waits: docs/decisions/0016. Where there are more or fewer processors than workers, somebody
    else has decided how they are used.
    """
    if not (hasattr(os, "sched_getaffinity") and hasattr(worker, "processor")):
        return  # another system, or another class of workers (-k)
    free = sorted(os.sched_getaffinity(0))
    if len(free) == server.num_workers > 1:
        workers = server.WORKERS.values()  # after a reload, those that leave among them
        taken = [one.processor for one in workers if one.generation == worker.generation]
        worker.processor = min(free, key=taken.count)


def post_fork(_server: Any, worker: Any) -> None:
    """Keep to that processor; and let the threads of a worker share two heaps.

    glibc gives each thread a heap of its own, and what one thread has freed is not there for the
    others: 8 MB of a worker. As one thread runs at a time, none waits for a heap.
    """
    processor = getattr(worker, "processor", None)
    if processor is not None:
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, {processor})
    with contextlib.suppress(AttributeError):  # other C libraries have none
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 2)


def child_exit(_server: Any, worker: Any) -> None:
    """Forget the gauges of a worker that is gone; its counts stay."""
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(worker.pid)


def on_exit(server: Any) -> None:
    """Remove the metrics, unless a new master (USR2) goes on with them."""
    if METRICS_DIR in os.environ and not server.reexec_pid:
        directory = Path(os.environ[METRICS_DIR])
        empty(directory)
        with contextlib.suppress(OSError):  # somebody else's files are in it
            directory.rmdir()


def worker_exit(_server: Any, worker: Any) -> None:
    """Close what the application opened, before the interpreter waits for its threads."""
    app = getattr(worker, "application", None)
    close = getattr(getattr(app, "extensions", {}).get("bff"), "close", None)
    if callable(close):
        close()
