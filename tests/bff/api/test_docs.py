"""bff/api/docs.py: the document, its pages, and where the type of a problem leads."""

from __future__ import annotations

import re

import pytest

from tests.contract.client import ContractClient


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_documents_when_a_person_reads_them_then_nothing_comes_from_elsewhere(
    client: ContractClient, path: str
) -> None:
    """Every script and style of the page is served from here."""
    linked = re.findall(r'(?:src|href)="([^"]+)"', client.get(path).data.decode())

    assert linked
    for address in linked:
        assert address.startswith("/docs-ui/"), address
        assert client.head(address).status_code == 200


def test_document_when_it_is_served_then_it_is_json_that_can_be_cached(
    client: ContractClient,
) -> None:
    """The document does not change while the process lives."""
    first, second = client.get("/openapi.json"), client.get("/openapi.json")

    assert first.content_type == "application/json"
    assert first.data == second.data
    assert first.headers["Cache-Control"] == "no-cache"


def test_problems_when_their_type_is_followed_then_it_explains_them(
    client: ContractClient,
) -> None:
    """`type` of a problem document leads somewhere."""
    kind = client.get("/api/movies/0").json["type"]

    told = client.get(kind).json

    assert (told["type"], told["status"]) == (kind, 422)
    assert client.get("/problems/nothing").status_code == 404


@pytest.mark.parametrize(
    "path", ["/docs", "/redoc", "/openapi.json", "/problems/validation", "/problems/nothing"]
)
def test_documents_when_they_get_a_parameter_then_it_is_refused(
    client: ContractClient, path: str
) -> None:
    """They take none; twice the same one is as wrong as an unknown one."""
    for query, word in (("planted=1", "Unknown field."), ("a=1&a=1", "Must be given once.")):
        response = client.get(f"{path}?{query}")

        assert response.status_code == 422
        assert response.json["errors"] == {query[: query.index("=")]: [word]}
