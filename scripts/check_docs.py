"""Fail where the documentation names a file, a heading or a setting that does not exist.

Checked in every Markdown file of the project: relative links with their anchors, paths in
`code`, and `./commands` in code blocks. In README.md, also each setting named in `code`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from scripts.settings import defaults
from scripts.tree import tracked

ROOT = Path(__file__).resolve().parent.parent

LINK = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?[^)]*\)|^\[[^\]]+\]:\s*(\S+)", re.MULTILINE)
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`\n]+)`")
CREATED = re.compile(r"\bcreate `[^`\n]+`", re.IGNORECASE)  # a step for the reader
COMMAND = re.compile(r"(?<![\w./-])\./([\w./-]*\w)")
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)
PATH = re.compile(r"\.?[\w-]+(?:[./-][\w-]+)*/?")
SETTING = re.compile(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*\b")
FILE_SUFFIXES = (".py", ".sh", ".md", ".toml", ".txt", ".yml", ".yaml", ".http", ".ini", ".cfg")
# Made at run time or by the reader, so not in the repository.
MADE = ("var/", ".venv/", ".env")
# Names in capitals that are not settings of config.py.
NOT_SETTINGS = {"ENV_FILE", "CI", "PATH"}


def faults(root: Path, settings: set[str]) -> Iterator[str]:
    """Yield one line for each thing that a document names and that is not there."""
    files = tracked(root)
    known = set(files) | {
        str(parent) for file in files for parent in Path(file).parents if str(parent) != "."
    }
    for name in (file for file in files if file.endswith(".md")):
        text = (root / name).read_text()
        prose = FENCE.sub("", text)
        yield from (f"{name}: {fault}" for fault in _links(root, name, prose, known))
        yield from (f"{name}: {fault}" for fault in _paths(name, prose, known))
        for block in FENCE.finditer(text):
            for command in COMMAND.findall(block.group()):
                if command not in known:
                    yield f"{name}: no such file: ./{command}"
        if name == "README.md":
            for setting in _settings(prose):
                if setting not in settings | NOT_SETTINGS:
                    yield f"{name}: no such setting: {setting}"


def _links(root: Path, name: str, prose: str, known: set[str]) -> Iterator[str]:
    for match in LINK.finditer(CODE.sub("", prose)):
        target = match.group(1) or match.group(2)
        if re.match(r"[a-z][a-z+.-]*:", target):
            continue
        path, _, anchor = unquote(target).partition("#")
        file = _resolved(name, path) if path else name
        if file not in known:
            yield f"broken link: {target}"
        elif anchor and file.endswith(".md") and anchor not in _anchors(root / file):
            yield f"no such heading: {target}"


def _paths(name: str, prose: str, known: set[str]) -> Iterator[str]:
    tops = {path.partition("/")[0] for path in known}
    names = {path.rpartition("/")[2] for path in known}
    for code in CODE.findall(CREATED.sub("", prose)):
        path = code.removeprefix("./")
        if not PATH.fullmatch(path) or path.startswith(MADE):
            continue
        inside = "/" in path.rstrip("/") and path.partition("/")[0] in tops
        if not inside and not path.endswith(FILE_SUFFIXES):
            continue
        plain = path.rstrip("/")
        if plain not in known and _resolved(name, plain) not in known and plain not in names:
            yield f"no such file: {code}"


def _settings(prose: str) -> Iterator[str]:
    for code in CODE.findall(prose):
        word = code.partition("=")[0]
        # One capital word is a header, a method or an acronym, unless it is assigned to.
        if SETTING.fullmatch(word) and ("_" in word or "=" in code):
            yield word


def _resolved(document: str, path: str) -> str:
    """Return a path relative to the document as one relative to the root."""
    parts: list[str] = [] if path.startswith("/") else document.split("/")[:-1]
    for part in path.strip("/").split("/"):
        if part == "..":
            parts[-1:] = []
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


def _anchors(file: Path) -> set[str]:
    """Return the anchors of the headings, made as GitHub makes them."""
    anchors: set[str] = set()
    for heading in HEADING.findall(FENCE.sub("", file.read_text())):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        anchor = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        count = 1
        unique = anchor
        while unique in anchors:
            unique = f"{anchor}-{count}"
            count += 1
        anchors.add(unique)
    return anchors


def main() -> int:
    """Print what is wrong and return the exit code."""
    wrong = list(dict.fromkeys(faults(ROOT, set(defaults()))))
    print("\n".join(wrong) or "every file, heading and setting that the documentation names exists")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
