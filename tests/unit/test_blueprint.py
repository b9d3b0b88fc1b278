"""bff/api/blueprint.py: what the parser remembers, and what it never takes."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from werkzeug.exceptions import HTTPException

from bff.api.blueprint import LONGEST_KNOWN, StrictParser
from bff.schemas.queries import FilmQuerySchema, MultiSearchQuerySchema, PageQuerySchema

APP = Flask("probe")


class Counting(StrictParser):
    """A parser that counts how often it reads a query."""

    def __init__(self) -> None:
        super().__init__()
        self.read = 0

    def load_querystring(self, req: Any, schema: Any) -> Any:
        """Count."""
        self.read += 1
        return super().load_querystring(req, schema)


def parsed(parser: StrictParser, query: str, schema: Any = PageQuerySchema) -> Any:
    """Return what a query means to a schema."""
    with APP.test_request_context(f"/?{query}"):
        return parser.parse(schema, location="query")


def test_query_when_it_comes_again_then_it_is_not_read_again() -> None:
    """A dashboard asks few questions, over and over."""
    parser = Counting()

    first, again, other = (parsed(parser, query) for query in ("page=2", "page=2", "page=3"))

    assert first == again == {"page": "2"}
    assert other == {"page": "3"}
    assert parser.read == 2


def test_query_when_another_schema_reads_it_then_it_has_another_meaning() -> None:
    """What is remembered belongs to one schema."""
    parser = Counting()

    assert parsed(parser, "language=de") == {"language": "de", "page": "1"}
    assert parsed(parser, "language=de", FilmQuerySchema) == {"language": "de"}


def test_query_when_it_is_wrong_then_it_is_refused_each_time() -> None:
    """A refusal is not remembered, nor is what follows it changed."""
    parser = Counting()

    for _ in range(2):
        with pytest.raises(HTTPException) as caught:
            parsed(parser, "page=0")
        assert caught.value.code == 422
    assert parsed(parser, "page=1") == {"page": "1"}


def test_query_when_it_is_long_then_it_is_not_remembered() -> None:
    """What callers send cannot fill the memory."""
    parser, query = Counting(), "query=" + "x" * LONGEST_KNOWN

    for _ in range(2):
        assert parsed(parser, query, MultiSearchQuerySchema)["query"] == "x" * LONGEST_KNOWN
    assert parser.read == 2
