"""openapi.json: what the code says, and what a reader of it needs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import jsonschema_rs
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

import bff
from config import Config

Json = dict[str, Any]
COMMITTED = Path(__file__).resolve().parents[2] / "openapi.json"
METHODS = ("get", "post", "put", "delete")


def said(folder: Path, **settings: str) -> str:
    """Return the document as `flask --app wsgi openapi write` writes it."""
    own = {"CACHE_DIR": str(folder / "cache"), "USER_SERVICE_EVENTS": "false"}
    environment = {"ENV_FILE": os.devnull, "LOG_LEVEL": "ERROR", **own, **settings}
    with mock.patch.dict(os.environ, environment, clear=True):
        app = bff.create_app(Config.from_env())
    try:
        result = app.test_cli_runner().invoke(args=["openapi", "write", "-"])
        assert result.exit_code == 0, result.output
        return str(result.stdout)
    finally:
        app.extensions["bff"].close()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The document as the code says it."""
    return said(tmp_path_factory.mktemp("var"))


@pytest.fixture(scope="module")
def document(written: str) -> Json:
    """The document, read."""
    made: Json = json.loads(written)
    return made


def operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    """Yield (path, method, operation)."""
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield path, method, item[method]


def fields(part: Any, place: str) -> Iterator[tuple[str, Json]]:
    """Yield each field of each object below a schema, with its place."""
    if not isinstance(part, dict):
        return
    for name, field in part.get("properties", {}).items():
        yield f"{place}.{name}", field
        yield from fields(field, f"{place}.{name}")
    for key in ("items", "additionalProperties"):
        yield from fields(part.get(key), f"{place}[]")


def parameters(document: Json) -> Iterator[tuple[str, Json]]:
    """Yield each parameter of each operation, with its place."""
    for path, method, operation in operations(document):
        shared = document["paths"][path].get("parameters", ())
        for parameter in (*shared, *operation.get("parameters", ())):
            name = parameter.get("$ref", "").rpartition("/")[2]
            found = document["components"]["parameters"][name] if name else parameter
            yield f"{method} {path} {found['name']}", found


def test_committed_document_when_it_is_compared_with_the_code_then_they_are_the_same(
    written: str,
) -> None:
    """The file that clients are generated from is not older than the code."""
    assert written == COMMITTED.read_text(encoding="utf-8"), (
        "run: flask --app wsgi openapi write openapi.json"
    )


def test_document_when_it_is_validated_then_it_is_openapi_3_1(document: Json) -> None:
    """It holds against OpenAPI's own schema."""
    assert document["openapi"].startswith("3.1.")
    assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []


def test_document_when_the_settings_are_others_then_it_is_the_same(
    written: str, tmp_path: Path
) -> None:
    """What stands in the environment of a developer does not come into the file."""
    settings = {
        "TMDB_API_KEY": "planted-tmdb-key",
        "AUTH_ENABLED": "true",
        "JWT_SECRET": "planted-jwt-secret-of-at-least-32-bytes",
        "CORS_ORIGINS": "http://planted.test",
    }

    assert said(tmp_path, **settings) == written


def test_operations_when_they_are_named_then_each_has_its_own_id(document: Json) -> None:
    """Clients get one name for each operation."""
    ids = [operation["operationId"] for _, _, operation in operations(document)]

    assert all(ids)
    assert len(set(ids)) == len(ids)


def test_fields_when_they_are_read_then_each_is_described(document: Json) -> None:
    """Every component, field, parameter and answer says in words what it is."""
    parts = document["components"]
    missing = [name for name, schema in parts["schemas"].items() if not schema.get("description")]
    for name, schema in parts["schemas"].items():
        missing += [
            place
            for place, field in fields(schema, name)
            if not field.get("description") and "$ref" not in field
        ]
    missing += [place for place, one in parameters(document) if not one.get("description")]
    missing += [name for name, answer in parts["responses"].items() if not answer["description"]]
    missing += [tag["name"] for tag in document["tags"] if not tag["description"]]
    missing += [name for name, s in parts["securitySchemes"].items() if not s.get("description")]

    assert missing == []


def test_examples_when_they_are_held_against_their_schemas_then_they_are_valid(
    document: Json,
) -> None:
    """An example of a field, a parameter or a problem is one that the schema beside it allows."""
    parts, told = document["components"], list[tuple[str, Json, Any]]()
    for name, schema in parts["schemas"].items():
        for place, field in fields(schema, name):
            told += [(place, field, value) for value in field.get("examples", ())]
    for place, parameter in parameters(document):
        schema = parameter["schema"]
        told += [(place, schema, value) for value in schema.get("examples", ())]
    for name, answer in parts["responses"].items():
        for content in answer.get("content", {}).values():
            told.append((name, content["schema"], content["example"]))

    wrong = []
    for place, schema, value in told:
        whole = {"allOf": [schema], "components": parts}
        found = jsonschema_rs.Draft202012Validator(whole).iter_errors(value)
        wrong += [(place, error.message) for error in found]

    assert wrong == []
    assert len(told) > 200


def test_problems_when_one_is_read_then_its_example_is_of_its_own_kind(document: Json) -> None:
    """Each error shows the problem document that an operation answers."""
    for name, answer in document["components"]["responses"].items():
        for content in answer.get("content", {}).values():
            example = content["example"]
            assert example["type"].startswith("/problems/"), name
            assert example["request_id"], name


def test_failures_when_an_operation_is_read_then_the_common_ones_are_told(document: Json) -> None:
    """Any operation can meet a fault of ours; what is limited can be 429."""
    for path, method, told in operations(document):
        assert {"422", "500"} <= told["responses"].keys(), (method, path)
        assert ("429" in told["responses"]) is path.startswith("/api/"), (method, path)
        assert ("304" in told["responses"]) is (method == "get"), (method, path)
