"""Traces: taken in, through the pool, to the upstreams, and to a collector over OTLP."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from flask import Flask
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

import bff
import tmdb_stub
import user_stub
from bff.observability import logs
from config import Config, UserServiceConfig

TRACE, PARENT = "4bf92f3577b34da6" * 2, "00f067aa0ba902b7"
HEADER = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
PAGE = "/api/dashboard/movie/550/enriched"


class Collector:
    """Receives spans as a collector does (OTLP over HTTP, protobuf)."""

    def __init__(self) -> None:
        spans = self.spans = list[Any]()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                assert self.path == "/v1/traces"
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    import gzip

                    body = gzip.decompress(body)
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    for scope in resource.scope_spans:
                        spans.extend(scope.spans)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


class Host:
    """Serves an app over a socket and keeps the traceparent of each request."""

    def __init__(self, app: Any) -> None:
        from werkzeug.serving import WSGIRequestHandler, make_server

        seen = self.seen = list[str]()

        class Silent(WSGIRequestHandler):
            def log(self, *_: object) -> None:  # type: ignore[override]
                pass

        def keeping(environ: Any, start: Any) -> Any:
            seen.append(environ.get("HTTP_TRACEPARENT", ""))
            return app(environ, start)

        self._server = make_server("127.0.0.1", 0, keeping, threaded=True, request_handler=Silent)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Host, Host]]:
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
def make_app(hosts: tuple[Host, Host], tmp_path: Path) -> Iterator[Callable[..., Flask]]:
    """Return a maker of apps over the two hosts."""
    made: list[Flask] = []

    def make(**settings: str) -> Flask:
        for host in hosts:
            host.seen.clear()
        own = {
            "ENV_FILE": os.devnull,
            "TMDB_BASE_URL": f"{hosts[0].url}/3",
            "USER_SERVICE_URL": hosts[1].url,
            "USER_SERVICE_EVENTS": "false",
            "CACHE_FILE": str(tmp_path / "cache.sqlite"),
            "LOG_FORMAT": "json",
            "PAGE_DEADLINE_MS": "20000",
            "TMDB_TIMEOUT_MS": "15000",
            "USER_SERVICE_TIMEOUT_MS": "15000",
            "POOL_THREADS": "64",
            "TMDB_CALLS_PER_SECOND": "10000",
            "TMDB_CONNECTIONS": "1000",
            **settings,
        }
        with mock.patch.dict(os.environ, own, clear=True):
            made.append(bff.create_app(Config.from_env()))
        return made[-1]

    yield make
    for app in made:
        app.extensions["bff"].close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    """Return a collector."""
    made = Collector()
    yield made
    made.close()


def test_traces_when_a_collector_is_set_then_spans_have_the_right_parents(
    make_app: Callable[..., Flask], collector: Collector, hosts: tuple[Host, Host]
) -> None:
    """Caller -> request -> calls, also from threads of the pool; upstreams get the calls' ids."""
    app = make_app(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)

    response = app.test_client().get(PAGE, headers=HEADER)
    app.extensions["bff"].close()  # sends what is left

    assert response.status_code == 200, response.text
    (server,) = [span for span in collector.spans if span.kind == 2]
    calls = [span for span in collector.spans if span.kind == 3]
    assert {span.trace_id.hex() for span in collector.spans} == {TRACE}
    assert server.parent_span_id.hex() == PARENT
    assert len(calls) == 4  # the film, favourites, watchlist, history
    assert {span.parent_span_id for span in calls} == {server.span_id}
    told = {seen for host in hosts for seen in host.seen}
    assert told == {f"00-{TRACE}-{span.span_id.hex()}-01" for span in calls}
    attributes = {pair.key: pair.value for pair in server.attributes}
    assert attributes["http.response.status_code"].int_value == 200
    assert attributes["http.route"].string_value.startswith("/api/dashboard/movie/")
    assert "550" not in attributes["http.route"].string_value


def test_traces_when_many_requests_run_then_none_gets_anothers_parent(
    make_app: Callable[..., Flask], collector: Collector
) -> None:
    """Thirty requests of six threads; without a caller's trace each begins its own."""
    app = make_app(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)

    def ask(number: int) -> None:
        for page in range(5):
            trace = f"{number:016x}{page + 1:016x}"
            headers = {"traceparent": f"00-{trace}-{PARENT}-01"} if number else {}
            path = f"/api/dashboard/feed?page={5 * number + page + 1}"
            assert app.test_client().get(path, headers=headers).status_code == 200

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    app.extensions["bff"].close()

    servers = {span.span_id: span for span in collector.spans if span.kind == 2}
    calls = [span for span in collector.spans if span.kind == 3]
    assert len(servers) == 30
    assert len({span.trace_id for span in servers.values()}) == 30
    assert len(calls) == 90
    for call in calls:
        assert servers[call.parent_span_id].trace_id == call.trace_id


@pytest.mark.parametrize(
    "given", ["", "no", f"00-{'0' * 32}-{PARENT}-01", f"ff-{TRACE}-{PARENT}-01"]
)
def test_trace_when_the_option_is_off_then_only_a_good_one_goes_on(
    make_app: Callable[..., Flask],
    hosts: tuple[Host, Host],
    given: str,
) -> None:
    """With a caller's trace: the same trace with new parents, and in the log; else nothing."""
    app, log = make_app(), io.StringIO()
    logs.configure("DEBUG", "json", "", log)
    app.test_client().get(PAGE, headers={"traceparent": given} if given else {})
    assert {seen for host in hosts for seen in host.seen} == {""}
    assert "trace_id" not in log.getvalue()
    assert "upstream.call" in log.getvalue()

    app.test_client().get("/api/dashboard/feed", headers=HEADER)
    told = [seen.split("-") for host in hosts for seen in host.seen if seen]
    assert len(told) == 3
    assert {(version, trace) for version, trace, _, _ in told} == {("00", TRACE)}
    assert len({span for _, _, span, _ in told} - {PARENT, "0" * 16}) == 3
    assert log.getvalue().count(f'"trace_id":"{TRACE}"') == 4  # the request and its calls
