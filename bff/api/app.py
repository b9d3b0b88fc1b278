"""Flask with the two overrides that this service has a use for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask, Request, Response
from flask.sessions import NullSession, SessionInterface, SessionMixin


class _NoSession(SessionInterface):
    """No session of Flask's: nothing is kept for a caller between requests."""

    _none = NullSession()

    def open_session(self, app: Flask, request: Request) -> SessionMixin:
        """Return the session that can hold nothing; shared, since it is always the same."""
        return self._none

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Keep nothing."""


class App(Flask):
    """Flask for views that are all synchronous, without a session."""

    session_interface = _NoSession()

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function: asking each one, seven times a request, costs 5 % of a warm page."""
        return func
