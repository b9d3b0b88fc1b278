"""Whether the service lives and can work. No upstream is asked."""

from __future__ import annotations

from typing import Any

import orjson
from flask import Response, current_app
from prometheus_client import CONTENT_TYPE_LATEST

from bff.api.blueprint import Blueprint, refuse_query
from bff.api.encode import JSON, SERVICE
from bff.api.services import services
from bff.observability import metrics
from bff.schemas.service import HealthSchema, ReadinessSchema

HEALTH_JSON = "application/health+json"
blp = Blueprint("Service", __name__)
blp.before_request(refuse_query)


@blp.route("/health")
@blp.doc(operationId="getHealth")
@blp.response(200, HealthSchema)
def health() -> Response:
    """Tell that the process answers"""
    return _json({"status": "healthy", "service": SERVICE, "version": _version()})


@blp.route("/health/live")
@blp.doc(operationId="getLiveness")
@blp.response(200, HealthSchema)
def live() -> Response:
    """Tell that the process answers, as `/health` does"""
    return _json({"status": "healthy", "service": SERVICE, "version": _version()})


@blp.route("/health/ready")
@blp.doc(operationId="getReadiness")
@blp.response(200, ReadinessSchema, content_type=HEALTH_JSON)
@blp.alt_response(
    503,
    schema=ReadinessSchema,
    content_type=HEALTH_JSON,
    description="The process is ending, and can do no more work.",
)
def ready() -> Response:
    """Tell whether the process can work; an upstream that is down is a warning"""
    checks = services().health()
    found = {check["status"] for several in checks.values() for check in several}
    worst = next(status for status in ("fail", "warn", "pass") if status in found)
    body = {
        "status": worst,
        "version": _version().partition(".")[0],
        "releaseId": _version(),
        "serviceId": SERVICE,
        "description": "what this worker knows; asking it costs no upstream call",
        "checks": checks,
    }
    return _json(body, 503 if worst == "fail" else 200, HEALTH_JSON)


@blp.route("/metrics")
@blp.doc(operationId="getMetrics")
@blp.response(200, {"type": "string"}, content_type="text/plain", description="Metrics.")
def prometheus() -> Response:
    """Get the metrics of all workers, in Prometheus' text format"""
    return Response(metrics.exposition(), content_type=CONTENT_TYPE_LATEST)


def _json(body: dict[str, Any], status: int = 200, kind: str = JSON) -> Response:
    return Response(orjson.dumps(body), status, {"Cache-Control": "no-store"}, content_type=kind)


def _version() -> str:
    version: str = current_app.config["API_VERSION"]
    return version
