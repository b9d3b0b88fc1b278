"""Flask without what this service has no use for, where each request would pay for it."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from http import HTTPStatus
from typing import Any

from flask import Flask, Request, Response
from flask.sessions import NullSession, SessionInterface, SessionMixin
from werkzeug.exceptions import BadHost
from werkzeug.routing import MapAdapter
from werkzeug.wsgi import get_host


class _NoSession(SessionInterface):
    """No session of Flask's: nothing is kept for a caller between requests."""

    _none = NullSession()

    def open_session(self, app: Flask, request: Request) -> SessionMixin:
        """Return the session that can hold nothing; shared, since it is always the same."""
        return self._none

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Keep nothing."""


class App(Flask):
    """Flask for views that are all synchronous, without a media type where there is no body."""

    session_interface = _NoSession()

    def make_default_options_response(self) -> Response:
        """Answer OPTIONS, a preflight among them: `Allow` says it all, and there is no content."""
        response = super().make_default_options_response()
        response.status_code = HTTPStatus.NO_CONTENT
        del response.headers["Content-Type"]
        return response

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Return what finds the route of a request.

        Flask looks at the host twice and encodes it each time, for rules by host and subdomain
        that this app has not: 6 % of a warm page. What is unusual is left to it.
        """
        if request is None or "HTTP_UPGRADE" in request.environ or self.config["TRUSTED_HOSTS"]:
            return super().create_url_adapter(request)
        request.host = host = get_host(request.environ)
        return MapAdapter(
            self.url_map,
            _encoded(host),
            request.root_path or "/",
            "",
            request.scheme,
            request.path if request.environ.get("PATH_INFO", "/") else "",
            request.method,
            request.query_string.decode(errors="replace"),
        )

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function: asking each one, seven times a request, costs 5 % of a warm page."""
        return func


@lru_cache(256)
def _encoded(host: str) -> str:
    """Return the host as it stands in an address; raise `BadHost` (400) where it cannot."""
    name, colon, port = host.lower().partition(":")
    try:
        return f"{name.encode('idna').decode()}{colon}{port}"
    except UnicodeError as error:
        raise BadHost from error
