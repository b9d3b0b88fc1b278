"""Make the documents' tables of failures from the table that the fault tests are made of.

python -m scripts.failure_table            print them
python -m scripts.failure_table --write    put them into README.md and docs/failure-behaviour.md
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from tests.faults.table import FAULTS, PAGES, Call, Fault

ROOT = Path(__file__).resolve().parent.parent
README, BEHAVIOUR = ROOT / "README.md", ROOT / "docs" / "failure-behaviour.md"

_HEAD = (
    *("the upstream's call", "`reason`", "a page that needs it", "a page that does not"),
    "an old answer of TMDB is cached",
)
_OF_A_FILM = (
    *("404 of a film", "", "404", "200, as if TMDB recommended nothing for it"),
    "404 all the same",
)


def failures() -> str:
    """Return what each failure looks like to a caller."""
    merged: dict[tuple[str, int, int | None], list[Fault]] = {}
    for fault in FAULTS:
        merged.setdefault((fault.reason, fault.status, fault.retry_after), []).append(fault)
    lines = [_line(*_HEAD), "|---" * len(_HEAD) + "|"]
    lines += [_row(faults) for faults in merged.values()]
    return "\n".join([*lines, _line(*_OF_A_FILM)])


def unknowns() -> str:
    """Return what each page cannot do without, and what is null in it."""
    lines = [
        "| page | cannot do without | null where its section is `unavailable` |",
        "|---" * 3 + "|",
    ]
    for page in PAGES:
        needed = ", ".join(call.section for call in page.calls if call.required)
        nulls = _nulls(page.calls) or "(it has one call, and no sections)"
        lines.append(_line(page.title or page.name, needed or "any one of its sections", nulls))
    return "\n".join(lines)


def written(text: str, name: str, table: str) -> str:
    """Return a document with a table between its marks; raise ValueError where it has none."""
    start, end = f"<!-- {name}:start -->", f"<!-- {name}:end -->"
    block = re.compile(f"{start}\n.*?{end}", re.DOTALL)
    if not block.search(text):
        raise ValueError(f"no {start} ... {end}")
    return block.sub(lambda _: f"{start}\n{table}\n{end}", text, count=1)


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _row(faults: list[Fault]) -> str:
    fault = faults[0]
    wait = "" if fault.retry_after is None else ", `Retry-After`"
    section = "`unavailable`" + ("" if fault.retry_after is None else ", `retry_after`")
    return _line(
        ", ".join(one.words for one in faults),
        f"`{fault.reason}`",
        f"{fault.status}{wait}",
        f"200, section {section}",
        "200, section `stale` with its `age`",
    )


def _nulls(calls: tuple[Call, ...]) -> str:
    parts = []
    for call in calls:
        fields = [*call.nulls]
        for section, needed in call.feeds:
            if needed:
                fields += next(one.nulls for one in calls if one.section == section)
        if fields:
            parts.append(f"{call.section}: " + ", ".join(f"`{name}`" for name in fields))
    return "; ".join(parts)


DOCUMENTS = ((README, "failures", failures), (BEHAVIOUR, "unknowns", unknowns))


def main(arguments: list[str]) -> int:
    """Print the tables, or write them."""
    for document, name, table in DOCUMENTS:
        if arguments == ["--write"]:
            document.write_text(written(document.read_text(), name, table()))
        else:
            print(f"{table()}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
