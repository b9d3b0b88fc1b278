"""The OpenAPI document: valid, whole, and the same as the routes."""

from __future__ import annotations

import re

from flask import Flask

from bff.reads import READS
from tests.api.openapi import NOT_DESCRIBED, ContractClient, Document, component

METHODS = {"get", "put", "post", "delete", "patch"}


def operations(document: Document) -> list[tuple[str, str, dict[str, object]]]:
    """Return (path, method, operation) of the document."""
    return [
        (path, method, operation)
        for path, item in document.spec["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    ]


def template(rule: str) -> str:
    """Return a rule of Flask's as the document writes it."""
    return re.sub(r"<\w+:(\w+)>", r"{\1}", rule)


def test_document_when_it_lists_an_operation_then_it_has_a_summary_and_a_known_tag(
    document: Document,
) -> None:
    """A reader sees what each operation does, and finds it under a heading."""
    tags = {tag["name"] for tag in document.spec["tags"]}
    for path, method, operation in operations(document):
        assert operation.get("summary"), (method, path)
        assert set(operation["tags"]) <= tags, (method, path)  # type: ignore[call-overload]


def test_document_when_it_is_compared_with_the_routes_then_each_is_in_the_other(
    client: ContractClient, document: Document
) -> None:
    """No route is undocumented, but the pages for people; no documented route is missing."""
    app: Flask = client.application
    routes = {
        (template(rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        for method in rule.methods or ()
        if method.lower() in METHODS and not NOT_DESCRIBED.fullmatch(re.sub("<.*>", "x", rule.rule))
    }

    assert routes == {(path, method) for path, method, _ in operations(document)}


def test_reads_when_the_table_has_a_row_then_it_is_a_documented_route(document: Document) -> None:
    """Every row of the table of reads is a route with its schema as the answer."""
    for row in READS:
        answer = document.spec["paths"][row.route]["get"]["responses"]["200"]
        schema = answer["content"]["application/json"]["schema"]
        assert schema == {"$ref": f"#/components/schemas/{component(row.schema)}"}


def test_document_when_a_route_is_personal_then_it_tells_of_the_token(document: Document) -> None:
    """All of users and dashboard take a token and can answer 401; nothing else does."""
    for path, method, operation in operations(document):
        personal = path.startswith(("/api/users", "/api/dashboard"))
        assert ("security" in operation) is personal, (method, path)
        assert ("401" in operation["responses"]) is personal, (method, path)  # type: ignore[operator]


def test_document_when_a_number_is_in_a_path_then_its_bounds_are_told(document: Document) -> None:
    """A generated client knows what a number may be."""
    for path, item in document.spec["paths"].items():
        for parameter in item.get("parameters", []):
            if parameter["in"] == "path" and parameter["name"].endswith("_id"):
                assert parameter["schema"] == {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": 2**31 - 1,
                }, path


def test_document_when_it_is_served_then_it_is_json_that_can_be_cached(
    client: ContractClient,
) -> None:
    """The document does not change while the process lives."""
    first, second = client.get("/openapi.json"), client.get("/openapi.json")

    assert first.content_type == "application/json"
    assert first.data == second.data
    assert first.headers["Cache-Control"] == "no-cache"


def test_judge_when_an_answer_is_not_as_documented_then_it_says_so(document: Document) -> None:
    """A missing, a wrong and an unknown field are found, with the path of the field."""
    health = {"status": "healthy", "service": "movie-dashboard-bff", "version": "1"}
    schema = {"$ref": "#/components/schemas/Health"}

    assert document.errors(schema, health) == []
    assert document.errors(schema, {**health, "planted": 1})
    assert document.errors(schema, {"status": "healthy"})
    (fault,) = document.errors(schema, {**health, "status": "ill"})
    assert fault.startswith("['status']:")
