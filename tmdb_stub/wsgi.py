"""The WSGI entry of the TMDB stub: `gunicorn -c tmdb_stub/gunicorn_conf.py tmdb_stub.wsgi:app`."""

from __future__ import annotations

from config import TmdbStubConfig
from tmdb_stub import create_app

app = create_app(fault_profile=TmdbStubConfig.from_env().fault_profile)
app.extensions["tmdb_stub"].warm()
