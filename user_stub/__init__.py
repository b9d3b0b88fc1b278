"""The user service: favourites, watchlist and watch history per user, kept in a database.

An app of its own: it shares nothing with the BFF but the settings module.
"""

from __future__ import annotations

import contextlib

from flask import Flask
from sqlalchemy.exc import SQLAlchemyError

import stub_faults
from config import UserServiceConfig
from user_stub import api, context, problems
from user_stub.store import Store

LARGEST_BODY = 64 * 1024


def create_app(config: UserServiceConfig, *, busy_timeout_s: float = 3.0) -> Flask:
    """Build the service. Each worker process builds its own, after the fork.

    `busy_timeout_s` bounds the wait for a locked database, after which a call is answered 503.
    A database that is unreachable now does not stop the start: calls are answered 503 until it is
    there.
    """
    app = Flask("user_stub", static_folder=None)
    app.config.update(MAX_CONTENT_LENGTH=LARGEST_BODY, SERVICE_TOKEN=config.token)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.before_request(context.begin)
    app.after_request(context.end)
    problems.install(app)
    api.install(app)
    store = app.extensions["store"] = Store(config.database_url, busy_timeout_s=busy_timeout_s)
    faults = stub_faults.install(app, profile=config.fault_profile, control_token=config.token)
    # Whoever follows a stream answers from memory while it is alive, and would not meet the fault.
    faults.on_fault = lambda _fault: store.streams.cut()
    with contextlib.suppress(SQLAlchemyError):  # the first call that finds the database does it
        store.prepare()
    return app
