"""The benchmark's rows and tables, without a server."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import table
from bench.rows import BARE, COMPARED, KINDS, ROWS, WARM
from bench.servers import RECORDED_PAGES
from bench.table import Load, Measured

FILMS = range(1, 2001)


def measured(*cpu_ms: float, failed: int = 0, calls: int = 0) -> list[Measured]:
    """Return a round of 100 requests for each CPU time."""
    return [Measured(Load(100, 1.0, 2.0, 3.0, failed), one, calls, 60.0) for one in cpu_ms]


def cells(results: table.Results, name: str) -> list[str]:
    """Return the figures of a row."""
    found = [line for line in table.lines(results) if line.startswith(f"| {name} ")]
    assert len(found) == 1
    return [cell.strip() for cell in found[0].split("|")[2:-1]]


def test_rows_when_they_make_requests_then_as_many_differ_as_they_say() -> None:
    """A row with fewer different requests than it claims would measure a warmer cache."""
    assert len({row.name for row in ROWS}) == len(ROWS)
    assert {row for _, one, other, _ in COMPARED for row in (one, other)} <= set(ROWS)
    for row in ROWS:
        asked = list(row.requests(FILMS, 0, 500))
        assert len(set(asked)) == len(asked) == (row.different or 500), row.name
        pages = {one.partition("\t")[0] for one in asked}
        assert len(pages) == (len(asked) if "{" in row.path else 1), row.name


def test_row_when_it_has_used_up_every_cold_page_then_the_run_ends() -> None:
    """A page that is asked for a second time is not cold."""
    cold = next(row for row in ROWS if row.name == "cold feed")
    list(cold.requests(FILMS, KINDS * RECORDED_PAGES - 2, 2))
    with pytest.raises(SystemExit, match="cold feed"):
        list(cold.requests(FILMS, KINDS * RECORDED_PAGES - 2, 3))


def test_table_when_rounds_differ_then_it_shows_the_median_of_their_ratios() -> None:
    """Each round is divided by its own bare route: 2, 1.5 and 1.8 times."""
    results = {BARE.name: measured(0.2, 0.4, 0.5), WARM.name: measured(0.4, 0.6, 0.9)}
    assert cells(results, WARM.name)[3:6] == ["0.600", "1.80", "2"]


def test_table_when_a_ratio_is_over_its_bound_then_it_is_bold() -> None:
    """The bound of a warm feed is 2."""
    results = {BARE.name: measured(0.2), WARM.name: measured(0.41)}
    assert cells(results, WARM.name)[4] == "**2.05**"


def test_table_when_answers_failed_or_upstreams_were_called_then_it_says_so() -> None:
    """A degraded page is cheaper than a whole one: its figure must not pass unnoticed."""
    results = {BARE.name: measured(0.2), WARM.name: measured(0.3, failed=7, calls=3)}
    assert cells(results, f"{WARM.name} (**7 of 100 failed**)")[6] == "0.03"


def test_comparisons_when_one_row_was_not_measured_then_there_is_no_line() -> None:
    """`--rows` may leave one of the two out."""
    what, row, other, at_most = COMPARED[0]
    assert list(table.compared({row.name: measured(0.3)})) == []
    assert list(table.compared({row.name: measured(0.3), other.name: measured(0.1)})) == [
        f"| {what} | **3.00** | {at_most:g} |"
    ]


def test_write_when_the_page_has_markers_then_only_what_is_between_them_changes(
    tmp_path: Path,
) -> None:
    """A page without them is left as it is."""
    page = tmp_path / "README.md"
    page.write_text(f"before\n{table.START}old\n{table.END}after\n")
    table.write(page, "new\n")
    assert page.read_text() == f"before\n{table.START}new\n{table.END}after\n"
    page.write_text("no markers\n")
    with pytest.raises(SystemExit):
        table.write(page, "new\n")
    assert page.read_text() == "no markers\n"
