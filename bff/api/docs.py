"""The OpenAPI document, Swagger UI and ReDoc, all from local files."""

from __future__ import annotations

import inspect
from collections.abc import Collection
from http import HTTPStatus
from pathlib import Path
from typing import Any

import flask
import flask_smorest
from apispec import APISpec, BasePlugin
from flask import Flask, Response
from marshmallow import Schema
from werkzeug.exceptions import HTTPException

from bff.api import problems
from bff.api.blueprint import TmdbIdConverter, WindowConverter, refuse_query
from bff.schemas.base import UnionSchema
from bff.schemas.problems import ProblemSchema, UpstreamProblemSchema
from bff.schemas.queries import RevisionSchema
from bff.schemas.tmdb import MOST_ID

Json = dict[str, Any]
UI_FILES = Path(__file__).resolve().parents[2] / "docs_ui"
DESCRIPTION = Path(__file__).with_name("description.md").read_text(encoding="utf-8").rstrip()
TAGS = {
    "Dashboard": "One call for each screen: films of TMDB with what the user did with them.",
    "Users": "The caller's favourites, watchlist and history.",
    "Movies": "TMDB's films in TMDB's own form, cached and guarded.",
    "People": "People in films, in TMDB's own form.",
    "Service": "Configuration, health and metrics.",
}
BEARER = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "JWT",
    "description": "A JSON Web Token whose `sub` is the user. Without one the demo user is meant, "
    "unless the service requires a token (`AUTH_ENABLED`): then it is 401.",
}
REQUEST_ID = {
    "description": "Id of the request: the caller's, or a new one. The log has the same.",
    "schema": {"type": "string", "maxLength": 128, "examples": ["example-request-1"]},
}
RETRY_AFTER = {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}}
CHALLENGE = {
    "description": "`Bearer`, and what is wrong with the token (RFC 6750).",
    "schema": {"type": "string"},
}
PATH_PARAMETERS: dict[str, Json] = {
    "movie_id": {"description": "TMDB's number of the film; 550 is Fight Club.", "example": 550},
    "person_id": {
        "description": "TMDB's number of the person; 819 is Edward Norton.",
        "example": 819,
    },
    "window": {"description": "Window of time that counts.", "example": "week"},
}
PERSONAL = ("/api/dashboard/", "/api/users/")


class Api(flask_smorest.Api):  # type: ignore[misc]
    """flask-smorest with problem documents for errors."""

    ERROR_SCHEMA = ProblemSchema
    DEFAULT_ERROR_RESPONSE_NAME = None

    def handle_http_exception(self, error: HTTPException) -> Response:
        """Answer what Flask, werkzeug and webargs raise."""
        return problems.from_http(error)


class Rules(BasePlugin):
    """What holds for every operation and every schema, so that none of them has to say it."""

    spec: APISpec

    def __init__(self, upstreams: Collection[str] = ()) -> None:
        self._upstreams = list(upstreams)

    def init_spec(self, spec: APISpec) -> None:
        """Remember the document."""
        self.spec = spec

    def schema_helper(self, name: str, definition: Json, schema: Any = None, **_: Any) -> Json:
        """Describe a component by the docstring of its schema; name the variants of a union."""
        kind = schema if isinstance(schema, type) else type(schema)
        told: Json = {"description": _words(kind)}
        if kind is UpstreamProblemSchema:
            definition["properties"]["upstream"]["enum"] = self._upstreams
        if issubclass(kind, UnionSchema):
            del definition["type"], definition["properties"]
            names = {tag: _component(self.spec, one) for tag, one in kind.variants.items()}
            told["oneOf"] = list(names.values())
            told["discriminator"] = {
                "propertyName": kind.tag,
                "mapping": {tag: f"#/components/schemas/{one}" for tag, one in names.items()},
            }
        return told

    def path_helper(
        self, path: str | None = None, operations: Any = None, parameters: Any = None, **_: Any
    ) -> None:
        """Say what every operation of a path can be asked and can answer."""
        for parameter in parameters:
            what = parameter["name"].removesuffix("_id")
            told = {"description": f"TMDB's number of the {what}."}
            parameter.update(PATH_PARAMETERS.get(parameter["name"], told))
        for method, operation in operations.items():
            responses = operation["responses"]
            for status in sorted(_statuses(str(path), method, operation) - responses.keys()):
                responses[status] = HTTPStatus(status).name
            for response in responses.values():
                if isinstance(response, dict):
                    _describe(response)
            given = operation.setdefault("parameters", [])
            if method == "get":
                given.append("IF_NONE_MATCH")
            if str(path).startswith(PERSONAL):
                operation["security"] = [{"bearer": []}, {}]
                if method == "get":
                    given.append({"in": "header", "schema": RevisionSchema})


def _statuses(path: str, method: str, operation: Json) -> set[int]:
    """Return the failures that an operation can answer with because of what it is."""
    personal, reads = path.startswith(PERSONAL), method == "get"
    rules = {
        (422, 500): True,
        (304,): reads,
        (400, 413, 415): "requestBody" in operation,
        (401,): personal,
        (404,): "{" in path or method == "post",
        (409,): personal and not reads,
        (429, 502, 503, 504): path.startswith("/api/"),
    }
    return {status for statuses, holds in rules.items() if holds for status in statuses}


def _component(spec: APISpec, schema: type[Schema]) -> str:
    name = schema.__name__.removesuffix("Schema")
    if name not in spec.components.schemas:
        spec.components.schema(name, schema=schema)
    return name


def _words(schema: Any) -> str:
    """Return the docstring of a schema in one line."""
    return " ".join(str(inspect.getdoc(schema)).split())


def _describe(response: Json) -> None:
    """Describe an answer by its schema, where the view says nothing else."""
    response.setdefault("headers", {})["X-Request-ID"] = "X-Request-ID"
    for content in response.get("content", {}).values():
        if isinstance(content["schema"], Schema) and response["description"] == "OK":
            response["description"] = _words(content["schema"])


def register(app: Flask, version: str, upstreams: Collection[str]) -> Api:
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
            "info": {"description": DESCRIPTION, "license": {"name": "MIT", "identifier": "MIT"}},
            "servers": [{"url": "/", "description": "The service that this document came from."}],
            "security": [],  # nothing needs a token but what says so
            "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        },
    )
    app.url_map.converters.update(tmdb_id=TmdbIdConverter, window=WindowConverter)
    api = Api(app, spec_kwargs={"extra_plugins": [Rules(upstreams)]})
    api.register_converter(
        TmdbIdConverter, lambda _: {"type": "integer", "minimum": 1, "maximum": MOST_ID}
    )
    api.register_converter(
        WindowConverter, lambda one: {"type": "string", "enum": list(one.windows)}
    )
    parts = api.spec.components
    del parts.schemas["PaginationMetadata"]  # flask-smorest's; nothing here refers to it
    parts.security_scheme("bearer", BEARER)
    parts.header("X-Request-ID", REQUEST_ID)
    parts.response("NOT_MODIFIED", _not_modified(), lazy=True)
    for kind in problems.KINDS.values():
        parts.response(HTTPStatus(kind.status).name, _problem(kind), lazy=True)
    app.before_request_funcs.setdefault("api-docs", []).append(refuse_query)
    ui = flask.Blueprint("docs_ui", __name__, static_folder=UI_FILES, static_url_path="/docs-ui")
    app.register_blueprint(ui)
    app.add_url_rule("/problems/<name>", "problem", problem_kind)
    return api


def _not_modified() -> Json:
    return {
        "description": "The caller's copy, named by `If-None-Match`, still holds.",
        "headers": {"X-Request-ID": "X-Request-ID", "ETag": "ETAG"},
    }


def _problem(kind: problems.Kind) -> Json:
    """Describe the problem document of a kind."""
    schema: Any = kind.schema
    if schema is UpstreamProblemSchema and kind.status == HTTPStatus.SERVICE_UNAVAILABLE:
        schema = {"anyOf": [UpstreamProblemSchema, ProblemSchema]}
    headers: Json = {"X-Request-ID": "X-Request-ID"}
    if kind.status in (429, 503):
        headers["Retry-After"] = RETRY_AFTER
    if kind.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = CHALLENGE
    content = {"schema": schema, "example": problems.example(kind)}
    return {
        "description": kind.meaning,
        "headers": headers,
        "content": {problems.CONTENT_TYPE: content},
    }


def problem_kind(name: str) -> Json:
    """Explain a kind of problem: where the `type` of a problem document leads."""
    refuse_query()
    kind = problems.KINDS.get(name)
    if kind is None:
        flask.abort(404, "there is no such kind of problem")
    return {
        "type": f"/problems/{kind.name}",
        "title": kind.title,
        "status": kind.status,
        "advice": kind.advice,
    }
