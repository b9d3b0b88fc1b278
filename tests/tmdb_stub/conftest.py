"""Shared by the tests of the TMDB stub: one app over the shipped catalogue, and ways to ask it."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from flask.testing import FlaskClient

from scripts.processes import ROOT
from tmdb_stub import create_app
from tmdb_stub.catalogue import CATALOGUE_FILE, Catalogue
from tmdb_stub.stub import Stub

FIXTURES = ROOT / "tests" / "fixtures" / "tmdb"
# TMDB's own OpenAPI document, the part that the stub serves.
OPENAPI: dict[str, Any] = orjson.loads((FIXTURES / "openapi.json").read_bytes())

Get = Callable[..., Any]


@pytest.fixture(scope="session")
def client() -> FlaskClient:
    """A test client of the stub."""
    return create_app().test_client()


@pytest.fixture(scope="session")
def stub(client: FlaskClient) -> Stub:
    """What the app answers from."""
    found = client.application.extensions["tmdb_stub"]
    assert isinstance(found, Stub)
    return found


@pytest.fixture(scope="session")
def catalogue(stub: Stub) -> Catalogue:
    """The shipped catalogue."""
    return stub.catalogue


@pytest.fixture(scope="session")
def rows() -> list[dict[str, Any]]:
    """The lines of the shipped file, read without the code under test."""
    lines = gzip.decompress(CATALOGUE_FILE.read_bytes()).splitlines()
    return [orjson.loads(line) for line in lines]


@pytest.fixture(scope="session")
def get(client: FlaskClient) -> Get:
    """Ask a path of the API with a credential; return the body, whose status must be as told."""

    def ask(path: str, status: int = 200, **query: Any) -> Any:
        names = {name.replace("__", "."): value for name, value in query.items()}
        headers = {"Authorization": "Bearer token"}
        response = client.get(f"/3{path}", query_string=names, headers=headers)
        assert response.status_code == status, response.data
        return orjson.loads(response.data)

    return ask


@pytest.fixture(scope="session")
def recorded() -> Callable[[str], Any]:
    """Read a recorded answer of TMDB by the name of its file."""
    return lambda name: orjson.loads((FIXTURES / "recorded" / f"{name}.json").read_bytes())
