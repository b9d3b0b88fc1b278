"""Traces by OpenTelemetry's own instrumentation, exported as OTLP over HTTP.

The composition root imports this module only where OTEL_EXPORTER_OTLP_ENDPOINT is
set; the libraries are those of `requirements-tracing.txt`.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Callable, Sequence
from typing import Any

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.instrumentation.threading import ThreadingInstrumentor
from opentelemetry.propagate import set_global_textmap
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import Attributes

FLUSH_S = 3.0  # how long a process that ends waits for the collector
_QUERY = re.compile(r"\?\S*")


class Traces:
    """Spans for requests, for calls that go out, and across threads.

    One per process, since it instruments `requests`, threads and log records as a
    whole. Build it after the fork: it has a thread that exports. `endpoint` is the
    collector's address without `/v1/traces`.
    """

    def __init__(self, endpoint: str, service: str, version: str) -> None:
        # Stable names of attributes, such as http.response.status_code; an operator may choose.
        os.environ.setdefault("OTEL_SEMCONV_STABILITY_OPT_IN", "http")
        # The default passes a caller's `baggage` header on as well, even to TMDB.
        set_global_textmap(TraceContextTextMapPropagator())
        resource = Resource.create({"service.name": service, "service.version": version})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        exporter = _Exporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        RequestsInstrumentor().instrument(tracer_provider=self._provider)
        ThreadingInstrumentor().instrument()
        self._records = logging.getLogRecordFactory()
        logging.setLogRecordFactory(_with_trace_id(self._records))
        self._closed = False

    def instrument(self, app: Any) -> None:
        """Trace the requests of a Flask app; call it before anything else hooks into them."""
        # The commenter adds comments to SQL, which this service does not send.
        FlaskInstrumentor.instrument_app(  # type: ignore[no-untyped-call]
            app, tracer_provider=self._provider, enable_commenter=False
        )

    def close(self) -> None:
        """End the instrumentation and export what is left, within `FLUSH_S`; idempotent."""
        if self._closed:
            return
        self._closed = True
        logging.setLogRecordFactory(self._records)
        ThreadingInstrumentor().uninstrument()
        RequestsInstrumentor().uninstrument()
        # By itself it waits for half a minute where the collector does not answer.
        flush = threading.Thread(target=self._provider.shutdown, daemon=True)
        flush.start()
        flush.join(FLUSH_S)


def _with_trace_id(make: Callable[..., logging.LogRecord]) -> Callable[..., logging.LogRecord]:
    """Return a maker of log records that notes the current trace as `record.trace_id`."""

    def made(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        current = trace.get_current_span().get_span_context()
        if current.is_valid:
            record.trace_id = trace.format_trace_id(current.trace_id)
        return record

    return made


class _Exporter(OTLPSpanExporter):
    """Exports spans without the query of any address.

    A query may hold TMDB's `api_key` or what somebody searched for. It stands in
    attributes, and in the messages and tracebacks of exceptions, which no hook of the
    instrumentation sees: https://github.com/open-telemetry/opentelemetry-python/issues/4424
    """

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export the spans of a batch."""
        return super().export([_without_queries(span) for span in spans])


def _without_queries(span: ReadableSpan) -> ReadableSpan:
    status = span.status
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=_cleaned(span.attributes),
        events=[Event(one.name, _cleaned(one.attributes), one.timestamp) for one in span.events],
        links=span.links,
        kind=span.kind,
        status=trace.Status(status.status_code, _QUERY.sub("", status.description or "") or None),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _cleaned(attributes: Attributes) -> Attributes:
    return {
        name: _QUERY.sub("", value) if isinstance(value, str) else value
        for name, value in (attributes or {}).items()
        if name != "url.query"
    }
