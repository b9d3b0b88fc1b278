"""The stub's own state: `/` and `/health`, without a credential."""

from __future__ import annotations

from typing import Any

from flask import Blueprint

from tmdb_stub.stub import Stub


def blueprint(stub: Stub) -> Blueprint:
    """Return the routes over one stub."""
    routes = Blueprint("service", __name__)

    @routes.get("/")
    @routes.get("/health")
    def health() -> dict[str, Any]:
        """Say that the stub is up and how many films it has."""
        films = len(stub.catalogue.films)
        return {"status": "healthy", "service": "tmdb-stub", "films": films}

    return routes
