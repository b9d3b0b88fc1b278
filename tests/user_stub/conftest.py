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
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any, TypeVar

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from config import UserServiceConfig
from tests.user_stub.postgresql import Server, programs
from user_stub import create_app

ROOT = Path(__file__).resolve().parents[2]
MakeApp = Callable[..., Flask]
Result = TypeVar("Result")


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """The address of a new SQLite file."""
    return f"sqlite:///{tmp_path / 'users.sqlite'}"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.e2e)])
def any_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a new database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'users.sqlite'}"
    server: Server = request.getfixturevalue("postgresql")
    return server.new_database()


@pytest.fixture
def make_app(database_url: str) -> Iterator[MakeApp]:
    """Build apps over the test's database; their connections are closed at the end."""
    apps: list[Flask] = []

    def make(*, busy_timeout_s: float = 10, **settings: Any) -> Flask:
        values: dict[str, Any] = {
            "port": 3001,
            "token": "",
            "database_url": database_url,
            "fault_profile": "",
            "log_level": "INFO",
            **settings,
        }
        app = create_app(UserServiceConfig(**values), busy_timeout_s=busy_timeout_s)
        apps.append(app)
        return app

    yield make
    for app in apps:
        app.extensions["store"].close()


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
    with closing(sqlite3.connect(file_of(database_url), isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def file_of(database_url: str) -> str:
    """Return the path of an SQLite file."""
    return database_url.removeprefix("sqlite:///")


def execute(database_url: str, script: str) -> None:
    """Run statements on an SQLite file, beside the service."""
    with closing(sqlite3.connect(file_of(database_url))) as connection:
        connection.executescript(script)


def in_parallel(count: int, call: Callable[[int], Result]) -> list[Result]:
    """Run `call` side by side, started together; return the results."""
    together = threading.Barrier(count)
    results: list[Result] = []

    def run(number: int) -> None:
        together.wait()
        results.append(call(number))

    threads = [threading.Thread(target=run, args=[number]) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


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
        self._options = options
        self._settings = {"DATABASE_URL": database_url, "ENV_FILE": os.devnull, **settings}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until the service answers."""
        command = [sys.executable, "-m", "gunicorn", "-c", "user_stub/gunicorn_conf.py"]
        command += [*self._options, "user_stub.wsgi:app"]
        environment = {**os.environ, **self._settings, "USER_SERVICE_PORT": str(self.port)}
        with self.log.open("ab") as log:
            # A group of its own, so that kill reaches the workers too.
            self._process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        for _ in range(1200):
            try:
                if self.call("GET", "/health").status == 200:
                    return
            except OSError:
                pass
            assert self._process.poll() is None, self.log.read_text()
            time.sleep(0.05)
        raise AssertionError(self.log.read_text())

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Signal master and workers and wait for the end."""
        process, self._process = self._process, None
        if process is None:
            return
        os.killpg(process.pid, number)
        process.wait()

    def call(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> HTTPResponse:
        """Send one request on a connection of its own; the body has been read into `answer`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            named["Content-Type"] = "application/json"
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            connection.request(method, path, body=body, headers=named)
            response = connection.getresponse()
            response.answer = response.read()  # type: ignore[attr-defined]
            return response


@pytest.fixture
def start_service(database_url: str, tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Start services over the test's database; they end with the test."""
    services: list[Service] = []

    def start(*options: str, **settings: str) -> Service:
        log = tmp_path / f"service-{len(services)}.log"
        service = Service(database_url, log, *options, **settings)
        services.append(service)
        service.start()
        return service

    yield start
    for service in services:
        service.kill(signal.SIGTERM)
