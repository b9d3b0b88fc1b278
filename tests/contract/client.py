"""Holds every answer of the app against its own OpenAPI document and the rules of the contract."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Any

import jsonschema_rs
import orjson
from flask.testing import FlaskClient
from marshmallow import Schema
from werkzeug.test import TestResponse

Json = dict[str, Any]
PROBLEM = "application/problem+json"
# Pages for people and the document itself, which describes the rest.
NOT_DESCRIBED = re.compile(
    r"/|/(docs|redoc|openapi\.json|docs-ui/.*|problems/[^/]*)"
    r"|/(web/.*|feed|search|library|movie/[^/]*)"
)


def strict(schema: Any, name: str = "") -> Any:
    """Return the schema with nothing allowed that it does not name; problems may be extended."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: strict(value) for key, value in schema.items()}
    closed = "properties" in made and isinstance(made["properties"], dict)
    if closed and "type" in made and "additionalProperties" not in made and "Problem" not in name:
        made["additionalProperties"] = False
    return made


def component(schema: type[Schema]) -> str:
    """Return the name of a schema in the document."""
    return schema.__name__.removesuffix("Schema")


class Document:
    """The OpenAPI document of the app, made to judge answers."""

    def __init__(self, spec: Json) -> None:
        self.spec = spec
        self._validators: dict[str, jsonschema_rs.Draft202012Validator] = {}

    @cached_property
    def _schemas(self) -> Json:
        return {
            name: schema if "Problem" in name else strict(schema, name)
            for name, schema in self.spec["components"]["schemas"].items()
        }

    @cached_property
    def _paths(self) -> list[tuple[re.Pattern[str], str]]:
        # Paths without parameters come first, as in the router.
        order = sorted(self.spec["paths"], key=lambda path: path.count("{"))
        return [(re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), path) for path in order]

    def operation(self, method: str, path: str) -> Json | None:
        """Return the operation of a request, or None where there is none."""
        name = "get" if method == "HEAD" else method.lower()
        for pattern, template in self._paths:
            if pattern.fullmatch(path):
                found: Json | None = self.spec["paths"][template].get(name)
                return found
        return None

    def response(self, operation: Json, status: int) -> Json | None:
        """Return the documented response of a status."""
        found: Json | None = operation["responses"].get(str(status))
        if found and "$ref" in found:
            return self.spec["components"]["responses"][found["$ref"].rpartition("/")[2]]  # type: ignore[no-any-return]
        return found

    def validator(self, schema: Json) -> jsonschema_rs.Draft202012Validator:
        """Return the compiled validator of a schema of the document."""
        key = orjson.dumps(schema).decode()
        if key not in self._validators:
            whole = {"allOf": [schema], "components": {"schemas": self._schemas}}
            self._validators[key] = jsonschema_rs.Draft202012Validator(whole)
        return self._validators[key]

    def errors(self, schema: Json, value: Any) -> list[str]:
        """Return what is wrong with a value."""
        found = self.validator(schema).iter_errors(value)
        return [f"{list(error.instance_path)}: {error.message[:200]}" for error in found]


class ContractClient(FlaskClient):
    """A client that fails the test where an answer is not as documented.

    `bug_expected`: a 500 is what the test wants to see. `secrets`: what may
    stand in no answer.
    """

    document: Document
    secrets: tuple[str, ...] = ()
    bug_expected = False

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        """Send the request and judge the answer."""
        kwargs.setdefault("buffered", True)  # closes the file of a static answer
        response = super().open(*args, **kwargs)
        request = response.request
        if request.method != "OPTIONS":
            self._judge(request.method, request.path, response)
        return response

    def _judge(self, method: str, path: str, response: TestResponse) -> None:
        status, headers = response.status_code, response.headers
        seen = response.data + repr(list(headers)).encode()
        for secret in self.secrets:
            assert secret.encode() not in seen, f"a secret shows in the answer to {path}"
        assert len(headers.getlist("X-Request-ID")) == 1
        assert re.fullmatch(r"\d+\.\d{4}", headers["X-Process-Time"])
        for cookie in headers.getlist("Set-Cookie"):  # the one cookie of ours, after a write
            assert re.match(r"library_revision=\d+; .*HttpOnly; .*SameSite=Lax", cookie)
            assert method != "GET"
        if status >= 400 and path != "/health/ready":  # which answers its checks
            self._judge_problem(method, path, response)
        if NOT_DESCRIBED.fullmatch(path):
            return
        operation = self.document.operation(method, path)
        if operation is None:
            assert status in (404, 405, 422, 429), f"{method} {path} is in no document: {status}"
            return
        assert status != 500 or self.bug_expected, "a bug of ours"
        if status == 500 and self.bug_expected:
            return
        told = self.document.response(operation, status)
        assert told is not None, f"{method} {path}: {status} is not documented: {response.data!r}"
        self._judge_content(method, path, response, told)
        for name in told.get("headers", {}):
            assert name in headers, f"{method} {path}: {status} without {name}"
        if status == 200 and method in ("GET", "HEAD") and path.startswith("/api/"):
            degraded = "X-Degraded" in headers or b'"reason":"' in response.data
            assert degraded or method == "HEAD" or re.fullmatch(r'"[0-9a-f]+"', headers["ETag"])

    def _judge_content(self, method: str, path: str, response: TestResponse, told: Json) -> None:
        if response.status_code == 304 or method == "HEAD":
            assert response.data == b""
            return
        assert response.mimetype in told["content"], f"{path}: {response.content_type}"
        if response.mimetype.endswith("json"):
            schema = told["content"][response.mimetype]["schema"]
            wrong = self.document.errors(schema, orjson.loads(response.data))
            assert not wrong, f"{method} {path} {response.status_code}: {wrong[:5]}"

    def _judge_problem(self, method: str, path: str, response: TestResponse) -> None:
        headers = response.headers
        assert headers["Content-Type"] == PROBLEM
        assert headers["Cache-Control"] == "no-store"
        assert "ETag" not in headers
        if method == "HEAD":
            return
        body = orjson.loads(response.data)
        wrong = self.document.errors({"$ref": "#/components/schemas/Problem"}, body)
        assert not wrong, wrong
        assert body["status"] == response.status_code
        assert body["request_id"] == headers["X-Request-ID"]
        assert body["instance"] == path
        if "retry_after" in body:
            assert headers["Retry-After"] == str(body["retry_after"])
        if response.status_code >= 500:
            for inside in (b"Traceback", b".py", b"bff.", b"site-packages", b"tmdb.test"):
                assert inside not in response.data
