"""openapi.json: valid, the same as the routes and the committed file, described, and judged by."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import jsonschema_rs
import pytest
from flask import Flask
from openapi_spec_validator import OpenAPIV31SpecValidator

import bff
from bff.reads import READS
from config import Config
from tests.bff.app import logging_kept
from tests.contract.client import NOT_DESCRIBED, ContractClient, Document, component

Json = dict[str, Any]
COMMITTED = Path(__file__).resolve().parents[2] / "openapi.json"
METHODS = {"get", "put", "post", "delete", "patch"}
PERSONAL = ("/api/users", "/api/dashboard")


def written(folder: Path, **settings: str) -> str:
    """Return the document as `flask --app wsgi openapi write` writes it."""
    own = {"CACHE_DIR": str(folder / "cache"), "USER_SERVICE_EVENTS": "false"}
    environment = {"ENV_FILE": os.devnull, "LOG_LEVEL": "ERROR", **own, **settings}
    with logging_kept(), mock.patch.dict(os.environ, environment, clear=True):
        app = bff.create_app(Config.from_env())
    try:
        result = app.test_cli_runner().invoke(args=["openapi", "write", "-"])
        assert result.exit_code == 0, result.output
        return str(result.stdout)
    finally:
        app.extensions["bff"].close()


@pytest.fixture(scope="module")
def spec() -> Json:
    """The committed document."""
    found: Json = json.loads(COMMITTED.read_bytes())
    return found


def operations(spec: Json) -> Iterator[tuple[str, str, Json]]:
    """Yield (path, method, operation)."""
    for path, item in spec["paths"].items():
        yield from ((path, method, item[method]) for method in item if method in METHODS)


def fields(part: Any, place: str) -> Iterator[tuple[str, Json]]:
    """Yield each field of each object below a schema, with its place."""
    if not isinstance(part, dict):
        return
    for name, field in part.get("properties", {}).items():
        yield f"{place}.{name}", field
        yield from fields(field, f"{place}.{name}")
    for key in ("items", "additionalProperties"):
        yield from fields(part.get(key), f"{place}[]")


def parameters(spec: Json) -> Iterator[tuple[str, Json]]:
    """Yield each parameter of each operation, with its place."""
    for path, method, operation in operations(spec):
        shared = spec["paths"][path].get("parameters", ())
        for parameter in (*shared, *operation.get("parameters", ())):
            name = parameter.get("$ref", "").rpartition("/")[2]
            found = spec["components"]["parameters"][name] if name else parameter
            yield f"{method} {path} {found['name']}", found


def test_document_when_the_code_writes_it_then_it_is_the_committed_one(tmp_path: Path) -> None:
    """The file that clients are generated from is not older than the code, whatever is set."""
    planted = {
        "TMDB_API_KEY": "planted-tmdb-key",
        "AUTH_ENABLED": "true",
        "JWT_SECRET": "planted-jwt-secret-of-at-least-32-bytes",
        "CORS_ORIGINS": "http://planted.test",
    }
    for settings in ({}, planted):
        assert written(tmp_path, **settings) == COMMITTED.read_text(encoding="utf-8"), (
            "run: flask --app wsgi openapi write openapi.json"
        )


def test_document_when_it_is_validated_then_it_is_openapi_3_1(spec: Json) -> None:
    """It holds against OpenAPI's own schema."""
    assert spec["openapi"].startswith("3.1.")
    assert list(OpenAPIV31SpecValidator(spec).iter_errors()) == []


def test_document_when_it_is_compared_with_the_routes_then_each_is_in_the_other(
    client: ContractClient, spec: Json
) -> None:
    """No route is undocumented, but the pages for people; no documented route is missing."""
    app: Flask = client.application
    routes = {
        (re.sub(r"<\w+:(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        for method in rule.methods or ()
        if method.lower() in METHODS and not NOT_DESCRIBED.fullmatch(re.sub("<.*>", "x", rule.rule))
    }

    assert routes == {(path, method) for path, method, _ in operations(spec)}


def test_operation_when_it_is_read_then_it_tells_all_that_a_client_needs(spec: Json) -> None:
    """An id and a summary of its own, a known tag, the failures that it can answer."""
    tags = {tag["name"] for tag in spec["tags"]}
    ids = [operation["operationId"] for _, _, operation in operations(spec)]
    assert len(set(ids)) == len(ids)
    for path, method, operation in operations(spec):
        place, answers = (method, path), operation["responses"].keys()
        personal = path.startswith(PERSONAL)
        assert operation["summary"], place
        assert set(operation["tags"]) <= tags, place
        assert {"422", "500"} <= answers, place
        assert ("429" in answers) is path.startswith("/api/"), place
        assert ("304" in answers) is (method == "get"), place
        assert ("401" in answers) is ("security" in operation) is personal, place


def test_read_when_it_is_in_the_table_then_it_is_documented_with_its_schema(spec: Json) -> None:
    """Every row is a route; every read of TMDB takes a language and a region."""
    for row in READS:
        answer = spec["paths"][row.route]["get"]["responses"]["200"]
        schema = answer["content"]["application/json"]["schema"]
        assert schema == {"$ref": f"#/components/schemas/{component(row.schema)}"}
    for path, item in spec["paths"].items():
        if re.match(r"/api/(movies|search|people|dashboard)", path):
            names = {parameter.get("name") for parameter in item["get"]["parameters"]}
            assert {"language", "region"} <= names, path


def test_fields_when_they_are_read_then_each_is_described(spec: Json) -> None:
    """Every component, field, parameter and answer says in words what it is; ids have bounds."""
    parts = spec["components"]
    told = {f"schema {name}": schema for name, schema in parts["schemas"].items()}
    for name, schema in parts["schemas"].items():
        told |= {place: field for place, field in fields(schema, name) if "$ref" not in field}
    told |= dict(parameters(spec)) | parts["responses"] | parts["securitySchemes"]
    told |= {tag["name"]: tag for tag in spec["tags"]}

    assert [place for place, one in told.items() if not one.get("description")] == []
    bounds = {"type": "integer", "minimum": 1, "maximum": 2**31 - 1}
    ids = [one["schema"] for place, one in parameters(spec) if place.endswith("_id")]
    assert ids
    assert all(schema == bounds for schema in ids)


def test_examples_when_they_are_held_against_their_schemas_then_they_are_valid(
    spec: Json,
) -> None:
    """An example of a field, a parameter or a problem is one that the schema beside it allows."""
    parts, told = spec["components"], list[tuple[str, Json, Any]]()
    for name, schema in parts["schemas"].items():
        for place, field in fields(schema, name):
            told += [(place, field, value) for value in field.get("examples", ())]
    for place, parameter in parameters(spec):
        schema = parameter["schema"]
        told += [(place, schema, value) for value in schema.get("examples", ())]
    for name, answer in parts["responses"].items():
        for content in answer.get("content", {}).values():
            told.append((name, content["schema"], content["example"]))
            assert content["example"]["type"].startswith("/problems/"), name
            assert content["example"]["request_id"], name

    validators = dict[str, jsonschema_rs.Draft202012Validator]()
    wrong = []
    for place, schema, value in told:
        key = json.dumps(schema)
        if key not in validators:
            whole = {"allOf": [schema], "components": parts}
            validators[key] = jsonschema_rs.Draft202012Validator(whole)
        wrong += [(place, error.message) for error in validators[key].iter_errors(value)]

    assert wrong == []
    assert len(told) > 200


def test_judge_when_an_answer_is_not_as_documented_then_it_says_so(document: Document) -> None:
    """A missing, a wrong and an unknown field are found, with the path of the field."""
    health = {"status": "healthy", "service": "movie-dashboard-bff", "version": "1"}
    schema = {"$ref": "#/components/schemas/Health"}

    assert document.errors(schema, health) == []
    assert document.errors(schema, {**health, "planted": 1})
    assert document.errors(schema, {"status": "healthy"})
    (fault,) = document.errors(schema, {**health, "status": "ill"})
    assert fault.startswith("['status']:")
