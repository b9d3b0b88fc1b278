"""gunicorn as it is shipped, around a small application that shows what the server does."""

from __future__ import annotations

import concurrent.futures
import contextlib
import http.client
import json
import os
import runpy
import shutil
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from config import hosts
from scripts.processes import ROOT, Server, until
from tests.e2e.stack import clean_environment, free_ports

pytestmark = [pytest.mark.e2e, pytest.mark.essential]

HANG_GUARD_S = 60
APPLICATION = """
import os, pathlib, time
from flask import Flask, request
from prometheus_client import Counter

COUNTED = Counter("counted", "Requests to /counted")
HERE = pathlib.Path(__file__).parent
app = Flask(__name__)


class Bff:
    def close(self):
        time.sleep(0.5)  # there is something to close
        (HERE / f"closed-{os.getpid()}").touch()


app.extensions["bff"] = Bff()


@app.get("/health")
def health():
    return {"pid": os.getpid()}


@app.get("/counted")
def counted():
    COUNTED.inc()
    return {"pid": os.getpid()}


@app.get("/environ")
def environ():
    return {"scheme": request.scheme, "root": request.script_root}


@app.get("/slow")
def slow():
    (HERE / "begun").touch()
    while not (HERE / "go").exists():
        time.sleep(0.01)
    return {"pid": os.getpid()}


@app.post("/body")
def body():
    return {"length": len(request.get_data())}


def broken(environ, start_response):
    raise ValueError("a bug outside of Flask")


flask_app = app.wsgi_app
app.wsgi_app = lambda environ, start: (
    broken if environ["PATH_INFO"] == "/broken" else flask_app
)(environ, start)
"""


def small(directory: Path, **settings: str) -> Server:
    """Start the application above under the shipped configuration; an empty setting is not set."""
    (directory / "small_app.py").write_text(APPLICATION)
    (port,) = free_ports(1)
    server = Server(
        "gunicorn",
        "small_app:app",
        "gunicorn.conf.py",
        port,
        directory / "gunicorn.log",
        ["--pythonpath", str(directory)],
    )
    own = {
        "ENV_FILE": os.devnull,
        "PORT": str(port),
        "PROMETHEUS_MULTIPROC_DIR": str(directory / "metrics"),
    }
    server.start(clean_environment(**{key: text for key, text in (own | settings).items() if text}))
    return server


@contextlib.contextmanager
def serving(directory: Path, **settings: str) -> Iterator[Server]:
    """Serve the application above until the end of the block."""
    server = small(directory, **settings)
    try:
        assert until(server.answers, HANG_GUARD_S), server.tail(40)
        yield server
    finally:
        server.end(20)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Return one server that the tests of this module share."""
    with serving(tmp_path_factory.mktemp("gunicorn"), WEB_CONCURRENCY="1") as server:
        yield server


def exchange(sock: socket.socket, request: bytes) -> tuple[int, bytes]:
    """Send raw bytes and read one answer."""
    sock.sendall(request)
    response = http.client.HTTPResponse(sock)
    response.begin()
    return response.status, response.read()


def ask(port: int, request: bytes) -> tuple[int, bytes]:
    """Send raw bytes over a connection of their own and read one answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=HANG_GUARD_S) as sock:
        return exchange(sock, request)


def get(port: int, path: str, **headers: str) -> Any:
    """GET a JSON document."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=HANG_GUARD_S)
    try:
        connection.request("GET", path, headers=headers)
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def workers_of(server: Server) -> set[int]:
    """Return the processes of the workers."""
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text()
    return set(map(int, children.split()))


def logged(server: Server) -> list[dict[str, Any]]:
    """Return the lines of the log, each of which is an object."""
    return [json.loads(line) for line in server.log.read_text().splitlines()]


# -- Who is let in, and who waits ----------------------------------------------------------


@pytest.mark.parametrize("host", hosts("127.0.0.1"))
def test_localhost_when_a_client_takes_it_for_either_address_then_it_gets_through(
    server: Server, host: str
) -> None:
    """By default the server listens on both loopback addresses."""
    with socket.create_connection((host.strip("[]"), server.port), timeout=HANG_GUARD_S) as sock:
        status, _ = exchange(sock, b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")

    assert status == 200


def test_clients_when_they_stay_after_their_answer_then_others_are_answered_meanwhile(
    server: Server,
) -> None:
    """Sixty clients that asked for the end of the connection, and keep theirs open, hold up nobody.

    They go when all have their answers. Servers that wait for each of them in their main loop, as
    gunicorn 26 and 27 do, need two minutes.
    """
    request = b"GET /health HTTP/1.1\r\nConnection: close\r\n\r\n"

    def answers() -> list[bytes]:
        found = [b"".join(iter(lambda sock=sock: sock.recv(4096), b"")) for sock in socks]
        for _ in range(10):
            status, _ = ask(server.port, b"GET /health HTTP/1.1\r\n\r\n")
            found.append(b"HTTP/1.1 %d" % status)
        return found

    with concurrent.futures.ThreadPoolExecutor(1) as pool, contextlib.ExitStack() as staying:
        socks = [
            staying.enter_context(
                socket.create_connection(("127.0.0.1", server.port), timeout=HANG_GUARD_S)
            )
            for _ in range(60)
        ]
        for sock in socks:
            sock.sendall(request)
        found = pool.submit(answers).result(HANG_GUARD_S)

    assert [answer[:12] for answer in found] == [b"HTTP/1.1 200"] * 70


def test_request_when_unusual_but_well_formed_then_it_reaches_the_application(
    server: Server,
) -> None:
    """8 kB of query, a body without a length; nobody talks the server into another scheme."""
    forged = {"X-Forwarded-Proto": "https", "SCRIPT_NAME": "/x"}
    assert get(server.port, "/environ", **forged) == {"scheme": "http", "root": ""}
    status, _ = ask(server.port, b"GET /health?q=" + b"a" * 8000 + b" HTTP/1.1\r\n\r\n")
    request = b"POST /body HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    _, body = ask(server.port, request)

    assert status == 200
    assert json.loads(body) == {"length": 3}


# -- The log ------------------------------------------------------------------------------

PLANTED = b"planted-secret"
REFUSED = {
    "no-request-line": (400, PLANTED),
    "bad-method": (400, b"G(T /" + PLANTED + b" HTTP/1.1"),
    "bad-version": (400, b"GET /" + PLANTED + b" HTTP/7.1"),
    "long-line": (400, b"GET /?q=" + PLANTED * 800 + b" HTTP/1.1"),
    "no-colon": (400, b"GET / HTTP/1.1\r\nAuthorization Bearer " + PLANTED),
    "bad-header": (400, b"GET / HTTP/1.1\r\nAuthorization: Bearer " + PLANTED + b"\x00"),
    "bad-header-name": (400, b"GET / HTTP/1.1\r\nA " + PLANTED + b": b"),
    "folded-header": (400, b"GET / HTTP/1.1\r\nAuthorization: Bearer\r\n " + PLANTED),
    "long-header": (431, b"GET / HTTP/1.1\r\nAuthorization: Bearer " + PLANTED * 800),
    "many-headers": (431, b"GET / HTTP/1.1" + b"\r\nA: " + (b"\r\nA: ").join([PLANTED] * 120)),
    "bad-expectation": (417, b"GET / HTTP/1.1\r\nExpect: " + PLANTED),
    "bad-coding": (501, b"GET / HTTP/1.1\r\nTransfer-Encoding: " + PLANTED),
    "bare-cr": (400, b"GET / HTTP/1.1\r\nX-Request-ID: a\rX-Evil: " + PLANTED),
    "bad-length": (400, b"GET / HTTP/1.1\r\nContent-Length: " + PLANTED),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_refusal_when_it_is_logged_then_it_is_one_line_without_what_the_client_sent(
    server: Server, kind: str
) -> None:
    """The line names the client and the kind of fault; the text of the request is in none."""
    status, request = REFUSED[kind]
    before = len(logged(server))
    answered, _ = ask(server.port, request + b"\r\n\r\n")

    assert until(lambda: len(logged(server)) > before, HANG_GUARD_S)
    (line,) = logged(server)[before:]
    assert answered == status
    assert (line["level"], line["event"], line["client"]) == (
        "WARNING",
        "server.refused",
        "127.0.0.1",
    )
    assert line["reason"].isalpha()
    assert PLANTED.decode() not in server.log.read_text().lower()


def test_bug_when_it_lies_outside_of_the_application_then_its_line_has_the_traceback(
    server: Server,
) -> None:
    """One line, without the address, whose query may be personal."""
    status, _ = ask(server.port, b"GET /broken?q=" + PLANTED + b" HTTP/1.1\r\n\r\n")
    assert until(lambda: "outside of Flask" in server.log.read_text(), HANG_GUARD_S)

    assert status == 500
    (line,) = [line for line in logged(server) if line["level"] == "ERROR"]
    assert line["event"] == "Error handling request"
    assert line["exception"].endswith("ValueError: a bug outside of Flask")
    assert PLANTED.decode() not in server.log.read_text().lower()


# -- Stop and reload ----------------------------------------------------------------------


def test_sigterm_when_requests_are_open_or_connections_idle_then_each_worker_ends_by_itself(
    tmp_path: Path,
) -> None:
    """Open requests finish, idle connections are given up, and the application is closed.

    A worker does so before its master loses patience: no line is more than INFO.
    """
    settings = {"WEB_CONCURRENCY": "2", "TRUSTED_PROXY_HOPS": "1", "PAGE_DEADLINE_MS": "5000"}
    with (
        serving(tmp_path, **settings) as server,
        contextlib.ExitStack() as kept,
        concurrent.futures.ThreadPoolExecutor(1) as pool,
    ):
        assert until(lambda: len(workers_of(server)) == 2, HANG_GUARD_S)
        workers = workers_of(server)
        for _ in range(8):
            sock = socket.create_connection(("127.0.0.1", server.port), timeout=HANG_GUARD_S)
            exchange(kept.enter_context(sock), b"GET /health HTTP/1.1\r\n\r\n")
        slow = pool.submit(get, server.port, "/slow")
        assert until((tmp_path / "begun").exists, HANG_GUARD_S)
        server.send(signal.SIGTERM)
        assert until(lambda: "Handling signal: term" in server.log.read_text(), HANG_GUARD_S)
        (tmp_path / "go").touch()
        assert slow.result(HANG_GUARD_S)["pid"] in workers
        assert until(lambda: server.exit_code() is not None, HANG_GUARD_S)

    closed = {int(file.name.removeprefix("closed-")) for file in tmp_path.glob("closed-*")}
    assert closed == workers
    assert server.exit_code() == 0
    assert {line["level"] for line in logged(server)} == {"INFO"}


# -- Start --------------------------------------------------------------------------------


def test_start_when_little_is_set_then_the_log_is_text_and_metrics_are_private(
    tmp_path: Path,
) -> None:
    """`LOG_FORMAT` is for all lines; metrics lie in a directory for this user alone."""
    settings = {"LOG_FORMAT": "text", "PROMETHEUS_MULTIPROC_DIR": ""}
    with serving(tmp_path, WEB_CONCURRENCY="1", **settings) as server:
        found = [
            directory
            for place in ("/dev/shm", "/tmp")  # noqa: S108
            for directory in Path(place).glob(f"bff-metrics-*-{server.port}")
        ]
        get(server.port, "/counted")
        modes = [directory.stat().st_mode & 0o777 for directory in found]
        files = [file.name for directory in found for file in directory.iterdir()]
        ask(server.port, b"GET / HTTP/1.1\r\nAuthorization Bearer " + PLANTED + b"\r\n\r\n")
        assert until(lambda: "server.refused" in server.log.read_text(), HANG_GUARD_S)
    for directory in found:
        shutil.rmtree(directory)

    assert modes == [0o700]
    assert any(name.startswith("counter_") for name in files)
    (line,) = [line for line in server.log.read_text().splitlines() if "server.refused" in line]
    assert line.endswith(" WARNING server.refused client=127.0.0.1 reason=InvalidHeader")


@pytest.mark.parametrize("kind", ["open to others", "a link", "wrong settings"])
def test_start_when_something_is_wrong_then_it_says_what_and_exits(
    tmp_path: Path, kind: str
) -> None:
    """Every wrong setting is named; a directory for metrics may be nobody else's work."""
    place = tmp_path / "metrics"
    settings, said = {}, [f"{place}: must be a directory of this user's with mode 0700"]
    if kind == "a link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        place.symlink_to(tmp_path / "elsewhere")
    elif kind == "open to others":
        place.mkdir()
        place.chmod(0o755)
    else:
        settings = {"PORT": "many", "THREADS": "0", "BIND": "nowhere"}
        said = [f"{name}: " for name in settings]
    server = small(tmp_path, WEB_CONCURRENCY="1", **settings)

    assert until(lambda: server.exit_code() is not None, HANG_GUARD_S)
    server.end(0)
    assert server.exit_code() == 1
    assert [text for text in said if text not in server.tail()] == []
    assert "Traceback" not in server.tail(100)


def configured(**settings: str) -> dict[str, Any]:
    """Return what gunicorn.conf.py sets."""
    with mock.patch.dict(os.environ, {"ENV_FILE": os.devnull} | settings):
        return runpy.run_path(str(ROOT / "gunicorn.conf.py"))


@pytest.mark.parametrize("deadline_ms", ["50", "2000", "20000"])
def test_timeouts_when_the_deadline_is_anything_allowed_then_the_chain_holds(
    deadline_ms: str,
) -> None:
    """Socket timeout <= page deadline < worker's wait < master's < 30 s, when platforms kill."""
    served = configured(PAGE_DEADLINE_MS=deadline_ms)
    worker = mock.Mock()
    served["post_fork"](None, worker)
    (setting, worker_waits) = worker.cfg.set.call_args.args

    settings = served["settings"]
    for upstream in (settings.tmdb, settings.users):
        assert upstream.timeout_s <= settings.page_deadline_s
    assert setting == "graceful_timeout"
    assert settings.page_deadline_s < worker_waits < served["graceful_timeout"] < 30


def test_numbers_when_set_then_gunicorn_gets_them() -> None:
    """$PORT, BIND, WEB_CONCURRENCY and THREADS; behind a proxy connections live longer."""
    wanted = {"PORT": "9000", "WEB_CONCURRENCY": "3", "THREADS": "7", "LOG_LEVEL": "ERROR"}
    direct, proxied = configured(**wanted), configured(**wanted, TRUSTED_PROXY_HOPS="1")

    assert direct["bind"][0] == "127.0.0.1:9000"
    assert (direct["workers"], direct["threads"], direct["loglevel"]) == (3, 7, "error")
    assert direct["worker_class"] == "gthread"
    assert direct["keepalive"] < 10
    assert proxied["keepalive"] > 60
    for given, bind in (("::1", "[::1]"), ("[::1]", "[::1]"), ("::", "[::]"), ("10.0.0.1",) * 2):
        assert configured(BIND=given)["bind"] == [f"{bind}:8000"]
