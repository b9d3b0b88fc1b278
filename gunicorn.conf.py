"""How gunicorn serves the BFF: stock gthread workers; every number comes from the settings."""

import math
import os
import stat
import sys
import tempfile
from pathlib import Path

from gunicorn.glogging import Logger

from config import Config, ConfigError, hosts
from log_format import RefusalFilter, formatter

try:
    settings = Config.from_env()
except ConfigError as error:
    sys.exit(str(error))

memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else tempfile.gettempdir()  # noqa: S108
wsgi_app = "wsgi:app"
bind = [f"{host}:{settings.port}" for host in hosts(settings.bind)]
worker_class, workers, threads = "gthread", settings.workers, settings.threads
worker_tmp_dir = memory  # a heartbeat file on a disk can block its worker
keepalive = 75 if settings.trusted_proxy_hops else 5  # nginx closes first, after 60 s
graceful_timeout = math.ceil(settings.page_deadline_s) + 5  # below 30 s, when platforms kill
limit_request_line = limit_request_field_size = 8190  # the most that gunicorn takes
forwarded_allow_ips = forwarder_headers = ""  # only the app knows how many proxies are trusted
control_socket_disable = True  # a way in that nobody asked for
loglevel = settings.log_level.lower()


class logger_class(Logger):  # noqa: N801 - the setting's name
    """gunicorn's own lines look like the app's."""

    def setup(self, cfg):  # noqa: D102
        super().setup(cfg)
        for handler in self.error_log.handlers:
            handler.setFormatter(formatter(settings.log_format, sys.stderr))
            handler.addFilter(RefusalFilter())


def when_ready(_server):
    """Give the workers an empty directory for their metrics, which nobody else can write to."""
    name = f"bff-metrics-{os.getuid()}-{settings.bind}-{settings.port}"
    place = Path(os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", f"{memory}/{name}"))
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = place.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        sys.exit(f"{place}: must be a directory of this user's with mode 0700")
    for file in place.glob("*.db"):
        file.unlink()


def post_fork(_server, worker):
    """Have a worker give up on idle connections before the master, which counts from earlier."""
    worker.cfg.set("graceful_timeout", graceful_timeout - 3)


def worker_exit(_server, worker):
    """Close the app's parts, before the interpreter waits for its threads."""
    if bff := getattr(getattr(worker, "wsgi", None), "extensions", {}).get("bff"):
        bff.close()


def child_exit(_server, worker):
    """Forget the gauges of a worker that is gone; its counts stay."""
    from prometheus_client import multiprocess  # not before its directory is known

    multiprocess.mark_process_dead(worker.pid)
