"""The WSGI entry of the TMDB stub: `gunicorn -c tmdb_stub/gunicorn_conf.py tmdb_stub.wsgi:app`."""

from __future__ import annotations

import gc

from config import TmdbStubConfig
from tmdb_stub import create_app

app = create_app(fault_profile=TmdbStubConfig.from_env().fault_profile)
app.extensions["tmdb_stub"].warm()
# The catalogue lives as long as the process. Kept out of the collector, it costs no pauses.
gc.collect()
gc.freeze()
