"""The HTTP API: one module per noun, and the OpenAPI document of all."""

from __future__ import annotations

from pathlib import Path

from flask import Blueprint, Flask

from user_stub.api import events, health, lists
from user_stub.problems import ProblemApi

# Swagger UI, shared with the BFF; served from here, so that the page works offline.
UI_FILES = Path(__file__).resolve().parents[2] / "docs_ui"
REQUEST_ID = {
    "in": "header",
    "name": "X-Request-ID",
    "description": "Kept if it is a plain token, else replaced; returned and logged.",
    "schema": {"type": "string"},
}


def install(app: Flask) -> None:
    """Serve the API, `/openapi.json` and `/docs`."""
    app.config.update(
        API_TITLE="User service",
        API_VERSION=health.VERSION,
        OPENAPI_VERSION="3.1.0",
        OPENAPI_URL_PREFIX="/",
        OPENAPI_SWAGGER_UI_PATH="/docs",
        OPENAPI_SWAGGER_UI_URL="/static/swagger-ui/",
        API_SPEC_OPTIONS={
            "info": {
                "description": "Favourites, watchlist and watch history per user.",
                "license": {"name": "MIT", "identifier": "MIT"},
            }
        },
    )
    files = Blueprint("docs", __name__, static_folder=str(UI_FILES), static_url_path="/static")
    app.register_blueprint(files)
    api = ProblemApi(app)
    if app.config["SERVICE_TOKEN"]:
        api.spec.components.security_scheme("serviceToken", {"type": "http", "scheme": "bearer"})
        api.spec.options["security"] = [{"serviceToken": []}]
    for blueprint in (health.blp, events.blp, lists.blp):
        api.register_blueprint(blueprint, parameters=[REQUEST_ID])
