"""bff/reads.py: the table of TMDB's reads; `bff/api/movies.py` makes its routes."""

from __future__ import annotations

from bff import reads
from bff.reads import READS


def test_reads_when_they_are_compared_then_no_two_share_a_route_a_name_or_an_id() -> None:
    """Each is described, and its route has the parameters of TMDB's path."""
    for row in READS:
        assert row.summary
        assert row.route.count("{") == row.path.count("{")
    for keys in ("route", "name", "operation_id"):
        assert len({getattr(row, keys) for row in READS}) == len(READS)


def test_reads_when_a_row_is_written_then_it_stands_in_the_table() -> None:
    """A row that is written and not listed would be without a route, and nobody would notice."""
    rows = {value.name for value in vars(reads).values() if isinstance(value, reads.Read)}

    assert rows - {row.name for row in READS} == {"enriched", "configuration"}
