"""The user service in the process, with a database for each test, and as real processes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
import requests
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from config import UserServiceConfig
from tests.user_stub.postgresql import Server, programs
from user_stub import create_app
from user_stub.store import Store

ROOT = Path(__file__).resolve().parents[2]
MakeApp = Callable[..., Flask]
Result = TypeVar("Result")


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """The address of a new SQLite file."""
    return f"sqlite:///{tmp_path / 'users.sqlite'}"


@pytest.fixture(params=["database_url", pytest.param("postgresql_url", marks=pytest.mark.e2e)])
def any_database_url(request: pytest.FixtureRequest) -> str:
    """The address of a new database of each kind."""
    url: str = request.getfixturevalue(request.param)
    return url


@pytest.fixture
def make_app(database_url: str) -> Iterator[MakeApp]:
    """Build apps over the test's database; their connections are closed at the end."""
    apps: list[Flask] = []

    def make(*, busy_timeout_s: float = 10, **settings: Any) -> Flask:
        config = UserServiceConfig(3001, "", database_url, "", "INFO")
        app = create_app(replace(config, **settings), busy_timeout_s=busy_timeout_s)
        apps.append(app)
        return app

    yield make
    for app in apps:
        app.extensions["store"].close()


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """A store over the test's database, which is prepared."""
    store = Store(database_url, busy_timeout_s=30)
    store.prepare()
    yield store
    store.close()


@pytest.fixture(scope="session")
def shared_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Flask, Path]]:
    """One app for all tests that need no settings of their own: building it is the slow part."""
    folder = tmp_path_factory.mktemp("shared")
    path = folder / "users.sqlite"
    app = create_app(UserServiceConfig(3001, "", f"sqlite:///{path}", "", "INFO"))
    with closing(sqlite3.connect(path)) as new, closing(sqlite3.connect(folder / "new")) as copy:
        new.backup(copy)
    yield app, path
    app.extensions["store"].close()


@pytest.fixture
def app(shared_app: tuple[Flask, Path]) -> Flask:
    """The service over a database that is as new."""
    shared, path = shared_app
    with closing(sqlite3.connect(path.parent / "new")) as new, closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA synchronous=OFF")
        new.backup(db)
    return shared


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A client of the service."""
    return app.test_client()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """A running server; the tests are skipped where PostgreSQL is not installed."""
    where = programs()
    if where is None:
        pytest.skip("PostgreSQL is not installed (Debian package: postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="user-service-pg-"))
    try:
        running = Server(where, folder)
        running.start()
        yield running
        running.stop()
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def postgresql_url(postgresql: Server) -> str:
    """The address of a new PostgreSQL database."""
    return postgresql.new_database()


@contextmanager
def locked(database_url: str) -> Iterator[None]:
    """Hold the write lock of an SQLite file, as another process does that writes."""
    path = database_url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def execute(database_url: str, script: str) -> None:
    """Run statements on an SQLite file, beside the service."""
    with closing(sqlite3.connect(database_url.removeprefix("sqlite:///"))) as connection:
        connection.executescript(script)


def in_parallel(count: int, call: Callable[[int], Result]) -> list[Result]:
    """Run `call` side by side, started together; return the results."""
    together = threading.Barrier(count)

    def run(number: int) -> Result:
        together.wait()
        return call(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def assert_problem(answer: TestResponse, status: int) -> dict[str, Any]:
    """Assert that an answer is a problem document with the status; return the document."""
    assert answer.status_code == status, answer.text
    assert answer.content_type == "application/problem+json"
    assert answer.headers["Cache-Control"] == "no-store"
    document: dict[str, Any] = json.loads(answer.data)
    assert set(document) >= {"type", "title", "status", "detail", "instance", "request_id"}
    assert document["status"] == status
    assert document["request_id"] == answer.headers["X-Request-ID"]
    return document


def revision(answer: TestResponse) -> int:
    """Return the revision that an answer carries."""
    return int(answer.headers["X-Library-Revision"])


class Service:
    """The service under gunicorn; `start` it again after `kill` on the same port and file."""

    def __init__(self, database_url: str, log: Path, *options: str, **settings: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.log = log
        command = [sys.executable, "-m", "gunicorn", "-c", "user_stub/gunicorn_conf.py"]
        self._command = [*command, *options, "user_stub.wsgi:app"]
        own = {"DATABASE_URL": database_url, "ENV_FILE": os.devnull}
        self._environment = {**os.environ, **own, **settings, "USER_SERVICE_PORT": str(self.port)}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until the service answers."""
        with self.log.open("ab") as log:
            # A group of its own, so that kill reaches the workers too.
            options = {"cwd": ROOT, "env": self._environment, "start_new_session": True}
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, **options)
        while self._process.poll() is None:
            try:
                self.call("GET", "/health")
            except requests.ConnectionError:
                time.sleep(0.05)
            else:
                return
        raise AssertionError(self.log.read_text())

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Signal master and workers and wait for the end."""
        process, self._process = self._process, None
        if process is not None:
            os.killpg(process.pid, number)
            process.wait()

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send one request on a connection of its own; `options` are those of requests."""
        url = f"http://127.0.0.1:{self.port}{path}"
        return requests.request(method, url, timeout=60, **options)


@pytest.fixture
def start_service(database_url: str, tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Start services over the test's database; they end with the test."""
    services: list[Service] = []

    def start(*options: str, **settings: str) -> Service:
        log = tmp_path / f"service-{len(services)}.log"
        services.append(Service(database_url, log, *options, **settings))
        services[-1].start()
        return services[-1]

    yield start
    for service in services:
        service.kill(signal.SIGTERM)
