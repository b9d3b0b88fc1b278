"""Whether the service lives and can work, and what a frontend needs to know of it."""

from __future__ import annotations

from dataclasses import replace

import orjson
from flask import Response
from prometheus_client import CONTENT_TYPE_LATEST

from bff.api import encode
from bff.api.blueprint import UPSTREAM, Blueprint, Query
from bff.api.schemas import answers
from bff.api.schemas.documents import Components
from bff.api.schemas.queries import FilmQuerySchema
from bff.api.services import Services
from bff.observability import metrics

NAME = "movie-dashboard-bff"
HEALTH_JSON = "application/health+json"
NOTICE = (
    "This product uses the TMDB API but is not endorsed or certified by TMDB. "
    "Watch providers: data by JustWatch."
)


def blueprint(services: Services, components: Components, version: str) -> Blueprint:
    """Return `/health`, `/metrics` and `/api/configuration`."""
    blp = Blueprint("Service", __name__)
    alive = orjson.dumps({"status": "healthy", "service": NAME, "version": version})

    def health() -> Response:
        """Tell that the process answers; asks no upstream"""
        return encode.settled(alive, encode.JSON)

    for path, endpoint in (("/health", "health"), ("/health/live", "live")):
        view = blp.response(200, components.ref(answers.HEALTH))(health)
        view = blp.fails("NOT_MODIFIED")(view)
        view = blp.no_query(view)
        blp.route(path, endpoint=endpoint)(view)

    @blp.route("/health/ready")
    @blp.no_query
    @blp.response(200, answers.READINESS, content_type=HEALTH_JSON)
    @blp.alt_response(
        503,
        schema=answers.READINESS,
        content_type=HEALTH_JSON,
        description="The process is ending, and can do no more work",
    )
    @blp.fails("NOT_MODIFIED")
    def ready() -> Response:
        """Tell whether the process can work; an upstream that is down is a warning"""
        checks = services.health()
        said = {check["status"] for several in checks.values() for check in several}
        worst = next(status for status in ("fail", "warn", "pass") if status in said)
        body = {
            "status": worst,
            "version": version.partition(".")[0],
            "releaseId": version,
            "serviceId": NAME,
            "description": "what this worker knows; asking it costs no upstream call",
            "checks": checks,
        }
        text = orjson.dumps(body)
        if worst == "fail":
            return Response(text, 503, {"Cache-Control": "no-store"}, content_type=HEALTH_JSON)
        return encode.settled(text, HEALTH_JSON)

    @blp.route("/metrics")
    @blp.no_query
    @blp.response(200, {"type": "string"}, content_type="text/plain")
    @blp.fails("NOT_MODIFIED")
    def prometheus() -> Response:
        """Get the metrics of all workers, in Prometheus' text format"""
        return encode.settled(metrics.exposition(), CONTENT_TYPE_LATEST)

    @blp.route("/api/configuration")
    @blp.query(FilmQuerySchema)
    @blp.response(200, components.ref(answers.CONFIGURATION))
    @blp.fails("NOT_MODIFIED", *UPSTREAM)
    def configuration(_query: Query) -> Response:
        """Get where pictures are, and what must be said of the source"""
        # Language and region go with every read of TMDB; this one does not depend on them.
        answer = services.fan_out.one(services.tmdb.configuration())
        images = answer.value["images"]
        body = {
            "images": {
                "base_url": images["secure_base_url"],
                "poster_sizes": images["poster_sizes"],
                "backdrop_sizes": images["backdrop_sizes"],
                "profile_sizes": images["profile_sizes"],
            },
            "tmdb": "live" if services.tmdb_is_live else "stub",
            "attribution": NOTICE,
        }
        return services.encoder.read(replace(answer, value=body, number=0))

    return blp
