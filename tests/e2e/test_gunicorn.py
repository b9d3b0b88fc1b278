"""gunicorn as it is shipped, around a small application that shows what the server does."""

from __future__ import annotations

import concurrent.futures
import contextlib
import http.client
import json
import os
import runpy
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

pytestmark = pytest.mark.e2e

APPLICATION = """
import os, pathlib, time
from flask import Flask, request
from prometheus_client import CollectorRegistry, Counter, generate_latest, multiprocess

COUNTED = Counter("counted", "Requests to /counted")
HERE = pathlib.Path(__file__).parent
time.sleep(float(os.environ.get("LOADS_FOR_S", "0")))
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
    time.sleep(0.05)
    return {"pid": os.getpid()}


@app.get("/metrics")
def metrics():
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)
    return {"text": generate_latest(registry).decode()}


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
        assert until(server.answers, 30), server.tail(40)
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
    with socket.create_connection(("127.0.0.1", port), timeout=30) as sock:
        return exchange(sock, request)


def get(port: int, path: str, **headers: str) -> Any:
    """GET a JSON document."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
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
    with socket.create_connection((host.strip("[]"), server.port), timeout=30) as sock:
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
            staying.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=30))
            for _ in range(60)
        ]
        for sock in socks:
            sock.sendall(request)
        found = pool.submit(answers).result(60)

    assert [answer[:12] for answer in found] == [b"HTTP/1.1 200"] * 70


def test_forwarded_headers_when_no_proxy_is_trusted_then_the_server_ignores_them(
    server: Server,
) -> None:
    """Nobody talks the server into another scheme or mount point."""
    seen = get(server.port, "/environ", **{"X-Forwarded-Proto": "https", "SCRIPT_NAME": "/x"})

    assert seen == {"scheme": "http", "root": ""}


def test_long_query_when_within_the_limit_then_it_reaches_the_application(server: Server) -> None:
    """A request line of 8 kB is served."""
    status, _ = ask(server.port, b"GET /health?q=" + b"a" * 8000 + b" HTTP/1.1\r\n\r\n")

    assert status == 200


def test_chunked_body_when_well_formed_then_it_is_read(server: Server) -> None:
    """A body without a length reaches the application whole."""
    request = b"POST /body HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    _, body = ask(server.port, request)

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

    assert until(lambda: len(logged(server)) > before, 30)
    (line,) = logged(server)[before:]
    assert answered == status
    assert (line["level"], line["event"], line["client"]) == (
        "WARNING",
        "server.refused",
        "127.0.0.1",
    )
    assert line["reason"].isalpha()
    assert PLANTED.decode() not in server.log.read_text().lower()


def test_refusal_when_a_chunk_is_malformed_then_the_log_does_not_quote_it(server: Server) -> None:
    """What is left of a body that nobody read is no exception."""
    before = len(logged(server))
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as sock:
        sock.sendall(b"GET /health HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + PLANTED)
        sock.sendall(b"\r\n0\r\n\r\n")
        received = b"".join(iter(lambda: sock.recv(4096), b""))

    assert received.count(b"HTTP/1.1 ") == 1
    assert until(lambda: len(logged(server)) > before, 30)
    assert [line["event"] for line in logged(server)[before:]] == ["server.refused"]
    assert PLANTED.decode() not in server.log.read_text().lower()


def test_bug_when_it_lies_outside_of_the_application_then_its_line_has_the_traceback(
    tmp_path: Path,
) -> None:
    """One line, without the address, whose query may be personal."""
    with serving(tmp_path, WEB_CONCURRENCY="1") as server:
        status, _ = ask(server.port, b"GET /broken?q=" + PLANTED + b" HTTP/1.1\r\n\r\n")
        assert until(lambda: "outside of Flask" in server.log.read_text(), 30)

    assert status == 500
    (line,) = [line for line in logged(server) if line["level"] == "ERROR"]
    assert line["event"] == "Error handling request"
    assert line["exception"].endswith("ValueError: a bug outside of Flask")
    assert PLANTED.decode() not in server.log.read_text().lower()


def test_text_when_it_is_chosen_then_gunicorns_lines_are_text_as_well(tmp_path: Path) -> None:
    """`LOG_FORMAT` is for all lines of the process."""
    with serving(tmp_path, WEB_CONCURRENCY="1", LOG_FORMAT="text") as server:
        ask(server.port, b"GET / HTTP/1.1\r\nAuthorization Bearer " + PLANTED + b"\r\n\r\n")
        assert until(lambda: "server.refused" in server.log.read_text(), 30)

    (line,) = [line for line in server.log.read_text().splitlines() if "server.refused" in line]
    assert line.endswith(" WARNING server.refused client=127.0.0.1 reason=InvalidHeader")


# -- Stop and reload ----------------------------------------------------------------------


def test_sigterm_when_a_slow_request_is_open_then_it_completes(tmp_path: Path) -> None:
    """A stop lets open requests finish, closes the application, and leaves no traceback."""
    with (
        serving(tmp_path, WEB_CONCURRENCY="2", THREADS="2", PAGE_DEADLINE_MS="20000") as server,
        concurrent.futures.ThreadPoolExecutor(1) as pool,
    ):
        slow = pool.submit(get, server.port, "/slow")
        assert until((tmp_path / "begun").exists, 30)
        server.send(signal.SIGTERM)
        assert until(lambda: "Handling signal: term" in server.log.read_text(), 30)
        (tmp_path / "go").touch()
        answer = slow.result(60)
        assert until(lambda: server.exit_code() is not None, 60)

    assert server.exit_code() == 0
    assert (tmp_path / f"closed-{answer['pid']}").exists()
    assert "Traceback" not in server.log.read_text()
    assert {line["level"] for line in logged(server)} == {"INFO"}


def test_sigterm_when_connections_are_idle_then_each_worker_ends_by_itself(tmp_path: Path) -> None:
    """A worker gives up on connections that are kept open before its master loses patience."""
    settings = {"WEB_CONCURRENCY": "2", "TRUSTED_PROXY_HOPS": "1"}
    with serving(tmp_path, **settings) as server, contextlib.ExitStack() as kept:
        assert until(lambda: len(workers_of(server)) == 2, 30)
        workers = workers_of(server)
        for _ in range(8):
            sock = socket.create_connection(("127.0.0.1", server.port), timeout=30)
            exchange(kept.enter_context(sock), b"GET /health HTTP/1.1\r\n\r\n")
        server.send(signal.SIGTERM)
        assert until(lambda: server.exit_code() is not None, 60)

    closed = {int(file.name.removeprefix("closed-")) for file in tmp_path.glob("closed-*")}
    assert closed == workers
    assert server.exit_code() == 0
    assert {line["level"] for line in logged(server)} == {"INFO"}


def test_reload_when_the_application_loads_slowly_then_requests_wait_and_none_fails(
    tmp_path: Path,
) -> None:
    """New connections wait until the new workers are up."""
    with serving(tmp_path, WEB_CONCURRENCY="2", LOADS_FOR_S="1") as server:
        assert until(lambda: len(workers_of(server)) == 2, 30)
        old = workers_of(server)
        server.send(signal.SIGHUP)
        answers: list[int] = []

        def are_new() -> bool:
            answers.append(get(server.port, "/health")["pid"])
            return len(answers) > 20 and not old & set(answers[-20:])

        assert until(are_new, 60)
        assert until(lambda: not old & workers_of(server), 60)

    assert {line["level"] for line in logged(server)} == {"INFO"}


# -- Metrics ------------------------------------------------------------------------------


def test_metrics_when_two_workers_count_then_the_sum_is_right_and_outlives_a_worker(
    tmp_path: Path,
) -> None:
    """Workers share a directory of their user's alone, which a start empties."""
    (tmp_path / "metrics").mkdir(mode=0o700)
    (tmp_path / "metrics" / "counter_1.db").write_bytes(b"left by a server that was killed")
    with serving(tmp_path, WEB_CONCURRENCY="2", THREADS="1") as server:
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: get(server.port, "/counted"), range(20)))
        workers = {answer["pid"] for answer in answers}
        os.kill(min(workers), signal.SIGKILL)
        text = get(server.port, "/metrics")["text"]

    assert len(workers) == 2
    assert "counted_total 20.0" in text


def test_metrics_when_nothing_is_set_then_their_directory_is_private(tmp_path: Path) -> None:
    """It is made for this user alone, in memory where there is some."""
    with serving(tmp_path, WEB_CONCURRENCY="1", PROMETHEUS_MULTIPROC_DIR="") as server:
        found = [
            directory
            for place in ("/dev/shm", "/tmp")  # noqa: S108
            for directory in Path(place).glob(f"bff-metrics-*-{server.port}")
        ]
        get(server.port, "/counted")
        modes = [directory.stat().st_mode & 0o777 for directory in found]
        files = [file.name for directory in found for file in directory.iterdir()]
    for directory in found:
        for file in directory.iterdir():
            file.unlink()
        directory.rmdir()

    assert modes == [0o700]
    assert any(name.startswith("counter_") for name in files)


@pytest.mark.parametrize("kind", ["open to others", "a link"])
def test_metrics_when_their_directory_could_be_anothers_then_nothing_starts(
    tmp_path: Path, kind: str
) -> None:
    """A directory in a place for everybody may have been put there by somebody else."""
    place = tmp_path / "metrics"
    if kind == "a link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        place.symlink_to(tmp_path / "elsewhere")
    else:
        place.mkdir()
        place.chmod(0o755)
    server = small(tmp_path, WEB_CONCURRENCY="1")

    assert until(lambda: server.exit_code() is not None, 30)
    server.end(0)
    assert server.exit_code() == 1
    assert f"{place}: must be a directory of this user's with mode 0700" in server.tail()
    assert "Traceback" not in server.tail(100)


# -- Settings -----------------------------------------------------------------------------


def test_start_when_settings_are_wrong_then_it_lists_them_and_exits(tmp_path: Path) -> None:
    """Every fault is named, without a traceback."""
    server = small(tmp_path, PORT="many", THREADS="0", BIND="nowhere")

    assert until(lambda: server.exit_code() is not None, 30)
    assert server.exit_code() == 1
    for name in ("PORT", "THREADS", "BIND"):
        assert f"{name}: " in server.tail()
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
    """$PORT, WEB_CONCURRENCY and THREADS are obeyed; behind a proxy connections live longer."""
    wanted = {"PORT": "9000", "WEB_CONCURRENCY": "3", "THREADS": "7", "LOG_LEVEL": "ERROR"}
    direct, proxied = configured(**wanted), configured(**wanted, TRUSTED_PROXY_HOPS="1")

    assert direct["bind"][0] == "127.0.0.1:9000"
    assert (direct["workers"], direct["threads"], direct["loglevel"]) == (3, 7, "error")
    assert direct["worker_class"] == "gthread"
    assert direct["keepalive"] < 10
    assert proxied["keepalive"] > 60


@pytest.mark.parametrize(
    ("given", "bind"),
    [("::1", "[::1]:8000"), ("[::1]", "[::1]:8000"), ("::", "[::]:8000"), ("10.0.0.1", None)],
)
def test_bind_when_set_then_gunicorn_listens_there_alone(given: str, bind: str | None) -> None:
    """An address of either kind; IPv6 with brackets or without."""
    assert configured(BIND=given)["bind"] == [bind or f"{given}:8000"]
