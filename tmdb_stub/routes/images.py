"""Drawn posters, backdrops and portraits under TMDB's image paths, without a credential."""

from __future__ import annotations

from flask import Blueprint, Response, abort

from tmdb_stub.replies import raw_reply
from tmdb_stub.stub import Stub

_DAY_S = 86_400


def blueprint(stub: Stub) -> Blueprint:
    """Return the routes over one stub."""
    routes = Blueprint("images", __name__)

    @routes.get("/t/p/<size>/<path:path>")
    def image(size: str, path: str) -> Response:
        """Draw the picture of an image path in one of TMDB's sizes."""
        data = stub.pictures.find(size, f"/{path}")
        if data is None:
            abort(404)
        return raw_reply(data, "image/svg+xml; charset=utf-8", _DAY_S)

    return routes
