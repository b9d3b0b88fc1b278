"""The app's own structure: no row without a route, no personal route without identity."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from flask import Flask

import bff
from bff import reads
from bff.reads import READS

PACKAGE = Path(bff.__file__).parent
PERSONAL = ("/api/users", "/api/dashboard")


def test_reads_when_the_table_has_a_row_then_it_has_a_route(app: Flask) -> None:
    """One row makes one route; no two rows share one, or a name."""
    routes = {rule.endpoint.partition(".")[2]: rule.rule for rule in app.url_map.iter_rules()}

    for row in READS:
        assert row.summary
        assert routes[row.name].count("<") == row.route.count("{") == row.path.count("{")
    assert len({row.route for row in READS}) == len({row.name for row in READS}) == len(READS)


def test_reads_when_a_row_is_written_then_it_stands_in_the_table() -> None:
    """A row that is written and not listed would be without a route, and nobody would notice."""
    rows = {value.name for value in vars(reads).values() if isinstance(value, reads.Read)}

    assert rows - {row.name for row in READS} == {"enriched", "configuration"}


def test_routes_when_they_are_personal_then_a_wrong_token_is_401(app: Flask) -> None:
    """Every method of every route below /api/users and /api/dashboard asks who it is."""
    client = app.test_client(use_cookies=False)
    asked = 0
    for rule in app.url_map.iter_rules():
        if not rule.rule.startswith(PERSONAL):
            continue
        path = rule.rule.replace("<tmdb_id:movie_id>", "550")
        for method in (rule.methods or set()) - {"OPTIONS"}:
            headers = {"Authorization": "Bearer wrong"}
            response = client.open(path, method=method, headers=headers)
            assert response.status_code == 401, (method, rule.rule)
            asked += 1
    assert asked >= 20


def test_routes_when_they_ask_an_upstream_then_they_lie_below_api(app: Flask) -> None:
    """Requests are counted below /api: nothing else may cost an upstream call."""
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
