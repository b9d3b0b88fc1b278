"""A small app with faults installed; `app` is what gunicorn serves."""

from __future__ import annotations

import threading
from typing import Any

from flask import Flask, Response, request
from flask.testing import FlaskClient

import stub_faults


class Host:
    """A Flask app under test; `served` counts the calls that reached a view."""

    def __init__(self, **settings: Any) -> None:
        self.app = Flask("host")
        self.served = 0
        self._lock = threading.Lock()
        for path in ("/health", "/3/movie/popular", "/favorites"):
            self.app.add_url_rule(path, path, self._view, methods=["GET", "POST"])
        self.app.add_url_rule("/events", "events", self._events)
        stub_faults.install(self.app, **settings)

    @property
    def client(self) -> FlaskClient:
        """A client of its own, so that threads do not share one."""
        return self.app.test_client()

    def set_fault(self, **fault: Any) -> None:
        """PUT a fault that must be accepted."""
        answer = self.client.put("/__faults", json=fault)
        assert answer.status_code == 200, answer.text

    def _view(self) -> dict[str, Any]:
        with self._lock:
            self.served += 1
        return {"path": request.path, "filling": "x" * 100}

    def _events(self) -> Response:
        return Response(iter(["data: 1\n\n", "data: 2\n\n"]), mimetype="text/event-stream")


app = Host(base="/3").app
