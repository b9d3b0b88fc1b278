"""A fresh app for each test; upstreams in the process, no socket."""

from __future__ import annotations

import logging
import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

# The process that hands the tests out to others reads this file as well, and they wait for it:
# what takes time to import is imported where it is used.
if TYPE_CHECKING:
    import responses
    from flask import Flask

    from config import Config
    from tests.api.openapi import ContractClient, Document
    from tests.api.upstreams import Answer, Upstream

from bff.observability.logs import RequestFilter
from log_format import TextFormatter

TMDB, USERS = "http://tmdb.test/3", "http://users.test"
TMDB_TOKEN = "planted-tmdb-token-eyJhbGciOi"
TMDB_KEY = "planted-tmdb-key-0123456789abcdef"
USER_TOKEN = "planted-user-service-token"
JWT_SECRET = "planted-jwt-secret-of-more-than-the-64-bytes-that-the-longest-algorithm-needs"
SECRETS = (TMDB_TOKEN, TMDB_KEY, USER_TOKEN, JWT_SECRET)
SETTINGS = {
    "ENV_FILE": os.devnull,
    "TMDB_BASE_URL": TMDB,
    "TMDB_READ_TOKEN": TMDB_TOKEN,
    "USER_SERVICE_URL": USERS,
    "USER_SERVICE_TOKEN": USER_TOKEN,
    "JWT_SECRET": JWT_SECRET,
    "RATE_LIMIT_ENABLED": "false",
    "LOG_LEVEL": "DEBUG",
    "LOG_FORMAT": "text",
    # The stream of changes needs a socket; what it changes has tests of its own.
    "USER_SERVICE_EVENTS": "false",
    "POOL_THREADS": "16",
    # The pace of calls has tests of its own.
    "TMDB_CALLS_PER_SECOND": "10000",
    # Long enough that a busy machine changes no result; what waits for it sets it lower.
    **dict.fromkeys(("PAGE_DEADLINE_MS", "TMDB_TIMEOUT_MS", "USER_SERVICE_TIMEOUT_MS"), "20000"),
}
MakeClient = Callable[..., "ContractClient"]
_documents: dict[str, Document] = {}
_tmdb_answers: dict[Any, Answer] = {}  # the catalogue never changes


@cache
def settings_of(**settings: str) -> Config:
    """Return the settings of an app under test."""
    from config import Config

    with mock.patch.dict(os.environ, {**SETTINGS, **settings}, clear=True):
        return Config.from_env()


def _app(**settings: str) -> Flask:
    import bff
    from tests.api.openapi import ContractClient

    app = bff.create_app(settings_of(**settings))
    app.test_client_class = ContractClient
    return app


class _Database:
    """A database of an app, which is as it was at first whenever a test begins.

    The connection that is held says whether another one has written since, so that a test that
    only reads costs nothing; and SQLite need not make its files anew for each test.
    """

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path)
        self._db.execute("PRAGMA synchronous=OFF")
        self._first = sqlite3.connect(":memory:")
        self._db.backup(self._first)
        self._version = self._now()

    def _now(self) -> int:
        return int(self._db.execute("PRAGMA data_version").fetchone()[0])

    def reset(self) -> None:
        """Undo what was written since the last time."""
        if self._now() != self._version:
            self._first.backup(self._db)
            self._version = self._now()

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()
        self._first.close()


@pytest.fixture(scope="session")
def document() -> Document:
    """The OpenAPI document of the app."""
    from tests.api.openapi import Document

    if "" not in _documents:
        app = _app()
        app.extensions["bff"].close()
        _documents[""] = Document(
            app.extensions["flask-smorest"]["apis"][""]["ext_obj"].spec.to_dict()
        )
    return _documents[""]


@pytest.fixture(scope="session")
def _tmdb_app() -> Flask:
    import tmdb_stub

    return tmdb_stub.create_app()


@pytest.fixture(scope="session")
def _users_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Flask, _Database]]:
    import user_stub
    from config import UserServiceConfig

    path = tmp_path_factory.mktemp("users") / "users.sqlite"
    app = user_stub.create_app(UserServiceConfig(3001, USER_TOKEN, f"sqlite:///{path}", "", "INFO"))
    with closing(_Database(path)) as file:
        yield app, file
    app.extensions["store"].close()


@pytest.fixture
def _wire() -> Iterator[responses.RequestsMock]:
    import responses

    with responses.RequestsMock(assert_all_requests_are_fired=False) as wire:
        yield wire


def _play(wire: responses.RequestsMock, upstream: Upstream) -> Upstream:
    for method in ("GET", "POST", "PUT", "DELETE"):
        wire.add_callback(
            method, re.compile(re.escape(upstream.base) + "/.*"), upstream, content_type=None
        )
    return upstream


@pytest.fixture
def tmdb(_wire: responses.RequestsMock, _tmdb_app: Flask) -> Upstream:
    """TMDB: the real stub over its catalogue, unless the test says otherwise."""
    from tests.api.upstreams import Upstream

    return _play(_wire, Upstream(TMDB, _tmdb_app, _tmdb_answers))


@pytest.fixture
def users(_wire: responses.RequestsMock, _users_app: tuple[Flask, _Database]) -> Upstream:
    """The user service: the real one over a database that holds the sample."""
    from tests.api.upstreams import Upstream

    app, file = _users_app
    file.reset()
    return _play(_wire, Upstream(USERS, app))


def leaked(lines: list[str]) -> list[str]:
    """Return the secrets that stand in the lines of a log."""
    text = "\n".join(lines)
    return [secret for secret in SECRETS if secret in text]


class _Lines(logging.Handler):
    """Keeps log lines as they would be written, tracebacks included."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def logs() -> Iterator[list[str]]:
    """The lines that the app logs; no secret may stand in any of them."""
    logger = logging.getLogger("bff")
    handler = _Lines()
    handler.setFormatter(TextFormatter())
    handler.addFilter(RequestFilter("salt"))
    yield_to = list(logger.handlers)
    logger.handlers[:] = [handler]
    yield handler.lines
    logger.handlers[:] = yield_to
    assert leaked(handler.lines) == []


@pytest.fixture
def make_client(
    tmdb: Upstream,
    users: Upstream,
    logs: list[str],
    document: Document,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[MakeClient]:
    """Return a maker of clients, each of a fresh app with these settings; one at a time."""
    # The pause before a second attempt is tested where it is made.
    monkeypatch.setattr("bff.upstream.guard.RETRY_PAUSE_S", 0.0)
    apps: list[Flask] = []

    def end() -> None:
        for app in apps:
            app.extensions["bff"].close()
        apps.clear()

    def make(**settings: str) -> ContractClient:
        end()
        handlers = list(logging.getLogger("bff").handlers)
        folder = {"CACHE_DIR": str(tmp_path / f"cache-{len(tmdb.calls)}")}
        apps.append(_app(**folder, **settings))
        logging.getLogger("bff").handlers[:] = handlers  # a new app has put its own there
        client: Any = apps[0].test_client(use_cookies=False)
        client.document, client.secrets = document, SECRETS
        return client  # type: ignore[no-any-return]

    yield make
    end()


@pytest.fixture
def client(make_client: MakeClient) -> ContractClient:
    """A client of the app with the usual settings."""
    return make_client()
