"""The user service: favourites, watchlist and watch history per user, kept in a database.

An app of its own: it shares nothing with the BFF but the settings module.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import Flask, Response

from user_stub import api, context, faults, problems
from user_stub.docs import register_docs
from user_stub.store import Store

if TYPE_CHECKING:
    from config import UserServiceConfig

__all__ = ["create_app"]

LARGEST_BODY = 64 * 1024


class App(Flask):
    """Flask without a media type where there is no body."""

    def make_default_options_response(self) -> Response:
        """Answer OPTIONS: `Allow` says it all, and there is no content."""
        response = super().make_default_options_response()
        response.status_code = HTTPStatus.NO_CONTENT
        del response.headers["Content-Type"]
        return response


def create_app(config: UserServiceConfig, *, busy_timeout_s: float = 3.0) -> Flask:
    """Build the service. Each worker process builds its own, after the fork.

    `busy_timeout_s` bounds the wait for a locked database, after which a call is answered 503.
    A database that is unreachable now does not stop the start: calls are answered 503 until it is
    there.
    """
    app = App("user_stub", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = LARGEST_BODY
    app.json.sort_keys = False  # type: ignore[attr-defined]
    store = Store(config.database_url, busy_timeout_s=busy_timeout_s)
    app.extensions["store"] = store
    context.install(app, token=config.token, largest_body=LARGEST_BODY)
    problems.install(app)
    document = register_docs(app, with_token=bool(config.token))
    document.register_blueprint(api.health)
    document.register_blueprint(api.events)
    document.register_blueprint(api.lists)
    stream_faults = faults.install(app, config.fault_profile, config.token)
    stream_faults.end_streams_with(store.hub.cut)
    app.extensions["stream_faults"] = stream_faults
    store.try_prepare()
    return app
