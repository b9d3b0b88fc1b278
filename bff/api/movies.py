"""TMDB through the BFF: a route for each row of the table of reads."""

from __future__ import annotations

import re
from collections.abc import Callable

from flask import Response

from bff.api.blueprint import UPSTREAM, Blueprint
from bff.api.schemas.documents import Components
from bff.api.schemas.queries import schema_for
from bff.api.services import Services
from bff.reads import READS, Read


def blueprints(services: Services, components: Components) -> list[Blueprint]:
    """Return the routes under `/api/movies`, `/api/search` and `/api/people`."""
    movies, people = Blueprint("Movies", __name__), Blueprint("People", __name__)
    for row in READS:
        assert row.route is not None  # noqa: S101 - every row of the table is a route
        blp = people if row.route.startswith("/api/people") else movies
        _add(blp, row.route, row, services, components)
    return [movies, people]


def _add(blp: Blueprint, route: str, row: Read, services: Services, components: Components) -> None:
    view = _view(row, services)
    view.__doc__ = f"{row.summary}\n\n{row.shape.doc}"
    failures = ("NOT_MODIFIED", *(("NOT_FOUND",) if "{" in route else ()), *UPSTREAM)
    view = blp.fails(*failures)(view)
    view = blp.response(200, components.ref(row.shape))(view)
    view = blp.query(schema_for(row))(view)
    blp.route(_rule(route), endpoint=row.name)(view)


def _view(row: Read, services: Services) -> Callable[..., Response]:
    def view(query: dict[str, str], **path: object) -> Response:
        return services.encoder.read(services.fan_out.one(services.tmdb.read(row, path, query)))

    view.__name__ = row.name
    return view


def _rule(route: str) -> str:
    """Return `/x/{movie_id}` as Flask writes it."""
    return re.sub(r"\{(\w+)\}", lambda found: f"<{_converter(found[1])}:{found[1]}>", route)


def _converter(parameter: str) -> str:
    return "window" if parameter == "window" else "tmdb_id"
