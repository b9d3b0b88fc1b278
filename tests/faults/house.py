"""The whole BFF in this process, over real sockets to upstreams that can be made to fail."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

import orjson
import requests
from flask import Flask
from werkzeug.test import TestResponse

import bff
import tmdb_stub
import user_stub
from bff.api.services import Services
from bff.errors import Saturated
from bff.upstream.breaker import BreakerPolicy
from bff.upstream.guard import Guard
from bff.upstream.session import DeadlineAdapter
from config import Config, UserServiceConfig
from tests.faults.server import Upstream
from tests.faults.table import OPEN_S, Case, Page

SHORT_TIMEOUT_S = 0.5  # of the calls to an upstream that fails by being slow
SETTINGS = {
    "ENV_FILE": os.devnull,
    "USER_SERVICE_EVENTS": "false",  # no stream of a service that is played in the process
    # Long enough that a busy machine changes no answer.
    **dict.fromkeys(("PAGE_DEADLINE_MS", "TMDB_TIMEOUT_MS", "USER_SERVICE_TIMEOUT_MS"), "20000"),
    "CIRCUIT_BREAKER_TIMEOUT_SECONDS": str(OPEN_S),
    # Above the failures that a single page can bring about (three recommendations, twice each).
    "CIRCUIT_BREAKER_FAILURE_THRESHOLD": "10",
    "TMDB_CALLS_PER_SECOND": "10000",
    "RATE_LIMIT_ENABLED": "false",
    "LOG_LEVEL": "CRITICAL",
}


class _Refusing(DeadlineAdapter):
    """Sends calls of one path to a port on which nobody listens."""

    def __init__(self, path: str) -> None:
        super().__init__(8)
        self._path = path
        self._nobody = socket.socket()
        self._nobody.bind(("127.0.0.1", 0))  # held and not listened on: the kernel refuses

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:  # type: ignore[override]
        if fnmatchcase(urlsplit(str(request.url)).path, self._path):
            request.url = f"http://127.0.0.1:{self._nobody.getsockname()[1]}/"
        return super().send(request, **options)

    def close(self) -> None:
        self._nobody.close()
        super().close()


@dataclass
class Running:
    """One app, and what it is made of."""

    app: Flask
    services: Services

    @property
    def guards(self) -> dict[str, Guard]:
        """The ways out, by upstream."""
        clients: Any = self.services
        return {"tmdb": clients.tmdb._guard, "users": clients.users._guard}

    def later(self, age_s: float) -> None:
        """Have the cache of TMDB's answers live so much later."""
        client: Any = self.services.tmdb
        client._cache.clock = lambda: time.time() + age_s

    def get(self, path: str) -> TestResponse:
        """Ask for a page."""
        return self.app.test_client(use_cookies=False).get(path)


class House:
    """The two upstreams, and apps in front of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._users_app = user_stub.create_app(
            UserServiceConfig(3001, "", f"sqlite:///{folder / 'users.sqlite'}", "", "CRITICAL")
        )
        self._fill()
        self.tmdb, self.users = Upstream(tmdb_stub.create_app()), Upstream(self._users_app)
        self.upstreams = {"tmdb": self.tmdb, "users": self.users}
        self._healthy: dict[str, bytes] = {}

    def _fill(self) -> None:
        """Give the demo user something in each collection, so that each field can be missed."""
        client = self._users_app.test_client()
        film = {"title": "Fight Club", "genres": [{"id": 18, "name": "Drama"}]}
        for path, progress in (("/history/550", 1), ("/history/603", 0.4)):
            assert client.put(path, json={**film, "progress": progress}).status_code < 300
        assert client.put("/watchlist/550", json=film).status_code < 300

    @contextmanager
    def app(self, cache: str, age_s: float = 0, **settings: str) -> Iterator[Running]:
        """Start an app with the answers of the folder `cache`, `age_s` after they were kept."""
        own = {
            "TMDB_BASE_URL": f"{self.tmdb.url}/3",
            "USER_SERVICE_URL": self.users.url,
            "CACHE_DIR": str(self._folder / cache),
        }
        with mock.patch.dict(os.environ, {**SETTINGS, **own, **settings}, clear=True):
            config = Config.from_env()
        usual = list(logging.getLogger("bff").handlers)
        app = bff.create_app(config)
        logging.getLogger("bff").handlers[:] = usual
        running = Running(app, app.extensions["bff"])
        running.later(age_s)
        try:
            yield running
        finally:
            for upstream in self.upstreams.values():
                upstream.heal()
            running.services.close()

    def healthy(self, page: Page) -> bytes:
        """Return the body of a page when nothing fails; its answers stay in the page's cache."""
        if page.name not in self._healthy:
            with self.app(page.name) as running:
                response = running.get(page.url)
            assert response.status_code == 200
            parts = orjson.loads(response.data).get("sections", {})
            assert not any(part["reason"] for part in parts.values())
            self._healthy[page.name] = response.data
        return self._healthy[page.name]

    def healthy_but(self, page: Page, upstream: str, path: str, body: bytes) -> Any:
        """Return a page when nothing fails, but one call is answered with `body`."""
        with self.app(f"{page.name} without {path.replace('/', '-')}") as running:
            self.upstreams[upstream].says(path, body)
            response = running.get(page.url)
        assert response.status_code == 200
        return orjson.loads(response.data)

    @contextmanager
    def case(self, case: Case, age_s: float) -> Iterator[Running]:
        """Bring a case about: old answers in the cache, and the fault."""
        self.healthy(case.page)
        call, fault, settings = case.call, case.fault, {}
        if fault.is_slow:
            name = {"tmdb": "TMDB_TIMEOUT_MS", "users": "USER_SERVICE_TIMEOUT_MS"}[call.upstream]
            settings = {name: str(int(SHORT_TIMEOUT_S * 1000))}
        cache = str(case)
        if case.cached:
            shutil.copytree(self._folder / case.page.name, self._folder / cache)
        with self.app(cache, age_s, **settings) as running:
            upstream, guard = self.upstreams[call.upstream], running.guards[call.upstream]
            if fault.name == "refused":
                guard.session.mount(upstream.url, _Refusing(call.path))
            elif fault.name == "open":
                guard.breakers._of(call.circuit, BreakerPolicy())._circuit.open()
            elif fault.name == "full":
                with suppress(Saturated):
                    while True:
                        running.services.fan_out.bulkheads[call.upstream].take()
            else:
                upstream.fail(call.path, fault.name, call.ahead)
            yield running

    def close(self) -> None:
        """End everything."""
        for upstream in self.upstreams.values():
            upstream.close()
        self._users_app.extensions["store"].close()
