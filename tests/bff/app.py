"""The BFF under test, over upstreams that answer in this process: fixtures for whole requests.

`client` talks to one app for all tests: it has no cache and no circuit breaker, so no test can
leave anything behind for the next. A test of what an app remembers takes `fresh` or `make_client`.
"""

from __future__ import annotations

import logging
import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import responses
from flask import Flask

import bff
import tmdb_stub
import user_stub
from bff.observability.logs import RequestFilter
from config import Config, UserServiceConfig
from log_format import TextFormatter
from tests.bff.fake_upstreams import Answer, Upstream
from tests.contract.client import ContractClient, Document

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
    "USER_SERVICE_EVENTS": "false",  # the stream needs a socket
    "POOL_THREADS": "16",
    "TMDB_CALLS_PER_SECOND": "10000",
    # Long enough for a busy machine; what waits for a deadline sets a short one.
    **dict.fromkeys(("PAGE_DEADLINE_MS", "TMDB_TIMEOUT_MS", "USER_SERVICE_TIMEOUT_MS"), "20000"),
}
MakeClient = Callable[..., ContractClient]
_log = logging.getLogger("bff")
_tmdb_answers: dict[Any, Answer] = {}  # the catalogue never changes


@contextmanager
def logging_kept() -> Iterator[None]:
    """Undo what is done to the application's logger; an app sets it up for its process."""
    kept = list(_log.handlers), _log.level, _log.propagate
    yield
    _log.handlers[:], _log.level, _log.propagate = kept


def build(**settings: str) -> Flask:
    """Return an app with these settings; the log goes where it went before."""
    with logging_kept(), mock.patch.dict(os.environ, {**SETTINGS, **settings}, clear=True):
        app = bff.create_app(Config.from_env())
    app.test_client_class = ContractClient
    return app


def client_of(app: Flask, document: Document) -> ContractClient:
    """Return a client that holds each answer against the document."""
    client: Any = app.test_client(use_cookies=False)
    client.document, client.secrets = document, SECRETS
    return client  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def _app() -> Iterator[Flask]:
    app = build(CACHE_ENABLED="false", CIRCUIT_BREAKER_ENABLED="false")
    yield app
    app.extensions["bff"].close()


@pytest.fixture(scope="session")
def document(_app: Flask) -> Document:
    """The OpenAPI document of the app."""
    return Document(_app.extensions["flask-smorest"]["apis"][""]["ext_obj"].spec.to_dict())


@cache
def _tmdb_app() -> Flask:
    return tmdb_stub.create_app()


@pytest.fixture(scope="session")
def _users_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Flask, Path]]:
    path = tmp_path_factory.mktemp("users") / "users.sqlite"
    app = user_stub.create_app(UserServiceConfig(3001, USER_TOKEN, f"sqlite:///{path}", "", "INFO"))
    with sqlite3.connect(path) as database, sqlite3.connect(f"{path}.sample") as sample:
        database.backup(sample)
    database.close()
    sample.close()
    yield app, path
    app.extensions["store"].close()


@pytest.fixture
def _wire() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as wire:
        yield wire


def _play(wire: responses.RequestsMock, upstream: Upstream) -> Upstream:
    for method in ("GET", "POST", "PUT", "DELETE"):
        wire.add_callback(
            method, re.compile(re.escape(upstream.base) + "/.*"), upstream, content_type=None
        )
    return upstream


@pytest.fixture
def tmdb(_wire: responses.RequestsMock) -> Upstream:
    """TMDB: the real stub over its catalogue, unless the test says otherwise."""
    return _play(_wire, Upstream(TMDB, _tmdb_app(), _tmdb_answers))


@pytest.fixture
def users(_wire: responses.RequestsMock, _users_app: tuple[Flask, Path]) -> Iterator[Upstream]:
    """The user service: the real one over a database that holds the sample."""
    app, path = _users_app
    upstream = _play(_wire, Upstream(USERS, app))
    yield upstream
    if any(call.method != "GET" for call in upstream.calls):
        sample, database = sqlite3.connect(f"{path}.sample"), sqlite3.connect(path)
        sample.backup(database)
        sample.close()
        database.close()


def leaked(lines: list[str]) -> list[str]:
    """Return the secrets that appear in the lines of a log."""
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
    """The lines that the app logs; no secret may appear in any of them."""
    handler = _Lines()
    handler.setFormatter(TextFormatter())
    handler.addFilter(RequestFilter("salt"))
    with logging_kept():
        _log.handlers[:] = [handler]
        _log.setLevel(logging.DEBUG)
        yield handler.lines
    assert leaked(handler.lines) == []


@pytest.fixture
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    # The pause before a second attempt is tested with the guard.
    monkeypatch.setattr("bff.upstream.guard.RETRY_PAUSE_S", 0.0)


@pytest.fixture
def make_client(
    tmdb: Upstream,
    users: Upstream,
    logs: list[str],
    document: Document,
    tmp_path: Path,
    _no_pause: None,
) -> Iterator[MakeClient]:
    """Return a maker of clients, each of a fresh app with these settings."""
    apps: list[Flask] = []

    def make(**settings: str) -> ContractClient:
        apps.append(build(CACHE_DIR=str(tmp_path / f"cache-{len(apps)}"), **settings))
        return client_of(apps[-1], document)

    yield make
    for app in apps:
        app.extensions["bff"].close()


@pytest.fixture
def fresh(make_client: MakeClient) -> ContractClient:
    """A client of an app of the test's own, with the default cache and circuits."""
    return make_client()


@pytest.fixture
def client(
    _app: Flask,
    tmdb: Upstream,
    users: Upstream,
    logs: list[str],
    document: Document,
    _no_pause: None,
) -> ContractClient:
    """A client of the app that all tests share."""
    return client_of(_app, document)
