"""The TMDB stub: TMDB's v3 API over a catalogue of real films, as a Flask app of its own."""

from __future__ import annotations

import hmac

import orjson
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

import stub_faults
from tmdb_stub.catalogue import Catalogue
from tmdb_stub.errors import (
    CODE_OF_STATUS,
    CONTENT_TYPE,
    InvalidQuery,
    TmdbError,
    error_body,
    fault_body,
)
from tmdb_stub.replies import LIST_AGE_S
from tmdb_stub.routes import images, movies, people, reference, searches, service
from tmdb_stub.stub import Stub

BASE = "/3"
_INVALID_KEY = 7
_NOT_FOUND = 34


def create_app(fault_profile: str = "", catalogue: Catalogue | None = None) -> Flask:
    """Build the app; loads the catalogue unless one is given, which takes about half a second.

    `fault_profile` names a set of faults that is on from the start (see `stub_faults`). The app
    holds no state between requests apart from the counts and faults, and is safe for threads.
    """
    app = Flask(__name__, static_folder=None)
    stub = Stub(catalogue or Catalogue.load())
    app.extensions["tmdb_stub"] = stub
    app.register_blueprint(service.blueprint(stub))
    app.register_blueprint(images.blueprint(stub))
    for module in (movies, people, searches, reference):
        app.register_blueprint(module.blueprint(stub), url_prefix=BASE)
    app.before_request(_check_credential)
    app.after_request(_tmdb_headers)
    app.register_error_handler(TmdbError, lambda error: _error(error.code))
    app.register_error_handler(InvalidQuery, _invalid_query)
    app.register_error_handler(HTTPException, _http_error)
    stub_faults.install(app, profile=fault_profile, base=BASE, error_body=fault_body)
    return app


def _check_credential() -> Response | None:
    """Refuse calls of the API without a key or token; any value but `invalid` is good."""
    if not request.path.startswith(f"{BASE}/"):
        return None
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    key = token.strip() if scheme.lower() == "bearer" else request.args.get("api_key", "")
    if not key or hmac.compare_digest(key.encode(), b"invalid"):
        return _error(_INVALID_KEY)
    return None


def _error(code: int) -> Response:
    status = TmdbError(code).status
    response = Response(error_body(code), status=status, content_type=CONTENT_TYPE)
    if code == _NOT_FOUND:
        # TMDB lets a missing film be cached like a known one.
        response.headers["Cache-Control"] = f"public, max-age={LIST_AGE_S}"
    return response


def _invalid_query(error: InvalidQuery) -> Response:
    body = orjson.dumps({"errors": error.texts})
    return Response(body, status=422, content_type=CONTENT_TYPE)


def _http_error(error: HTTPException) -> Response:
    status = error.code or 500
    response = _error(CODE_OF_STATUS.get(status, 11))
    response.status_code = status
    for name, value in error.get_headers():
        if name.lower() in ("allow", "location"):
            response.headers[name] = value
    return response


def _tmdb_headers(response: Response) -> Response:
    response.headers["Access-Control-Allow-Origin"] = "*"
    response.headers["Vary"] = "accept-encoding, Origin"
    return response
