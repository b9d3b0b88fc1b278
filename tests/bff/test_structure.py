"""The structure of `bff`: which library belongs to which package, and what costs upstream calls."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import bff
from tests.bff.app import build

PACKAGE = Path(bff.__file__).parent


def test_routes_when_they_ask_an_upstream_then_they_lie_below_api() -> None:
    """Requests are counted below /api: nothing else may cost an upstream call."""
    app = build()
    app.extensions["bff"].close()
    service = ("/health", "/metrics", "/openapi.json", "/docs", "/redoc", "/problems/")
    page = ("/web/", "/feed", "/search", "/library", "/movie/")
    for rule in app.url_map.iter_rules():
        outside = rule.rule == "/" or rule.rule.startswith(service + page)
        assert rule.rule.startswith("/api/") is not outside, rule.rule


@pytest.mark.parametrize(
    ("room", "libraries"),
    [
        ("pages", {"flask", "requests", "marshmallow", "flask_smorest", "orjson"}),
        ("upstream", {"flask", "marshmallow", "flask_smorest"}),
        ("api", {"requests", "requests_cache", "pybreaker", "urllib3"}),
    ],
)
def test_rooms_when_they_import_then_libraries_stay_in_theirs(
    room: str, libraries: set[str]
) -> None:
    """A library is fenced to its room."""
    for file in (PACKAGE / room).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            assert not {name.partition(".")[0] for name in names} & libraries, file.name
