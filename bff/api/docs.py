"""The OpenAPI document, Swagger UI and ReDoc, all from local files."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path
from typing import Any

import flask
import flask_smorest
import orjson
from flask import Flask, Response

from bff.api.blueprint import CONVERTERS
from bff.api.problems import CONTENT_TYPE, KINDS
from bff.api.schemas import answers
from bff.api.schemas.documents import Components

UI_FILES = Path(__file__).resolve().parents[2] / "docs_ui"
_DESCRIPTION = """One API for movie frontends over TMDB and a user service.

Every page says in `sections` how each of its parts came about. What could not
be had is `null`, never an empty list. Errors are problem documents (RFC 9457).
This product uses the TMDB API but is not endorsed or certified by TMDB."""
TAGS = (
    ("Dashboard", "One call for each screen."),
    ("Movies", "TMDB's reads, guarded and cached."),
    ("People", "People in films."),
    ("Users", "Favourites, watchlist and history of the caller."),
    ("Service", "Configuration and health."),
)


class Api(flask_smorest.Api):  # type: ignore[misc]
    """flask-smorest with problem documents for errors and shapes for answers."""

    DEFAULT_ERROR_RESPONSE_NAME = None
    components: Components
    _document: bytes = b""

    def _register_error_handlers(self) -> None:
        """Leave the errors to `bff.api.problems`."""

    def _register_responses(self) -> None:
        """Register a response for each status; used by `Blueprint.fails`."""
        self.components = Components(self.spec.components.schema)
        base = self.components.ref(answers.PROBLEM)
        self.components.ref(answers.UPSTREAM_PROBLEM)
        upstream = {"$ref": "#/components/schemas/UpstreamProblem"}
        self.spec.components.schema("ValidationProblem", _validation(base))
        for status in HTTPStatus:
            response: dict[str, Any] = {"description": status.phrase}
            if status >= 400:
                schema = base
                if status == 422:
                    schema = {"$ref": "#/components/schemas/ValidationProblem"}
                elif status in (502, 504):
                    schema = upstream
                elif status == 503:
                    schema = {"anyOf": [upstream, base]}
                response["content"] = {CONTENT_TYPE: {"schema": schema}}
                response["headers"] = _headers(status)
            self.spec.components.response(status.name, response, lazy=True)

    def _openapi_json(self) -> Response:
        """Serve the document; it is made once."""
        if not self._document:
            self._document = orjson.dumps(self.spec.to_dict())
        return Response(
            self._document,
            content_type="application/json",
            headers={"Cache-Control": "public, max-age=300"},
        )


def _headers(status: int) -> dict[str, Any]:
    headers: dict[str, Any] = {}
    if status in (429, 503):
        headers["Retry-After"] = {
            "schema": {"type": "integer", "minimum": 1},
            "description": "Seconds to wait.",
        }
    if status == 401:
        headers["WWW-Authenticate"] = {"schema": {"type": "string"}}
    return headers


def _validation(base: dict[str, Any]) -> dict[str, Any]:
    errors = {
        "type": "object",
        "description": "What is wrong, by field.",
        "additionalProperties": {"type": "array", "items": {"type": "string"}},
    }
    return {"allOf": [base, {"type": "object", "properties": {"errors": errors}}]}


def register(app: Flask, version: str) -> Api:
    """Serve the document and its pages; return the API that blueprints register with."""
    app.config.update(
        API_TITLE="Movie Dashboard BFF",
        API_VERSION=version,
        OPENAPI_VERSION="3.1.0",
        OPENAPI_URL_PREFIX="/",
        OPENAPI_SWAGGER_UI_PATH="/docs",
        OPENAPI_SWAGGER_UI_URL="/docs-ui/swagger-ui/",
        OPENAPI_SWAGGER_UI_CONFIG={"persistAuthorization": True, "validatorUrl": None},
        OPENAPI_REDOC_PATH="/redoc",
        OPENAPI_REDOC_URL="/docs-ui/redoc/redoc.standalone.js",
        API_SPEC_OPTIONS={
            "info": {
                "description": _DESCRIPTION,
                "license": {"name": "MIT", "identifier": "MIT"},
            },
            "servers": [{"url": "/"}],
            "tags": [{"name": name, "description": text} for name, text in TAGS],
        },
    )
    for name, (converter, _) in CONVERTERS.items():
        app.url_map.converters[name] = converter
    api = Api(app)
    api.spec.components.security_scheme(
        "bearer", {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    )
    for converter, schema in CONVERTERS.values():
        api.register_converter(converter, lambda _converter, schema=schema: dict(schema))
    app.register_blueprint(
        flask.Blueprint(
            "docs_ui", __name__, static_folder=str(UI_FILES), static_url_path="/docs-ui"
        )
    )
    app.add_url_rule("/problems/<name>", "problem", _problem_kind)
    return api


def _problem_kind(name: str) -> Response:
    """Explain a kind of problem: where the `type` of a problem document leads."""
    kind = KINDS.get(name)
    if kind is None:
        flask.abort(404, "there is no such kind of problem")
    told = {
        "type": f"/problems/{kind.name}",
        "title": kind.title,
        "status": kind.status,
        "advice": kind.advice,
    }
    return Response(orjson.dumps(told), content_type="application/json")
