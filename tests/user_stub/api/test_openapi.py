"""The OpenAPI document, its page, and generated requests that hold the service to it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from openapi_spec_validator import validate

from tests.user_stub.conftest import MakeApp, Service


@pytest.fixture
def document(client: FlaskClient) -> dict[str, Any]:
    """The OpenAPI document."""
    found: dict[str, Any] = client.get("/openapi.json").get_json()
    return found


def test_document_when_validated_then_it_is_openapi_31(
    make_app: MakeApp, document: dict[str, Any]
) -> None:
    """Publish a valid OpenAPI 3.1 document, which declares the token where one is set."""
    guarded = make_app(token="s3cret").test_client().get("/openapi.json").get_json()

    assert document["openapi"].startswith("3.1")
    assert guarded["security"] == [{"serviceToken": []}]
    validate(document)
    validate(guarded)


def test_document_when_compared_then_it_has_every_route(
    app: Flask, document: dict[str, Any]
) -> None:
    """Document every route and method that the app serves, and its errors as problems."""
    served = {
        (method, rule.rule.replace("<", "{").replace(">", "}"))
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if not rule.endpoint.startswith(("api-docs.", "docs."))
    }
    for method, path in served:
        operation = document["paths"][path][method.lower()]
        answers = operation["responses"]
        errors = {status: answer for status, answer in answers.items() if status >= "400"}
        of_a_body = {"400", "401", "409", "413", "415"} if "requestBody" in operation else set()
        assert errors.keys() >= {"422", "500", "503"} | of_a_body, (method, path)
        for answer in errors.values():
            assert list(answer["content"]) == ["application/problem+json"], (method, path)
        assert operation["summary"]

    paths = document["paths"].values()
    assert sum(len(path.keys() - {"parameters"}) for path in paths) == len(served)


def test_page_when_opened_then_it_loads_nothing_from_elsewhere(client: FlaskClient) -> None:
    """Show Swagger UI from local files only."""
    page = client.get("/docs")

    assert page.status_code == 200
    assert "://" not in page.text
    for name in ("swagger-ui.css", "swagger-ui-bundle.js"):
        assert f"/static/swagger-ui/{name}" in page.text
        with client.get(f"/static/swagger-ui/{name}") as file:
            assert file.status_code == 200


@pytest.mark.e2e
def test_service_when_requests_are_generated_then_it_conforms(
    start_service: Any, tmp_path: Path
) -> None:
    """Find no 5xx, no undocumented answer and no answer that breaks its schema."""
    service: Service = start_service(LOG_LEVEL="WARNING")
    # A generated key may meet another request of the run, which is rightly refused (422), so
    # "valid data is accepted" cannot be asserted.
    command = [sys.executable, "-m", "schemathesis.cli", "run", "--seed", "1"]
    command += ["--phases", "examples,fuzzing", "--max-examples", "2", "--no-shrink"]
    command += ["--exclude-checks", "positive_data_acceptance"]
    # An event stream does not end by itself: test_events.py has its tests.
    command += ["--exclude-path", "/events"]
    command += [f"http://127.0.0.1:{service.port}/openapi.json"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    assert run.returncode == 0, run.stdout[-6000:]
    tested = re.search(r"Tested: (\d+)", run.stdout)
    assert tested is not None
    assert int(tested[1]) == 18
