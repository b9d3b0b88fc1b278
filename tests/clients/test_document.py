"""openapi.json: what the code says, and what a reader of it needs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from bff.api.schemas.operations import OPERATIONS, operations
from openapi_spec_validator import OpenAPIV31SpecValidator

from scripts import write_openapi

Json = dict[str, Any]


@pytest.fixture(scope="module")
def said() -> str:
    """The document as the code says it."""
    return write_openapi.text()


@pytest.fixture(scope="module")
def document(said: str) -> Json:
    """The document, read."""
    made: Json = json.loads(said)
    return made


def schemas(part: Any, place: str) -> Iterator[tuple[str, Json]]:
    """Yield each field of each object below a schema, with its place."""
    if not isinstance(part, dict):
        return
    for name, field in part.get("properties", {}).items():
        yield f"{place}.{name}", field
        yield from schemas(field, f"{place}.{name}")
    for key in ("items", "additionalProperties"):
        yield from schemas(part.get(key), f"{place}[]")


def test_committed_document_when_it_is_compared_with_the_code_then_they_are_the_same(
    said: str,
) -> None:
    """The file that clients are generated from is not older than the code."""
    written = write_openapi.DOCUMENT.read_text(encoding="utf-8")

    assert write_openapi.difference(written, said) == []


def test_document_when_it_is_validated_then_it_is_openapi_3_1(document: Json) -> None:
    """It holds against OpenAPI's own schema."""
    assert document["openapi"].startswith("3.1.")
    assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []


def test_document_when_the_settings_are_others_then_it_is_the_same(
    said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What stands in the environment of a developer does not come into the file."""
    monkeypatch.setenv("TMDB_API_KEY", "planted-tmdb-key")
    monkeypatch.setenv("AUTH_ENABLED", "true")
    monkeypatch.setenv("CORS_ORIGINS", "http://planted.test")

    assert write_openapi.text() == said


def test_check_when_the_file_is_old_then_it_fails_and_shows_the_difference(
    said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The step of CI goes red with the lines that differ; writing makes it green."""
    file = tmp_path / "openapi.json"
    file.write_text(said.replace('"getFeed"', '"getOldFeed"'), encoding="utf-8")
    monkeypatch.setattr(write_openapi, "DOCUMENT", file)
    monkeypatch.setattr(write_openapi, "ROOT", tmp_path)
    monkeypatch.setattr(write_openapi, "text", lambda: said)

    assert write_openapi.main(["--check"]) == 1
    assert '-        "operationId": "getOldFeed",' in capsys.readouterr().out
    assert write_openapi.main([]) == 0
    assert write_openapi.main(["--check"]) == 0


def test_operations_when_they_are_named_then_each_has_its_own_id_and_none_is_left_over(
    document: Json,
) -> None:
    """Clients get one name for each operation; the table names nothing that is gone."""
    found = {f"{method.upper()} {path}": told for path, method, told in operations(document)}

    assert found.keys() == OPERATIONS.keys()
    ids = [told["operationId"] for told in found.values()]
    assert len(set(ids)) == len(ids)


def test_fields_when_they_are_read_then_each_is_described(document: Json) -> None:
    """Every component, field, parameter and answer says in words what it is."""
    parts = document["components"]
    missing = [name for name, schema in parts["schemas"].items() if not schema.get("description")]
    for name, schema in parts["schemas"].items():
        missing += [
            place
            for place, field in schemas(schema, name)
            if not field.get("description") and "$ref" not in field
        ]
    for path, method, operation in operations(document):
        given = [
            *document["paths"][path].get("parameters", ()),
            *operation.get("parameters", ()),
        ]
        missing += [
            f"{method} {path} {parameter['name']}"
            for parameter in given
            if not parameter.get("description")
        ]
    missing += [name for name, answer in parts["responses"].items() if not answer["description"]]
    missing += [tag["name"] for tag in document["tags"] if not tag["description"]]
    missing += [name for name, s in parts["securitySchemes"].items() if not s.get("description")]

    assert missing == []


def test_examples_when_they_are_held_against_their_schemas_then_they_are_valid(
    document: Json,
) -> None:
    """Every example answer and problem is one that the schema beside it allows."""
    wrong = []
    count = 0
    answers = [
        (f"{told['operationId']} {status}", answer)
        for _, _, told in operations(document)
        for status, answer in told["responses"].items()
    ]
    for place, answer in [*answers, *document["components"]["responses"].items()]:
        for content in answer.get("content", {}).values():
            whole = {"allOf": [content["schema"]], "components": document["components"]}
            validator = jsonschema_rs.Draft202012Validator(whole)
            values = [example["value"] for example in content.get("examples", {}).values()]
            values += [content["example"]] if "example" in content else []
            count += len(values)
            wrong += [(place, error.message) for v in values for error in validator.iter_errors(v)]

    assert wrong == []
    assert count > 20


def test_examples_when_a_page_or_a_problem_is_read_then_it_has_one(document: Json) -> None:
    """Each page of the dashboard shows an answer, each error a problem document."""
    pages = [
        told["responses"]["200"]["content"]["application/json"]
        for path, _, told in operations(document)
        if path.startswith("/api/dashboard")
    ]
    assert len(pages) == 4
    assert all(page["examples"] for page in pages)
    for name, answer in document["components"]["responses"].items():
        for content in answer.get("content", {}).values():
            assert content["example"]["request_id"], name


def test_failures_when_an_operation_is_read_then_the_common_ones_are_told(document: Json) -> None:
    """Any operation can meet a fault of ours; what is limited can be 429."""
    for path, method, told in operations(document):
        assert "500" in told["responses"], (method, path)
        assert ("429" in told["responses"]) is path.startswith("/api/"), (method, path)
