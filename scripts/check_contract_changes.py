"""Fail where `openapi.json` breaks a client of the last release and the changelog does not say so.

The last release is the newest `docs/contract/openapi-<version>.json`. Each break must be named,
by the text that stands before the colon in the output (such as `Film.title`), in an entry under
`### Breaking` of the changelog's unreleased section: it makes the next version a major one.

What breaks: for an answer, less or other than before (a field, status, header or media type
gone, a field no longer always there, of another type or with a value that was not there before);
for a request, more asked than before (a required parameter or field, a narrower type or bound)
or something refused that was taken.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "openapi.json"
RELEASED = ROOT / "docs" / "contract"
CHANGELOG = ROOT / "CHANGELOG.md"
METHODS = ("get", "put", "post", "delete", "patch")
# Bounds: the keyword, and whether a larger value allows less.
BOUNDS = (
    *(("minimum", True), ("minLength", True), ("minItems", True)),
    *(("maximum", False), ("maxLength", False), ("maxItems", False)),
)

Json = dict[str, Any]


@dataclass(frozen=True, order=True)
class Break:
    """What a client of the old document would stumble over, and where."""

    place: str
    what: str

    def __str__(self) -> str:
        return f"{self.place}: {self.what}"


class Comparison:
    """Holds a new document against an old one. A component is compared once, under its name."""

    def __init__(self, old: Json, new: Json) -> None:
        self._old, self._new = old, new
        self._seen: set[tuple[str, bool]] = set()

    def breaks(self) -> list[Break]:
        """Return what breaks, sorted."""
        return sorted(set(self._documents()))

    def _documents(self) -> Iterator[Break]:
        for path, item in self._old["paths"].items():
            for method in METHODS:
                if method not in item:
                    continue
                place = f"{method.upper()} {path}"
                now = self._new["paths"].get(path, {})
                if method not in now:
                    yield Break(place, "the operation is gone")
                    continue
                yield from self._operation(place, item, now, method)

    def _operation(self, place: str, old: Json, new: Json, method: str) -> Iterator[Break]:
        was, now = old[method], new[method]
        if was.get("operationId") != now.get("operationId"):
            yield Break(place, f"operationId is not {was.get('operationId')} any more")
        if not _needs_token(was, self._old) and _needs_token(now, self._new):
            yield Break(place, "it needs a token")
        yield from self._parameters(
            place,
            [*old.get("parameters", ()), *was.get("parameters", ())],
            [*new.get("parameters", ()), *now.get("parameters", ())],
        )
        yield from self._body(place, was.get("requestBody"), now.get("requestBody"))
        for status, answer in was["responses"].items():
            if status not in now["responses"]:
                yield Break(place, f"status {status} is gone")
                continue
            yield from self._answer(
                f"{place} {status}",
                self._resolve(answer, self._old),
                self._resolve(now["responses"][status], self._new),
            )

    def _parameters(self, place: str, old: list[Json], new: list[Json]) -> Iterator[Break]:
        before = {(p["in"], p["name"]): p for p in (self._resolve(q, self._old) for q in old)}
        after = {(p["in"], p["name"]): p for p in (self._resolve(q, self._new) for q in new)}
        for key, parameter in after.items():
            where = f"{place} {key[1]}"
            if parameter.get("required") and not before.get(key, {}).get("required"):
                yield Break(where, f"the {key[0]} parameter is required")
            if key in before:
                yield from self._schema(
                    where, before[key]["schema"], parameter["schema"], asked=True
                )
        for key in before.keys() - after.keys():
            yield Break(f"{place} {key[1]}", f"the {key[0]} parameter is gone")

    def _body(self, place: str, old: Json | None, new: Json | None) -> Iterator[Break]:
        if new is None:
            if old is not None:
                yield Break(place, "the body is gone")
            return
        if old is None:
            if new.get("required"):
                yield Break(place, "a body is required")
            return
        yield from self._contents(f"{place} body", old["content"], new["content"], asked=True)

    def _answer(self, place: str, old: Json, new: Json) -> Iterator[Break]:
        now = {name.lower() for name in new.get("headers", {})}
        for name in old.get("headers", {}):
            if name.lower() not in now:
                yield Break(place, f"the header {name} is gone")
        yield from self._contents(place, old.get("content", {}), new.get("content", {}))

    def _contents(self, place: str, old: Json, new: Json, asked: bool = False) -> Iterator[Break]:
        for kind, content in old.items():
            if kind not in new:
                yield Break(place, f"{kind} is gone")
                continue
            yield from self._schema(place, content["schema"], new[kind]["schema"], asked)

    def _schema(self, place: str, old: Json, new: Json, asked: bool = False) -> Iterator[Break]:
        name = old.get("$ref", "").rpartition("/")[2]
        if name:
            place = name
            if (name, asked) in self._seen:
                return
            if new.get("$ref") == old["$ref"]:
                self._seen.add((name, asked))
        old, new = self._resolve(old, self._old), self._resolve(new, self._new)
        if "anyOf" in old or "oneOf" in old or "anyOf" in new or "oneOf" in new:
            yield from self._choices(place, old, new, asked)
            return
        yield from _types(place, old, new, asked)
        yield from _values(place, old, new, asked)
        yield from _bounds(place, old, new, asked)
        yield from self._fields(place, old, new, asked)
        for key in ("items", "additionalProperties"):
            if isinstance(old.get(key), dict) and isinstance(new.get(key), dict):
                yield from self._schema(f"{place}[]", old[key], new[key], asked)

    def _fields(self, place: str, old: Json, new: Json, asked: bool) -> Iterator[Break]:
        before, after = old.get("properties", {}), new.get("properties", {})
        always_before, always_after = set(old.get("required", ())), set(new.get("required", ()))
        for name, schema in before.items():
            if name not in after:
                yield Break(f"{place}.{name}", "the field is gone")
                continue
            if not asked and name in always_before - always_after:
                yield Break(f"{place}.{name}", "the field is not always there any more")
            yield from self._schema(f"{place}.{name}", schema, after[name], asked)
        if asked:
            for name in sorted(always_after - always_before):
                yield Break(f"{place}.{name}", "the field is required")

    def _choices(self, place: str, old: Json, new: Json, asked: bool) -> Iterator[Break]:
        """Compare alternatives by what they are: references by name, the rest by its type."""
        before, after = _alternatives(old), _alternatives(new)
        new_ones = set() if asked else after.keys() - before.keys()
        gone = before.keys() - after.keys() - (set() if asked else {"null"})
        for key in sorted(new_ones):
            yield Break(place, f"it can be {key}, which it could not be before")
        for key in sorted(gone):
            yield Break(place, f"it cannot be {key} any more")
        for key in sorted(before.keys() & after.keys()):
            yield from self._schema(f"{place}", before[key], after[key], asked)

    def _resolve(self, part: Json, document: Json) -> Json:
        while "$ref" in part:
            found: Any = document
            for step in part["$ref"].removeprefix("#/").split("/"):
                found = found[step]
            part = found
        return part


def _needs_token(operation: Json, document: Json) -> bool:
    schemes: list[Json] = operation.get("security", document.get("security")) or []
    return bool(schemes) and {} not in schemes


def _alternatives(schema: Json) -> dict[str, Json]:
    options: Iterable[Json] = schema.get("anyOf") or schema.get("oneOf") or [schema]
    return {
        option["$ref"].rpartition("/")[2] if "$ref" in option else str(option.get("type")): option
        for option in options
    }


def _set_of(kinds: Any) -> set[str]:
    if kinds is None:
        return {"anything"}
    made = {kinds} if isinstance(kinds, str) else set(kinds)
    return made | {"integer"} if "number" in made else made


def _types(place: str, old: Json, new: Json, asked: bool) -> Iterator[Break]:
    before, after = _set_of(old.get("type")), _set_of(new.get("type"))
    if before - after if asked else after - before:
        yield Break(place, f"the type was {_words(before)} and is {_words(after)}")
    elif old.get("format") != new.get("format"):
        yield Break(place, f"the format was {old.get('format')} and is {new.get('format')}")


def _words(kinds: set[str]) -> str:
    return " or ".join(sorted(kinds))


def _values(place: str, old: Json, new: Json, asked: bool) -> Iterator[Break]:
    before: list[Any] | None = old.get("enum")
    after: list[Any] | None = new.get("enum")
    if asked:
        less, more = after, before
        what = "fewer values are taken"
    else:
        less, more = before, after
        what = "it can have values that it could not have before"
    if less is not None and (more is None or any(value not in less for value in more)):
        yield Break(place, what)


def _bounds(place: str, old: Json, new: Json, asked: bool) -> Iterator[Break]:
    """Bounds of answers are not compared: a reader does not depend on them."""
    if not asked:
        return
    for keyword, larger_is_less in BOUNDS:
        was, now = old.get(keyword), new.get(keyword)
        if now is None or was == now:
            continue
        if was is None or (now > was) is larger_is_less:
            yield Break(place, f"{keyword} was {was} and is {now}")
    if new.get("pattern") not in (None, old.get("pattern")):
        yield Break(place, "the pattern is another")


def entries(changelog: str) -> list[str]:
    """Return the entries under `### Breaking` of the unreleased section."""
    unreleased = re.search(r"^## \[Unreleased\]\n(.*?)(?=^## |\Z)", changelog, re.M | re.S)
    if unreleased is None:
        return []
    breaking = re.search(
        r"^### Breaking\b[^\n]*\n(.*?)(?=^### |\Z)", unreleased[1], re.M | re.S | re.I
    )
    if breaking is None:
        return []
    return [line.removeprefix("- ") for line in breaking[1].splitlines() if line.startswith("- ")]


def unnamed(breaks: list[Break], told: list[str]) -> list[Break]:
    """Return the breaks that no entry names."""

    def names(entry: str, place: str) -> bool:
        return re.search(rf"(?<![\w/.]){re.escape(place)}(?![\w/{{])(?!\.\w)", entry) is not None

    return [found for found in breaks if not any(names(entry, found.place) for entry in told)]


def last_release(directory: Path) -> Path | None:
    """Return the document of the newest release, or None where there is none."""

    def version(file: Path) -> tuple[int, ...]:
        return tuple(int(number) for number in re.findall(r"\d+", file.stem))

    return max(directory.glob("openapi-*.json"), key=version, default=None)


def main() -> int:
    """Compare the committed document with the last released one."""
    released = last_release(RELEASED)
    if released is None:
        print(f"no released document in {RELEASED.relative_to(ROOT)}")
        return 1
    old, new = (json.loads(file.read_text(encoding="utf-8")) for file in (released, DOCUMENT))
    breaks = Comparison(old, new).breaks()
    missing = unnamed(breaks, entries(CHANGELOG.read_text(encoding="utf-8")))
    for found in breaks:
        print(f"{'' if found in missing else 'named in the changelog: '}{found}")
    if missing:
        print("name each under `### Breaking` of the changelog's unreleased section, or undo it")
        return 1
    print(f"nothing else breaks clients of {released.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
