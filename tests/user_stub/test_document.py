"""The OpenAPI document and its page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from openapi_spec_validator import validate

from user_stub.docs import UI_FILES


@pytest.fixture
def document(client: FlaskClient) -> dict[str, Any]:
    """The OpenAPI document."""
    found: dict[str, Any] = client.get("/openapi.json").get_json()
    return found


def operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the operations by method and path."""
    return {
        (method.upper(), path): operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method != "parameters"
    }


def test_document_is_valid_openapi_31(document: dict[str, Any]) -> None:
    """Publish a valid OpenAPI 3.1 document."""
    assert document["openapi"].startswith("3.1")
    validate(document)


def test_document_has_every_route(app: Flask, document: dict[str, Any]) -> None:
    """Document every route and method that the app serves."""
    served = {
        (method, rule.rule.replace("<", "{").replace(">", "}"))
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if not rule.endpoint.startswith(("api-docs.", "docs."))
    }

    assert set(operations(document)) == served


def test_document_names_the_problems_of_each_operation(document: dict[str, Any]) -> None:
    """Document errors as problem documents; writes with a body have the errors of bodies."""
    for (method, path), operation in operations(document).items():
        answers = operation["responses"]
        errors = {status: answer for status, answer in answers.items() if status >= "400"}
        assert errors.keys() >= {"422", "500", "503"}, (method, path)
        assert all(
            list(answer["content"]) == ["application/problem+json"] for answer in errors.values()
        )
        if "requestBody" in operation:
            assert errors.keys() >= {"400", "401", "409", "413", "415"}, (method, path)
        assert operation["summary"]


def test_document_with_a_token_declares_it(make_app: Callable[..., Flask]) -> None:
    """Declare the bearer token where one is set."""
    document = make_app(token="s3cret").test_client().get("/openapi.json").get_json()

    assert document["security"] == [{"serviceToken": []}]
    validate(document)


def test_docs_page_loads_nothing_from_elsewhere(client: FlaskClient) -> None:
    """Show Swagger UI from local files only."""
    page = client.get("/docs")

    assert page.status_code == 200
    assert "://" not in page.text
    assert "/static/swagger-ui/swagger-ui-bundle.js" in page.text


@pytest.mark.skipif(not UI_FILES.is_dir(), reason="the Swagger UI files are not there")
@pytest.mark.parametrize("name", ["swagger-ui.css", "swagger-ui-bundle.js"])
def test_docs_files_are_served(client: FlaskClient, name: str) -> None:
    """Serve the files that the page loads."""
    answer = client.get(f"/static/swagger-ui/{name}")

    assert answer.status_code == 200
    answer.close()
