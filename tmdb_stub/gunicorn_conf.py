"""How gunicorn runs the TMDB stub.

One worker, so that call counts and faults are whole; many threads, so that a call that hangs on
purpose does not hold up the others.
"""

from __future__ import annotations

import sys

from config import ConfigError, TmdbStubConfig, hosts

try:
    _config = TmdbStubConfig.from_env()
except ConfigError as error:
    sys.exit(str(error))

bind = [f"{host}:{_config.port}" for host in hosts(_config.bind)]
workers = 1
worker_class = "gthread"
threads = 96
# Longer than a client's pool keeps an idle connection, so that the client closes first: a
# connection that the server closes just as it is used again looks like a fault.
keepalive = 75
graceful_timeout = 5
loglevel = _config.log_level.lower()
proc_name = "tmdb-stub"
# Since gunicorn 25 there is a control socket in the home directory unless it is switched off.
control_socket_disable = True
