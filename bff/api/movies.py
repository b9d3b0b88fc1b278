"""TMDB through the BFF: a route for each row of the table of reads, and where pictures are."""

from __future__ import annotations

import re
from dataclasses import replace

from flask import Response

from bff.api.blueprint import Blueprint, Query
from bff.api.services import services
from bff.reads import READS, Read
from bff.schemas.queries import FilmQuerySchema
from bff.schemas.service import ConfigurationSchema

NOTICE = (
    "This product uses the TMDB API but is not endorsed or certified by TMDB. "
    "Watch providers: data by JustWatch."
)
movies = Blueprint("Movies", __name__)
people = Blueprint("People", __name__)


def add_route(row: Read) -> None:
    """Add the route of a row of the table."""
    blp = people if row.route.startswith("/api/people/") else movies

    @blp.route(_rule(row.route), endpoint=row.name)
    @blp.doc(operationId=row.operation_id, summary=row.summary)
    @blp.arguments(row.query, location="query")
    @blp.response(200, row.schema)
    def view(query: Query, **path: object) -> Response:
        parts = services()
        return parts.encoder.read(parts.fan_out.one(parts.tmdb.read(row, path, query)))


def _rule(route: str) -> str:
    """Return `/x/{movie_id}` as Flask writes it."""
    rule = route.replace("{window}", "<window:window>")
    return re.sub(r"\{(\w+)\}", r"<tmdb_id:\1>", rule)


for _row in READS:
    add_route(_row)


@movies.route("/api/configuration", tags=["Service"])
@movies.doc(operationId="getConfiguration")
@movies.arguments(FilmQuerySchema, location="query")
@movies.response(200, ConfigurationSchema)
def configuration(_query: Query) -> Response:
    """Get where pictures are, and what must be said of the source

    `language` and `region` go with every read of TMDB; this one does not depend on them.
    """
    parts = services()
    answer = parts.fan_out.one(parts.tmdb.configuration())
    images = dict(answer.value["images"])
    body = {
        "images": {"base_url": images.pop("secure_base_url"), **images},
        "tmdb": "live" if parts.tmdb_is_live else "stub",
        "attribution": NOTICE,
    }
    return parts.encoder.read(replace(answer, value=body, number=0))
