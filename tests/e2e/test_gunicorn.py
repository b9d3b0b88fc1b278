"""gunicorn as it is shipped, around a small application that shows what the server does."""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import http.client
import json
import os
import runpy
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from scripts.processes import ROOT, Server, until
from tests.e2e.stack import clean_environment, free_ports

pytestmark = pytest.mark.e2e

APPLICATION = """
import os, pathlib, time
from flask import Flask, request
from prometheus_client import CollectorRegistry, Counter, generate_latest, multiprocess

COUNTED = Counter("counted", "Requests to /counted")

HERE = pathlib.Path(__file__).parent
app = Flask(__name__)


class Bff:
    def close(self):
        (HERE / "closed").touch()


app.extensions["bff"] = Bff()


@app.get("/health")
def health():
    return {}


@app.get("/counted")
def counted():
    COUNTED.inc()
    time.sleep(0.05)
    return {"pid": os.getpid()}


@app.get("/pid")
def pid():
    return {"pid": os.getpid()}


@app.get("/metrics")
def metrics():
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)
    return {"text": generate_latest(registry).decode()}


@app.get("/environ")
def environ():
    return {
        "waited": time.monotonic() - request.environ["bff.arrived"],
        "scheme": request.scheme,
        "root": request.script_root,
    }


@app.get("/slow")
def slow():
    waited = time.monotonic() - request.environ["bff.arrived"]
    (HERE / "begun").touch()
    time.sleep(float(request.args["for"]))
    return {"waited": waited}


@app.post("/body")
def body():
    return {"length": len(request.get_data())}


@app.post("/unread")
def unread():
    return {}


def broken(environ, start_response):
    start_response("200 OK", [("X-Wrong", "a\\r\\nb")])
    return [b""]


flask_app = app.wsgi_app
app.wsgi_app = lambda environ, start: (
    broken if environ["PATH_INFO"] == "/broken" else flask_app
)(environ, start)
"""


def serve(directory: Path, **settings: str) -> Server:
    """Start the application above under the shipped configuration."""
    (directory / "small_app.py").write_text(APPLICATION)
    (port,) = free_ports(1)
    server = Server(
        "gunicorn",
        "small_app:app",
        "gunicorn.conf.py",
        port,
        directory / "gunicorn.log",
        ["--bind", f"127.0.0.1:{port}", "--pythonpath", str(directory)],
    )
    server.start(clean_environment(ENV_FILE="/dev/null", **settings))
    if not until(server.answers, 15):
        server.end(2)
        raise AssertionError(server.tail(40))
    return server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Return one server that the tests of this module share."""
    server = serve(tmp_path_factory.mktemp("gunicorn"), WEB_CONCURRENCY="1", THREADS="4")
    yield server
    server.end(10)


def exchange(port: int, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send raw bytes and read one answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.sendall(request)
        response = http.client.HTTPResponse(sock)
        response.begin()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return response.status, headers, response.read()


def get(port: int, path: str, **headers: str) -> Any:
    """GET a JSON document."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=15)
    try:
        connection.request("GET", path, headers=headers)
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        pytest.param(b"nonsense\r\n\r\n", 400, id="no-request-line"),
        pytest.param(b"G(T / HTTP/1.1\r\n\r\n", 400, id="bad-method"),
        pytest.param(b"GET / HTTP/7.1\r\n\r\n", 400, id="bad-version"),
        pytest.param(b"GET /?q=" + b"a" * 10_000 + b" HTTP/1.1\r\n\r\n", 414, id="long-line"),
        pytest.param(b"GET / HTTP/1.1\r\nA: " + b"a" * 9_000 + b"\r\n\r\n", 431, id="long-header"),
        pytest.param(b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 120 + b"\r\n", 431, id="many-headers"),
        pytest.param(b"GET / HTTP/1.1\r\nA B: c\r\n\r\n", 400, id="bad-header-name"),
        pytest.param(b"GET / HTTP/1.1\r\nA: b\x00c\r\n\r\n", 400, id="bad-header"),
        pytest.param(b"GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", 400, id="folded-header"),
        pytest.param(b"GET / HTTP/1.1\r\nExpect: tea\r\n\r\n", 417, id="bad-expectation"),
        pytest.param(b"POST / HTTP/1.1\r\nTransfer-Encoding: rot13\r\n\r\n", 501, id="bad-coding"),
        pytest.param(b"GET /broken HTTP/1.1\r\n\r\n", 500, id="bad-response"),
    ],
)
def test_refusal_when_gunicorn_answers_itself_then_it_is_a_problem_document(
    server: Server, request_bytes: bytes, status: int
) -> None:
    """What never reaches the application is refused with application/problem+json."""
    answered, headers, body = exchange(server.port, request_bytes)

    document = json.loads(body)
    assert answered == status
    assert headers["content-type"] == "application/problem+json"
    assert headers["cache-control"] == "no-store"
    assert headers["connection"] == "close"
    assert document["status"] == status
    known = {"type", "title", "status", "detail", "request_id"}
    assert set(document) - {"instance"} == known
    assert all(document.values())
    assert headers["x-request-id"] == document["request_id"]


def test_refusal_when_a_header_holds_a_credential_then_neither_answer_nor_log_shows_it(
    server: Server,
) -> None:
    """The text of a refused header is quoted nowhere."""
    _, _, body = exchange(
        server.port, b"GET / HTTP/1.1\r\nAuthorization: Bearer planted\x00secret\r\n\r\n"
    )

    assert b"planted" not in body
    assert "server.refused status=400 reason=InvalidHeader" in server.log.read_text()
    assert "planted" not in server.log.read_text()


def test_refusal_when_the_caller_gave_a_request_id_then_it_is_kept(server: Server) -> None:
    """Where the headers could be read, the caller's plain request id comes back."""
    _, headers, body = exchange(server.port, b"GET /broken HTTP/1.1\r\nX-Request-ID: abc-1\r\n\r\n")

    assert headers["x-request-id"] == json.loads(body)["request_id"] == "abc-1"


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(b"Expect: tea", id="bad-expectation"),
        pytest.param(b"A B: c", id="bad-header-name"),
        pytest.param(b"A: b\x00c", id="bad-header"),
        pytest.param(b"A: b\r\n c", id="folded-header"),
        pytest.param(b"A: " + b"a" * 9_000, id="long-header"),
        pytest.param(b"\r\n".join([b"A: b"] * 120), id="many-headers"),
        pytest.param(b"Transfer-Encoding: rot13", id="bad-coding"),
        pytest.param(b"Content-Length: -1", id="bad-length"),
    ],
)
@pytest.mark.parametrize("order", ["id-first", "id-last"])
def test_refusal_when_the_target_was_read_then_the_document_names_it_and_keeps_the_id(
    server: Server, wrong: bytes, order: str
) -> None:
    """One wrong header does not make the rest of the head unknown."""
    lines = [b"X-Request-ID: abc-1", wrong]
    if order == "id-last":
        lines.reverse()
    request = b"GET /a%20b?c=d HTTP/1.1\r\n" + b"\r\n".join(lines) + b"\r\n\r\n"

    _, headers, body = exchange(server.port, request)

    assert json.loads(body)["instance"] == "/a b"
    assert headers["x-request-id"] == json.loads(body)["request_id"] == "abc-1"


def test_refusal_when_the_id_is_no_plain_token_then_it_is_a_new_one(server: Server) -> None:
    """What is not fit for a log line is not taken from a refused head either."""
    _, headers, _ = exchange(
        server.port, b"GET / HTTP/1.1\r\nX-Request-ID: two words\r\nA: b\x00c\r\n\r\n"
    )

    assert len(headers["x-request-id"]) == 32


def test_refusal_when_the_target_could_not_be_read_then_there_is_no_instance(
    server: Server,
) -> None:
    """Nothing is made up for a request line that is none."""
    for line in (b"nonsense", b"GET /?q=" + b"a" * 10_000 + b" HTTP/1.1"):
        _, _, body = exchange(server.port, line + b"\r\n\r\n")
        assert "instance" not in json.loads(body)


def test_long_query_when_within_the_limit_then_it_reaches_the_application(server: Server) -> None:
    """A request line of 8 kB is served."""
    status, _, _ = exchange(server.port, b"GET /health?q=" + b"a" * 8000 + b" HTTP/1.1\r\n\r\n")

    assert status == 200


def test_forwarded_headers_when_no_proxy_is_trusted_then_the_server_ignores_them(
    server: Server,
) -> None:
    """Nobody talks the server into another scheme or mount point."""
    seen = get(server.port, "/environ", **{"X-Forwarded-Proto": "https", "SCRIPT_NAME": "/x"})

    assert seen["scheme"] == "http"
    assert seen["root"] == ""


def test_chunked_body_when_well_formed_then_it_is_read(server: Server) -> None:
    """A body without a length reaches the application whole."""
    _, _, body = exchange(
        server.port,
        b"POST /body HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    )

    assert json.loads(body) == {"length": 3}


@pytest.mark.parametrize("chunks", [b"zz\r\nabc\r\n0\r\n\r\n", b"3\r\nabcXX\r\n0\r\n\r\n"])
def test_chunked_body_when_malformed_then_it_is_the_clients_fault(
    server: Server, chunks: bytes
) -> None:
    """A chunk that cannot be read is a 400 and not a bug of the application."""
    status, _, _ = exchange(
        server.port, b"POST /body HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks
    )

    assert status == 400


def test_chunked_body_when_malformed_and_unread_then_there_is_one_answer(server: Server) -> None:
    """A request is answered once, and its connection closed, so that answers cannot shift."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as sock:
        sock.sendall(b"POST /unread HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n")
        received = b"".join(iter(lambda: sock.recv(4096), b""))

    assert received.count(b"HTTP/1.1") == 1


def test_arrival_when_a_thread_is_free_then_the_wait_is_nothing(server: Server) -> None:
    """A request that is served at once has its whole deadline, also on a reused connection."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    waits = []
    for _ in range(2):
        connection.request("GET", "/environ")
        waits.append(json.loads(connection.getresponse().read())["waited"])
    connection.close()

    assert all(0 <= wait < 0.2 for wait in waits)


def test_arrival_when_a_connection_was_idle_at_first_then_its_idle_time_does_not_count(
    server: Server,
) -> None:
    """A connection that is opened ahead of need does not use up the deadline of its request."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as sock:
        time.sleep(0.5)  # the idle time itself is what is tested
        sock.sendall(b"GET /environ HTTP/1.1\r\n\r\n")
        response = http.client.HTTPResponse(sock)
        response.begin()
        waited = json.loads(response.read())["waited"]

    assert 0 <= waited < 0.2


def test_arrival_when_every_thread_is_busy_then_the_queue_counts(server: Server) -> None:
    """The wait for a free thread is part of the age of a request."""
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        waits = sorted(
            answer["waited"]
            for answer in pool.map(lambda _: get(server.port, "/slow?for=0.5"), range(8))
        )

    assert all(wait < 0.3 for wait in waits[:4])
    assert all(0.3 < wait < 1.5 for wait in waits[4:])


def test_sigterm_when_a_slow_request_is_open_then_it_completes(tmp_path: Path) -> None:
    """A stop lets open requests finish, closes the application and leaves no process."""
    server = serve(tmp_path, WEB_CONCURRENCY="2", THREADS="2")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        slow = pool.submit(get, server.port, "/slow?for=1.5")
        assert until((tmp_path / "begun").exists, 10)
        server.send(signal.SIGTERM)
        answer = slow.result(timeout=15)

    assert answer["waited"] >= 0
    assert until(lambda: server.exit_code() is not None, 10)
    assert server.exit_code() == 0
    assert (tmp_path / "closed").exists()
    server.end(0)


def test_metrics_when_two_workers_count_then_the_sum_is_right_and_outlives_a_worker(
    tmp_path: Path,
) -> None:
    """Workers share a directory for metrics, which is gone after the server."""
    directory = tmp_path / "metrics"
    server = serve(
        tmp_path, WEB_CONCURRENCY="2", THREADS="1", PROMETHEUS_MULTIPROC_DIR=str(directory)
    )
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: get(server.port, "/counted"), range(20)))
    workers = {answer["pid"] for answer in answers}
    os.kill(min(workers), signal.SIGKILL)
    text = get(server.port, "/metrics")["text"]
    server.end(10)

    assert len(workers) == 2
    assert "counted_total 20.0" in text
    assert not directory.exists()


@pytest.fixture
def two_processors() -> Iterator[set[int]]:
    """Let what this test starts have two processors, and return them."""
    all_of_them = os.sched_getaffinity(0)
    if len(all_of_them) < 2:
        pytest.skip("this machine has one processor")
    os.sched_setaffinity(0, sorted(all_of_them)[:2])
    yield os.sched_getaffinity(0)
    os.sched_setaffinity(0, all_of_them)


def workers_of(server: Server) -> list[int]:
    """Return the processes of the workers."""
    return list(
        map(int, Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split())
    )


def processors_of(server: Server) -> list[set[int]]:
    """Return on which processors each worker may run."""
    return [os.sched_getaffinity(pid) for pid in workers_of(server)]


def test_processors_when_there_is_one_for_each_worker_then_it_keeps_to_its_own(
    tmp_path: Path, two_processors: set[int]
) -> None:
    """Also the one that comes in the place of one that died, and those of a reload."""
    own = [{processor} for processor in sorted(two_processors)]
    server = serve(tmp_path, WEB_CONCURRENCY="2", THREADS="1")

    def each_has_its_own() -> bool:
        return sorted(processors_of(server), key=min) == own

    assert until(each_has_its_own, 10)
    first = set(workers_of(server))
    os.kill(min(first), signal.SIGKILL)
    assert until(lambda: min(first) not in workers_of(server) and each_has_its_own(), 10)
    server.send(signal.SIGHUP)
    assert until(lambda: not first & set(workers_of(server)) and each_has_its_own(), 20)
    server.end(10)


def test_processors_when_there_are_not_as_many_as_workers_then_they_are_left_alone(
    tmp_path: Path, two_processors: set[int]
) -> None:
    """Somebody has decided how they are used."""
    server = serve(tmp_path, WEB_CONCURRENCY="3", THREADS="1")
    assert until(lambda: len(workers_of(server)) == 3, 10)
    assert processors_of(server) == [two_processors] * 3
    server.end(10)


def test_connections_when_they_come_together_then_no_worker_has_nearly_all(tmp_path: Path) -> None:
    """They live long: whoever has them has the work."""
    server = serve(tmp_path, WEB_CONCURRENCY="2", THREADS="4")
    assert until(lambda: len({get(server.port, "/pid")["pid"] for _ in range(9)}) == 2, 10)
    fewest = []
    for _ in range(5):
        connections = [http.client.HTTPConnection("127.0.0.1", server.port) for _ in range(64)]
        with contextlib.ExitStack() as ending:
            for connection in connections:
                ending.callback(connection.close)
                connection.connect()
            served: collections.Counter[int] = collections.Counter()
            for connection in connections:
                connection.request("GET", "/pid")
                served[json.loads(connection.getresponse().read())["pid"]] += 1
        fewest.append(64 - max(served.values()))
    server.end(10)
    assert sum(fewest) > 0.3 * 64 * 5, fewest


def test_start_when_settings_are_wrong_then_it_lists_them_and_exits(tmp_path: Path) -> None:
    """Every fault is named, without a traceback."""
    (port,) = free_ports(1)
    server = Server("gunicorn", "wsgi:app", "gunicorn.conf.py", port, tmp_path / "log")
    server.start(clean_environment(ENV_FILE="/dev/null", PORT="many", THREADS="0"))

    assert until(lambda: server.exit_code() is not None, 10)
    assert server.exit_code() == 1
    assert "PORT: " in server.tail()
    assert "THREADS: " in server.tail()
    assert "Traceback" not in server.tail(100)


@pytest.mark.parametrize("deadline_ms", ["50", "2000", "20000"])
def test_timeouts_when_the_deadline_is_anything_allowed_then_the_chain_holds(
    deadline_ms: str,
) -> None:
    """Socket timeout <= page deadline < graceful timeout < 30 s, when platforms kill."""
    with mock.patch.dict(os.environ, {"ENV_FILE": os.devnull, "PAGE_DEADLINE_MS": deadline_ms}):
        served = runpy.run_path(str(ROOT / "gunicorn.conf.py"))

    settings = served["settings"]
    for upstream in (settings.tmdb, settings.users):
        assert upstream.timeout_s <= settings.page_deadline_s
    assert settings.page_deadline_s < served["graceful_timeout"] < 30


def test_numbers_when_set_then_gunicorn_gets_them() -> None:
    """$PORT, WEB_CONCURRENCY and THREADS are obeyed; behind a proxy connections live longer."""
    wanted = {"PORT": "9000", "WEB_CONCURRENCY": "3", "THREADS": "7", "LOG_LEVEL": "ERROR"}
    alone = wanted | {"ENV_FILE": os.devnull}
    with mock.patch.dict(os.environ, alone):
        direct = runpy.run_path(str(ROOT / "gunicorn.conf.py"))
    with mock.patch.dict(os.environ, alone | {"TRUSTED_PROXY_HOPS": "1"}):
        proxied = runpy.run_path(str(ROOT / "gunicorn.conf.py"))

    assert direct["bind"] == "0.0.0.0:9000"
    assert (direct["workers"], direct["threads"], direct["loglevel"]) == (3, 7, "error")
    assert direct["keepalive"] < 10
    assert proxied["keepalive"] > 60
    assert direct["preload_app"] is False
