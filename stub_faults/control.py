"""The control paths: `/__calls` and `/__faults`."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from werkzeug.wrappers import Request, Response

from stub_faults.fault import FaultError, parse
from stub_faults.state import ActiveFault, State

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

LARGEST_BODY = 64 * 1024
LOCAL_HOSTS = ("localhost", "127.0.0.1")


class ControlPaths:
    """Answers the control paths of one service. Thread-safe."""

    def __init__(self, state: State, token: str) -> None:
        self._state = state
        self._token = token
        self._routes: dict[str, dict[str, Callable[[Request], Response]]] = {
            "/__calls": {"GET": self._show_calls, "DELETE": self._reset_calls},
            "/__faults": {
                "GET": self._show_fault,
                "PUT": self._set_fault,
                "DELETE": self._end_fault,
            },
        }

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one call, with CORS headers for a page that runs on this machine."""
        request = Request(environ)
        response = self._respond(request)
        response.headers["Cache-Control"] = "no-store"
        response.vary.add("Origin")
        origin = request.headers.get("Origin", "")
        if _is_local(origin):
            response.headers["Access-Control-Allow-Origin"] = origin
        return response(environ, start_response)

    def _respond(self, request: Request) -> Response:
        routes = self._routes.get(request.path)
        if routes is None:
            return _problem(404, "no such control path", instance=request.path)
        allowed = ", ".join([*routes, "HEAD", "OPTIONS"])
        if request.method == "OPTIONS":
            return _preflight(request, allowed)
        if not self._is_trusted(request):
            response = _problem(401, "the service token is missing or wrong")
            response.headers["WWW-Authenticate"] = "Bearer"
            return response
        view = routes.get("GET" if request.method == "HEAD" else request.method)
        if view is None:
            response = _problem(405, f"allowed: {allowed}")
            response.headers["Allow"] = allowed
            return response
        return view(request)

    def _is_trusted(self, request: Request) -> bool:
        if not self._token:
            return True
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        same = hmac.compare_digest(token.strip().encode(), self._token.encode())
        return scheme.lower() == "bearer" and same

    def _show_calls(self, _request: Request) -> Response:
        return _json(200, self._state.calls())

    def _reset_calls(self, _request: Request) -> Response:
        self._state.reset_calls()
        return Response(status=204)

    def _show_fault(self, _request: Request) -> Response:
        active = self._state.active
        return _json(200, active.fault.as_json() if active else {})

    def _set_fault(self, request: Request) -> Response:
        if (request.content_length or 0) > LARGEST_BODY:
            return _problem(413, f"the body is larger than {LARGEST_BODY} bytes")
        request.max_content_length = LARGEST_BODY
        try:
            fault = parse(json.loads(request.get_data()))
        except FaultError as error:
            return _problem(422, str(error), errors=error.errors)
        except (ValueError, RecursionError):
            return _problem(400, "the body is not JSON")
        self._state.set_fault(ActiveFault(fault))
        return _json(200, fault.as_json())

    def _end_fault(self, _request: Request) -> Response:
        self._state.set_fault(None)
        return Response(status=204)


def _is_local(origin: str) -> bool:
    try:
        parts = urlsplit(origin)
        return parts.scheme in ("http", "https") and parts.hostname in LOCAL_HOSTS
    except ValueError:
        return False


def _preflight(request: Request, allowed: str) -> Response:
    response = Response(status=204)
    response.headers["Allow"] = allowed
    if _is_local(request.headers.get("Origin", "")):
        response.headers["Access-Control-Allow-Methods"] = allowed
        response.headers["Access-Control-Allow-Headers"] = "Authorization, Content-Type"
        response.headers["Access-Control-Max-Age"] = "600"
    return response


def _json(status: int, document: Any) -> Response:
    return Response(json.dumps(document), status=status, content_type="application/json")


def _problem(status: int, detail: str, **more: Any) -> Response:
    document = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        **more,
    }
    return Response(json.dumps(document), status=status, content_type="application/problem+json")
