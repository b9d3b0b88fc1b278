"""The OpenAPI document, Swagger UI and ReDoc, all from local files."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path
from typing import Any

import flask
import flask_smorest
import orjson
from flask import Flask, Response

from bff.api import encode
from bff.api.blueprint import CONVERTERS, refuse_query
from bff.api.problems import CONTENT_TYPE, KINDS
from bff.api.schemas import answers
from bff.api.schemas.documents import Components
from bff.api.schemas.operations import completed

UI_FILES = Path(__file__).resolve().parents[2] / "docs_ui"
_DESCRIPTION = """One API for movie frontends over TMDB and a user service.

**Partial pages.** Every page of the dashboard says in `sections` how each of its parts came
about, and the header `X-Degraded` lists the parts that are not `ok`. What is not known is
`null`: never `false`, 0 or an empty list.

**Errors** are problem documents (RFC 9457, `application/problem+json`). `type` is an address of
this service that explains the kind; `request_id` stands in the log as well. Unknown parameters
and unknown fields are refused (422). A method that a path does not have is 405 with `Allow`.

**Conditional requests.** A GET whose parts are all fresh has a strong `ETag`; `If-None-Match`
gives 304 without a body. HEAD is answered wherever GET is.

**One's own writes.** A write answers `X-Library-Revision`. A read that hands it back is at least
as new, whichever worker answers; browsers do that by a cookie.

**Limits.** `RateLimit` and `RateLimit-Policy` tell what is left; 429 and 503 say in `Retry-After`
how many seconds to wait.

**Pictures.** Paths such as `poster_path` follow `images.base_url` and a size, both from
`/api/configuration`.

This product uses the TMDB API but is not endorsed or certified by TMDB."""
# As long as a release lasts these answers stay as they are, and a client asks once in a while.
_FOR_A_WHILE = "public, max-age=300"
_HTML = "text/html; charset=utf-8"
_BEARER = """A JSON Web Token whose `sub` is the user. Without one the demo user is meant, \
unless the service asks for a token (`AUTH_ENABLED`): then it is 401."""
TAGS = (
    ("Dashboard", "One call for each screen: films of TMDB with what the user did with them."),
    ("Users", "The caller's favourites, watchlist and history."),
    ("Movies", "TMDB's films in TMDB's own form, cached and guarded."),
    ("People", "People in films, in TMDB's own form."),
    ("Service", "Configuration, health and metrics."),
)
# What each status means here; the other words of an answer are its schema's.
_MEANING = {
    304: "The caller's copy, named by `If-None-Match`, still holds.",
    400: "The body is not JSON, or has a key more than once.",
    401: "The token is missing where one is needed, wrong or expired.",
    404: "There is no such film, person or entry.",
    409: "It is in the list already, or the same Idempotency-Key is at work.",
    413: "The body is larger than 64 KiB.",
    415: "The body is not declared as JSON.",
    422: "A parameter or the body is not as described; `errors` says what, by field.",
    429: "More requests than allowed in a minute.",
    500: "A fault of this service. Report the request_id.",
    502: "An upstream cannot be reached, failed or answered something that is not an answer.",
    503: "An upstream is not asked for now, or asked to wait.",
    504: "An upstream did not answer in time.",
}
_EXAMPLES: dict[int, tuple[str, str, dict[str, Any]]] = {
    400: ("/api/users/favorites", "the body is not JSON", {}),
    401: ("/api/users/favorites", "the token has expired", {}),
    404: ("/api/movies/999999999", "there is no such film 999999999", {}),
    409: ("/api/users/favorites", "film 550 is in the list already", {}),
    413: ("/api/users/favorites", "the body is too large", {}),
    415: ("/api/users/favorites", "the body must be JSON, declared as application/json", {}),
    422: (
        "/api/dashboard/feed",
        "see errors",
        {"errors": {"page": ["Must be greater than or equal to 1 and less than or equal to 500."]}},
    ),
    429: ("/api/dashboard/feed", "more than 300 requests in a minute", {"retry_after": 24}),
    500: ("/api/dashboard/feed", "something went wrong on our side", {}),
    502: (
        "/api/users/favorites",
        "users answered with an error",
        {"upstream": "users", "reason": "upstream_error"},
    ),
    503: (
        "/api/movies/550",
        "tmdb failed too often and is not asked for now",
        {"upstream": "tmdb", "reason": "circuit_open", "retry_after": 60},
    ),
    504: (
        "/api/movies/550",
        "tmdb did not answer in time",
        {"upstream": "tmdb", "reason": "timeout"},
    ),
}


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
        self.components.ref(answers.PROBLEM)
        base = self.spec.components.schemas["Problem"]
        schema = self.spec.components.schema
        schema("UpstreamProblem", _extended(base, answers.UPSTREAM_MEMBERS))
        schema("ValidationProblem", _extended(base, answers.VALIDATION_MEMBERS))
        schema("WaitProblem", _extended(base, answers.WAIT_MEMBERS))
        for status in HTTPStatus:
            described = _response(status)
            self.spec.components.response(status.name, described, lazy=status != 500)

    def _openapi_json(self) -> Response:
        """Serve the document; it is made once."""
        refuse_query()
        if not self._document:
            self._document = orjson.dumps(completed(self.spec.to_dict(), _examples()))
        return encode.settled(self._document, encode.JSON, _FOR_A_WHILE)

    def _openapi_swagger_ui(self) -> Response:
        """Serve the page of Swagger UI."""
        refuse_query()
        return encode.settled(super()._openapi_swagger_ui().encode(), _HTML, "no-cache")

    def _openapi_redoc(self) -> Response:
        """Serve the page of ReDoc."""
        refuse_query()
        return encode.settled(super()._openapi_redoc().encode(), _HTML, "no-cache")


def _response(status: HTTPStatus) -> dict[str, Any]:
    """Return the answer of a status that means the same wherever it is given."""
    response: dict[str, Any] = {"description": _MEANING.get(status, status.phrase)}
    headers: dict[str, Any] = {}
    if status >= 400:
        name = {422: "Validation", 429: "Wait", 502: "Upstream", 504: "Upstream"}.get(status, "")
        schema: dict[str, Any] = {"$ref": f"#/components/schemas/{name}Problem"}
        if status == 503:
            upstream = {"$ref": "#/components/schemas/UpstreamProblem"}
            schema = {"anyOf": [upstream, schema]}
        response["content"] = {CONTENT_TYPE: {"schema": schema}}
    if status == 304:
        headers["ETag"] = {"$ref": "#/components/headers/ETag"}
    if status in (429, 503):
        headers["Retry-After"] = {
            "schema": {"type": "integer", "minimum": 1},
            "description": "Seconds to wait.",
        }
    if status == 401:
        headers["WWW-Authenticate"] = {
            "schema": {"type": "string"},
            "description": "`Bearer`, and what is wrong with the token (RFC 6750).",
        }
    if headers:
        response["headers"] = headers
    return response


def _extended(base: dict[str, Any], members: dict[str, Any]) -> dict[str, Any]:
    """Return the problem document with more members."""
    return {
        **members,
        "required": [*base["required"], *members.get("required", ())],
        "properties": {**base["properties"], **members["properties"]},
    }


def _examples() -> dict[str, Any]:
    """Return an example of each problem, by the name of its status."""
    kinds = {kind.status: kind for kind in KINDS.values()}
    return {
        HTTPStatus(status).name: {
            "type": f"/problems/{kinds[status].name}",
            "title": kinds[status].title,
            "status": status,
            "detail": detail,
            "instance": path,
            "request_id": "example-request-1",
            **members,
        }
        for status, (path, detail, members) in _EXAMPLES.items()
    }


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
            "servers": [{"url": "/", "description": "The service that this document came from."}],
            "security": [],  # nothing needs a token but what says so
            "tags": [{"name": name, "description": text} for name, text in TAGS],
        },
    )
    for name, (converter, _) in CONVERTERS.items():
        app.url_map.converters[name] = converter
    api = Api(app)
    api.spec.components.security_scheme(
        "bearer",
        {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": _BEARER},
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
    refuse_query()
    kind = KINDS.get(name)
    if kind is None:
        flask.abort(404, "there is no such kind of problem")
    told = {
        "type": f"/problems/{kind.name}",
        "title": kind.title,
        "status": kind.status,
        "advice": kind.advice,
    }
    return encode.settled(orjson.dumps(told), encode.JSON, _FOR_A_WHILE)
