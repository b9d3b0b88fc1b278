"""gunicorn's settings for the user service."""

from config import UserServiceConfig

bind = f"0.0.0.0:{UserServiceConfig.from_env().port}"
worker_class = "gthread"
# One worker by default, so that `/__calls` and `/__faults` concern the whole service; the
# database work is short. Several workers are right too (`--workers`), each with its own counts.
workers = 1
# Held calls (`/__faults` with hang) take a thread each, and event streams will.
threads = 64
# Longer than a caller's pool keeps an idle connection, so that the caller closes first.
keepalive = 75
# Longer than the longest call (the wait for a locked database), shorter than a platform's kill.
graceful_timeout = 10
control_socket_disable = True
