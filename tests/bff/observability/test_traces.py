"""bff/observability/traces.py: taken in, through the pool, to upstreams, and to a collector."""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import requests
from flask import Flask
from werkzeug.serving import WSGIRequestHandler, make_server

import bff
import tmdb_stub
import user_stub
from bff.observability import traces
from bff.observability.traces import Traces
from config import Config, ConfigError, UserServiceConfig
from scripts.processes import until
from tests.bff.observability.collector import Collector

TRACE, PARENT = "4bf92f3577b34da6" * 2, "00f067aa0ba902b7"
HEADER = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
SERVER, CLIENT = 2, 3  # kinds of spans in OTLP


class Host:
    """Serves an app over a socket and keeps the headers of each request."""

    def __init__(self, app: Any) -> None:
        seen = self.seen = list[dict[str, str]]()

        class Silent(WSGIRequestHandler):
            def log(self, *_: object) -> None:  # type: ignore[override]
                pass

        def keeping(environ: Any, start: Any) -> Any:
            seen.append({name: text for name, text in environ.items() if name.startswith("HTTP_")})
            return app(environ, start)

        self._server = make_server("127.0.0.1", 0, keeping, threaded=True, request_handler=Silent)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def parents(self) -> set[str]:
        """Return what the requests said of their trace."""
        return {headers.get("HTTP_TRACEPARENT", "") for headers in self.seen}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def collector() -> Iterator[Collector]:
    """Return a collector."""
    made = Collector()
    yield made
    made.close()


@pytest.fixture
def tracing(collector: Collector) -> Iterator[Traces]:
    """Return the traces of a process, which go to the collector."""
    made = Traces(collector.url, "a-service", "1.2.3")
    yield made
    made.close()


@pytest.fixture
def upstream() -> Iterator[Host]:
    """Return an upstream that answers each GET."""
    app = Flask("upstream")
    app.add_url_rule("/<path:path>", view_func=lambda path: {"path": path})
    made = Host(app)
    yield made
    made.close()


@pytest.fixture
def service(tracing: Traces, upstream: Host) -> Iterator[Flask]:
    """Return a traced app whose page asks the upstream three times, in threads of a pool."""
    app, session, pool = Flask("service"), requests.Session(), ThreadPoolExecutor(8)
    session.trust_env = False
    tracing.instrument(app)

    @app.get("/page/<number>")
    def page(number: str) -> str:
        urls = [f"{upstream.url}/{number}/{part}?api_key=planted-key" for part in "abc"]
        for future in [pool.submit(session.get, url) for url in urls]:
            assert future.result().ok
        return "a page"

    yield app
    pool.shutdown()
    session.close()


def test_traces_when_a_page_calls_upstreams_then_spans_have_the_right_parents(
    service: Flask, tracing: Traces, collector: Collector, upstream: Host
) -> None:
    """Caller -> request -> calls, also from threads of the pool; upstreams get the calls' ids."""
    response = service.test_client().get("/page/550", headers=HEADER)
    tracing.close()

    assert response.status_code == 200
    (server,), calls = collector.of(SERVER), collector.of(CLIENT)
    assert {span.trace_id.hex() for span in collector.spans} == {TRACE}
    assert server.parent_span_id.hex() == PARENT
    assert len(calls) == 3
    assert {span.parent_span_id for span in calls} == {server.span_id}
    assert upstream.parents() == {f"00-{TRACE}-{span.span_id.hex()}-01" for span in calls}
    attributes = {pair.key: pair.value for pair in server.attributes}
    assert attributes["http.response.status_code"].int_value == 200
    assert attributes["http.route"].string_value == "/page/<number>"
    assert b"a-service" in collector.bodies[0]


def test_traces_when_many_requests_run_then_none_gets_anothers_parent(
    service: Flask, tracing: Traces, collector: Collector
) -> None:
    """Thirty requests of six threads; without a caller's trace each begins its own."""

    def ask(number: int) -> None:
        for page in range(5):
            trace = f"{number:016x}{page + 1:016x}"
            headers = {"traceparent": f"00-{trace}-{PARENT}-01"} if number else {}
            client = service.test_client()
            assert client.get(f"/page/{page}", headers=headers).status_code == 200

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tracing.close()

    servers = {span.span_id: span for span in collector.of(SERVER)}
    calls = collector.of(CLIENT)
    assert len(servers) == 30
    assert len({span.trace_id for span in servers.values()}) == 30
    assert len(calls) == 90
    for call in calls:
        assert servers[call.parent_span_id].trace_id == call.trace_id


def test_traces_when_the_caller_sends_baggage_then_no_upstream_gets_it(
    service: Flask, upstream: Host
) -> None:
    """What the caller's systems tell each other is not for TMDB."""
    service.test_client().get("/page/1", headers={**HEADER, "baggage": "account=planted"})

    assert len(upstream.seen) == 3
    assert all("HTTP_TRACEPARENT" in headers for headers in upstream.seen)
    assert not any("planted" in str(headers) for headers in upstream.seen)


def test_spans_when_addresses_have_queries_then_no_query_is_exported(
    service: Flask, tracing: Traces, collector: Collector
) -> None:
    """TMDB's api_key stands in a query; so does what somebody searches for, and in errors."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}"

    @service.get("/broken")
    def broken() -> str:
        url = f"{nobody}/3/movie/popular?query=it's('planted')&api_key=planted-key"
        with pytest.raises(requests.ConnectionError, match="planted-key"):
            requests.get(url, timeout=60)
        return "no page"

    client = service.test_client()
    client.get("/page/550?query=planted-words")
    client.get("/broken")
    client.get("/nowhere?query=planted-words")
    tracing.close()

    assert len(collector.of(SERVER)) == 3
    assert len(collector.of(CLIENT)) == 4
    assert not any(b"planted" in body for body in collector.bodies)
    (failed,) = [span for span in collector.of(CLIENT) if span.status.code == 2]
    assert "/3/movie/popular" in failed.status.message
    (exception,) = failed.events
    texts = {pair.key: pair.value.string_value for pair in exception.attributes}
    assert texts["exception.type"] == "requests.exceptions.ConnectionError"
    assert "Connection refused" in texts["exception.stacktrace"]


def test_log_records_when_they_belong_to_a_request_then_they_have_its_trace(
    service: Flask, tracing: Traces
) -> None:
    """In its own thread and in threads of a pool; nowhere else, and not after the end."""
    found: list[tuple[str, str | None]] = []
    log = logging.getLogger("any.library")

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append((record.getMessage(), getattr(record, "trace_id", None)))

    @service.get("/logs")
    def logs() -> str:
        log.warning("request")
        with ThreadPoolExecutor(1) as pool:
            pool.submit(log.warning, "pool").result()
        return ""

    handler = Handler()
    log.addHandler(handler)
    try:
        service.test_client().get("/logs", headers=HEADER)
        log.warning("outside")
        tracing.close()
        service.test_client().get("/logs", headers=HEADER)
    finally:
        log.removeHandler(handler)

    with_it = [("request", TRACE), ("pool", TRACE)]
    without = [("outside", None), ("request", None), ("pool", None)]
    assert found == with_it + without


def test_close_when_it_comes_twice_then_nothing_is_left_instrumented(
    tracing: Traces, collector: Collector, upstream: Host
) -> None:
    """Threads, requests and log records are as they were."""
    tracing.close()
    tracing.close()

    session = requests.Session()
    assert session.get(f"{upstream.url}/after", timeout=60).ok
    session.close()
    assert upstream.parents() == {""}
    assert collector.spans == []


def test_close_when_the_collector_does_not_answer_then_the_process_can_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A worker that is replaced does not wait until the export has failed."""
    monkeypatch.setattr(traces, "FLUSH_S", 0.1)
    given_up, connections = threading.Event(), list[socket.socket]()
    silent = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        connection, _ = silent.accept()
        connections.append(connection)
        while connection.recv(65536):  # nothing more comes, until the client closes
            pass
        given_up.set()

    accepting = threading.Thread(target=accept)
    accepting.start()
    tracing = Traces(f"http://127.0.0.1:{silent.getsockname()[1]}", "a-service", "1.2.3")
    app = Flask("service")
    tracing.instrument(app)
    app.test_client().get("/")

    tracing.close()

    assert not given_up.is_set()
    assert until(lambda: connections, 60)
    silent.close()
    connections[0].shutdown(socket.SHUT_RDWR)
    accepting.join()
    connections[0].close()


@pytest.fixture(scope="module")
def stubs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Host, Host]]:
    """Return TMDB's stub and the user service, over sockets."""
    database = tmp_path_factory.mktemp("users") / "users.sqlite"
    settings = {"ENV_FILE": os.devnull, "DATABASE_URL": f"sqlite:///{database}"}
    with mock.patch.dict(os.environ, settings, clear=True):
        users = user_stub.create_app(UserServiceConfig.from_env())
    made = Host(tmdb_stub.create_app()), Host(users)
    yield made
    for host in made:
        host.close()
    for part in users.extensions.values():
        close = getattr(part, "close", None)
        if callable(close):
            close()


@pytest.fixture
def make_app(stubs: tuple[Host, Host], tmp_path: Path) -> Iterator[Callable[..., Flask]]:
    """Return a maker of BFFs over the two stubs."""
    made: list[Flask] = []

    def make(**settings: str) -> Flask:
        for host in stubs:
            host.seen.clear()
        own = {
            "ENV_FILE": os.devnull,
            "TMDB_BASE_URL": f"{stubs[0].url}/3",
            "USER_SERVICE_URL": stubs[1].url,
            "USER_SERVICE_EVENTS": "false",
            "CACHE_DIR": str(tmp_path / "cache"),
            # A busy machine must not turn a call into a timeout.
            "PAGE_DEADLINE_MS": "20000",
            "TMDB_TIMEOUT_MS": "20000",
            "USER_SERVICE_TIMEOUT_MS": "20000",
            **settings,
        }
        with mock.patch.dict(os.environ, own, clear=True):
            made.append(bff.create_app(Config.from_env()))
        return made[-1]

    yield make
    for app in made:
        app.extensions["bff"].close()


def test_bff_when_a_collector_is_set_then_a_page_is_one_trace(
    make_app: Callable[..., Flask], collector: Collector, stubs: tuple[Host, Host]
) -> None:
    """The request, the film, favourites, watchlist and history; the film's number in no name."""
    app = make_app(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)

    page = "/api/dashboard/movie/550/enriched"
    assert app.test_client().get(page, headers=HEADER).status_code == 200
    app.extensions["bff"].close()  # exports what is left

    (server,), calls = collector.of(SERVER), collector.of(CLIENT)
    assert server.name == "GET /api/dashboard/movie/<tmdb_id:movie_id>/enriched"
    assert server.parent_span_id.hex() == PARENT
    assert len(calls) == 4
    assert {(call.trace_id.hex(), call.parent_span_id) for call in calls} == {
        (TRACE, server.span_id)
    }
    told = stubs[0].parents() | stubs[1].parents()
    assert told == {f"00-{TRACE}-{span.span_id.hex()}-01" for span in calls}


def test_bff_when_a_request_is_turned_away_then_it_has_a_span_as_well(
    make_app: Callable[..., Flask], collector: Collector
) -> None:
    """The trace begins before anything that may refuse a request."""
    app = make_app(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, RATE_LIMIT_PER_MINUTE="1")
    client = app.test_client()

    statuses = [client.get("/api/nowhere").status_code for _ in range(2)]
    app.extensions["bff"].close()

    assert statuses == [404, 429]
    found = [
        pair.value.int_value
        for span in collector.of(SERVER)
        for pair in span.attributes
        if pair.key == "http.response.status_code"
    ]
    assert found == statuses


def test_bff_when_no_collector_is_set_then_nothing_is_traced(
    make_app: Callable[..., Flask], stubs: tuple[Host, Host]
) -> None:
    """Nor is a caller's trace passed on."""
    app = make_app()

    assert app.test_client().get("/api/dashboard/feed", headers=HEADER).status_code == 200
    assert stubs[0].parents() | stubs[1].parents() == {""}


@pytest.mark.parametrize("missing", ["flask", "requests", "threading"])
def test_config_when_the_libraries_are_missing_then_the_start_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    """One line in place of a traceback of each worker."""
    monkeypatch.setitem(sys.modules, f"opentelemetry.instrumentation.{missing}", None)
    settings = {"ENV_FILE": os.devnull, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}
    with mock.patch.dict(os.environ, settings, clear=True), pytest.raises(ConfigError) as caught:
        Config.from_env()

    assert caught.value.faults == [
        "OTEL_EXPORTER_OTLP_ENDPOINT: needs OpenTelemetry: pip install -r requirements-tracing.txt"
    ]
