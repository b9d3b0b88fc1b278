"""The OpenAPI document and Swagger UI."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flask import Blueprint, Flask
from flask_smorest import Api

from user_stub.version import VERSION

# Shared with the BFF; the page works without internet where the files are there.
UI_FILES = Path(__file__).resolve().parent.parent / "docs_ui"


class DocumentedApi(Api):  # type: ignore[misc]
    """flask-smorest without its own error bodies: ours are problem documents."""

    DEFAULT_ERROR_RESPONSE_NAME = None

    def _register_error_handlers(self) -> None:
        """Leave the errors to `user_stub.problems`."""

    def _register_responses(self) -> None:
        """Leave out the responses by name: each operation documents its own."""


def register_docs(app: Flask, *, with_token: bool) -> Api:
    """Serve `/openapi.json` and `/docs`; return the API that blueprints register with."""
    options: dict[str, Any] = {
        "info": {
            "description": "Favourites, watchlist and watch history per user.",
            "license": {"name": "MIT", "identifier": "MIT"},
        }
    }
    if with_token:
        options["security"] = [{"serviceToken": []}]
    app.config.update(
        API_TITLE="User service",
        API_VERSION=VERSION,
        OPENAPI_VERSION="3.1.0",
        OPENAPI_URL_PREFIX="/",
        OPENAPI_SWAGGER_UI_PATH="/docs",
        OPENAPI_SWAGGER_UI_URL="/static/swagger-ui/",
        API_SPEC_OPTIONS=options,
    )
    if UI_FILES.is_dir():
        app.register_blueprint(
            Blueprint("docs", __name__, static_folder=str(UI_FILES), static_url_path="/static")
        )
    api = DocumentedApi(app)
    if with_token:
        api.spec.components.security_scheme("serviceToken", {"type": "http", "scheme": "bearer"})
    return api
