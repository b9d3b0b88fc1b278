"""scripts/check_docs.py: what the documentation names has to exist."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from scripts import check_docs

SETTINGS = {"PORT", "CACHE_TTL"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a git repository with a few files to name."""
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    for name in ("start-all.sh", "bff/model.py", "docs/guide.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "docs/guide.md").write_text("# The guide: a `start`\n\n## Same\n\n## Same\n")
    return tmp_path


GOOD = [
    "[the guide](docs/guide.md), [heading](docs/guide.md#the-guide-a-start), ![p](bff/model.py)",
    "[second of the same name](docs/guide.md#same-1)",
    "[a folder](docs/), [web](https://example.org/x), [mail](mailto:a@example.org)",
    "[here](#here)\n\n# Here",
    "[guide]: docs/guide.md",
    "`bff/model.py`, `model.py`, `./start-all.sh`, `bff/`, `var/log/bff.log`, `.env`",
    "`CACHE_TTL`, `PORT=9000`, `GET`, `HEAD`, `application/json`, `/api/movies/{id}`",
    "```sh\n./start-all.sh\ncurl http://localhost:8000/not/a/file.md\n```",
    "Text in (brackets) [without] a link, and `[not](a-link.md)` in code.",
]
BAD = [
    ("[gone](docs/gone.md)", "broken link: docs/gone.md"),
    ("[gone]: docs/gone.md", "broken link: docs/gone.md"),
    ("[no](docs/guide.md#nowhere)", "no such heading: docs/guide.md#nowhere"),
    ("[no](#nowhere)", "no such heading: #nowhere"),
    ("`bff/gone.py`", "no such file: bff/gone.py"),
    ("`gone.sh`", "no such file: gone.sh"),
    ("```sh\n./gone.sh\n```", "no such file: ./gone.sh"),
    ("`CACHE_TIME`", "no such setting: CACHE_TIME"),
    ("`HOST=a`", "no such setting: HOST"),
]


@pytest.mark.parametrize("text", GOOD)
def test_document_when_everything_it_names_exists_then_there_is_no_fault(
    project: Path, text: str
) -> None:
    """Links, anchors, paths, commands and settings that are there are accepted."""
    (project / "README.md").write_text(text)

    assert list(check_docs.faults(project, SETTINGS)) == []


@pytest.mark.parametrize(("text", "fault"), BAD)
def test_document_when_it_names_what_is_not_there_then_that_is_a_fault(
    project: Path, text: str, fault: str
) -> None:
    """Each kind of stale reference is found."""
    (project / "README.md").write_text(text)

    assert list(check_docs.faults(project, SETTINGS)) == [f"README.md: {fault}"]


def test_document_when_it_stands_in_a_folder_then_links_are_relative_to_it(project: Path) -> None:
    """A link in docs/ starts from docs/."""
    (project / "docs/other.md").write_text("[a](guide.md) [b](../bff/model.py) [c](bff/model.py)")

    assert list(check_docs.faults(project, SETTINGS)) == [
        "docs/other.md: broken link: bff/model.py"
    ]
