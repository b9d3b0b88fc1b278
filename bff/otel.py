"""Traces by OpenTelemetry, sent as OTLP over HTTP; used where an endpoint is set.

The libraries are an option: `pip install -r requirements-tracing.txt`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_span: ContextVar[Span | None] = ContextVar("bff_span", default=None)


class OtelTracer:
    """A span for each request and for each call that goes out. Thread-safe.

    Built after the fork, because it has a thread that exports. The current
    span is held in a context variable, which tasks of the pool have copied.
    """

    def __init__(self, endpoint: str, service: str, version: str) -> None:
        resource = Resource.create({"service.name": service, "service.version": version})
        self._provider = TracerProvider(resource=resource)
        exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("bff")
        self._propagator = TraceContextTextMapPropagator()

    def incoming(self, traceparent: str | None, name: str) -> str:
        """Begin a request's span, as a child of the caller's, and return its trace id."""
        carrier = {"traceparent": traceparent} if traceparent else {}
        parent = self._propagator.extract(carrier)
        span = self._tracer.start_span(name, parent, SpanKind.SERVER)
        _span.set(span)
        otel_context.attach(trace.set_span_in_context(span, parent))
        return trace.format_trace_id(span.get_span_context().trace_id)

    def ended(self, route: str, status: int) -> None:
        """End the request's span."""
        span = _span.get()
        if span is None:
            return
        span.set_attribute("http.route", route)
        span.set_attribute("http.response.status_code", status)
        if status >= 500:
            span.set_status(Status(StatusCode.ERROR))
        span.end()
        _span.set(None)

    @contextmanager
    def calling(self, upstream: str, operation: str) -> Iterator[dict[str, str]]:
        """Make a span around a call; yield the headers that carry it on."""
        attributes = {"peer.service": upstream, "bff.operation": operation}
        with self._tracer.start_as_current_span(
            f"{upstream} {operation}", kind=SpanKind.CLIENT, attributes=attributes
        ):
            headers: dict[str, str] = {}
            self._propagator.inject(headers)
            yield headers

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()
