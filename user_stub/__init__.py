"""The user service: favourites, watchlist and watch history per user, kept in a database.

A service of its own: it shares only the settings module with the BFF.
"""

from __future__ import annotations

import contextlib

from flask import Flask
from sqlalchemy.exc import SQLAlchemyError

import stub_faults
from config import UserServiceConfig
from user_stub import api, context, problems
from user_stub.store import Store

MAX_BODY_BYTES = 64 * 1024


def create_app(config: UserServiceConfig, *, busy_timeout_s: float = 3.0) -> Flask:
    """Build the app; each worker process builds its own, after the fork.

    A call that waits for a locked database for longer than `busy_timeout_s` is answered 503. An
    unreachable database does not stop the start: calls are answered 503 until it is there.
    """
    app = Flask("user_stub", static_folder=None)
    app.config.update(MAX_CONTENT_LENGTH=MAX_BODY_BYTES, SERVICE_TOKEN=config.token)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.before_request(context.begin)
    app.after_request(context.end)
    problems.install(app)
    api.install(app)
    store = app.extensions["store"] = Store(config.database_url, busy_timeout_s=busy_timeout_s)
    faults = stub_faults.install(app, profile=config.fault_profile, control_token=config.token)
    # The BFF serves lists from memory while its stream is alive; without it, it meets the fault.
    faults.on_fault = lambda _fault: store.streams.cut()
    with contextlib.suppress(SQLAlchemyError):  # a later call prepares the database
        store.prepare()
    return app
