"""Descriptions of JSON, used twice: to read what an upstream sent, and to document it.

Reading is tolerant, because real answers carry nulls, empty strings and odd
types: a value of the wrong type becomes the field's default. What cannot be
done without (an `id`, a list of results) is `required`; where it is missing,
the record around it is `Malformed`: dropped from a list, an error at the top.

A shape is immutable, so it is safe for every thread.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


class Malformed(Exception):
    """A value lacks what its shape requires."""


class Shape(Protocol):
    """What a JSON value looks like."""

    @property
    def doc(self) -> str:
        """One line for the API's documentation, with the unit."""

    @property
    def required(self) -> bool:
        """Whether the record around the value is worthless without it."""

    def read(self, value: Any) -> Any:
        """Return `value` as the shape has it, or raise `Malformed`."""


def _default(shape: Scalar) -> Any:
    if shape.required:
        raise Malformed
    return shape.default


@dataclass(frozen=True)
class Scalar:
    """A value without parts. `default` stands in for what is missing or of the wrong type."""

    doc: str
    default: Any = None
    required: bool = False
    example: Any = None

    @property
    def nullable(self) -> bool:
        """Whether readers must expect null."""
        return self.default is None and not self.required

    def read(self, value: Any) -> Any:
        """Return the value, or the default where it is not of the type."""
        raise NotImplementedError


@dataclass(frozen=True)
class Text(Scalar):
    """A string. Lone surrogates, which JSON can carry and UTF-8 cannot, do not pass."""

    choices: tuple[str, ...] = ()

    def read(self, value: Any) -> Any:
        """Return the string, or the default."""
        if isinstance(value, str) and (not self.choices or value in self.choices):
            return value
        return _default(self)


@dataclass(frozen=True)
class Date(Scalar):
    """A day as `YYYY-MM-DD`; TMDB's empty string is no day."""

    def read(self, value: Any) -> Any:
        """Return the day, or the default."""
        if isinstance(value, str) and _DAY.fullmatch(value):
            return value
        return _default(self)


# The calendar is checked as far as a pattern can; 30 February passes, and harms no reader.
_DAY = re.compile(r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])", re.ASCII)


@dataclass(frozen=True)
class Moment(Scalar):
    """A point of time in RFC 3339 form, such as `2026-11-24T17:30:00Z`."""

    def read(self, value: Any) -> Any:
        """Return the moment, or the default."""
        if isinstance(value, str) and _MOMENT.fullmatch(value):
            return value
        return _default(self)


_MOMENT = re.compile(
    _DAY.pattern + r"T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,9})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)",
    re.ASCII,
)
_MOST = 2**53 - 1  # the largest integer that a JavaScript reader holds exactly


@dataclass(frozen=True)
class Integer(Scalar):
    """A whole number, `least` to 2^53-1."""

    least: int = -_MOST

    def read(self, value: Any) -> Any:
        """Return the number, or the default; 5.0 is 5, true is no number."""
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if type(value) is int and self.least <= value <= _MOST:
            return value
        return _default(self)


@dataclass(frozen=True)
class Number(Scalar):
    """A finite number."""

    def read(self, value: Any) -> Any:
        """Return the number, or the default; true is no number."""
        if type(value) in (int, float) and math.isfinite(value) and abs(value) <= _MOST:
            return value
        return _default(self)


@dataclass(frozen=True)
class Flag(Scalar):
    """True or false."""

    def read(self, value: Any) -> Any:
        """Return the flag, or the default."""
        return value if isinstance(value, bool) else _default(self)


@dataclass(frozen=True)
class Many:
    """A list. Items that are malformed are dropped; a missing list is empty, unless required.

    `most`: what a reader gets at the most; the rest is cut. `nullable` is for
    lists of our own pages, where null says that the source could not be asked.
    """

    item: Shape
    doc: str
    required: bool = False
    most: int | None = None
    nullable: bool = False

    def read(self, value: Any) -> list[Any]:
        """Return the items that can be read."""
        if not isinstance(value, list):
            if self.required:
                raise Malformed
            return []
        items: list[Any] = []
        for raw in value:
            if self.most is not None and len(items) == self.most:
                break
            try:
                items.append(self.item.read(raw))
            except Malformed:
                continue
        return items


@dataclass(frozen=True)
class Record:
    """An object with known fields; others are left out.

    `name` is the component of the OpenAPI document. A nullable record that
    cannot be read is null; any other is `Malformed`.
    """

    name: str
    fields: Mapping[str, Shape]
    doc: str = ""
    required: bool = False
    nullable: bool = False

    def read(self, value: Any) -> dict[str, Any] | None:
        """Return the fields, each present."""
        try:
            if not isinstance(value, dict):
                raise Malformed
            return {name: shape.read(value.get(name)) for name, shape in self.fields.items()}
        except Malformed:
            if self.nullable:
                return None
            raise

    def but(self, **changes: Any) -> Record:
        """Return the same record in another place (`doc`, `required`, `nullable`)."""
        return Record(**{**self.__dict__, **changes})


@dataclass(frozen=True)
class Table:
    """An object whose keys are data, such as countries; what cannot be read is left out."""

    value: Shape
    doc: str
    required: bool = False
    default: dict[str, Any] = field(default_factory=dict)

    def read(self, value: Any) -> dict[str, Any]:
        """Return the entries that can be read."""
        if not isinstance(value, dict):
            if self.required:
                raise Malformed
            return {}
        entries: dict[str, Any] = {}
        for key, raw in value.items():
            try:
                entries[key] = self.value.read(raw)
            except Malformed:
                continue
        return entries


def page_of(name: str, item: Shape, **more: Shape) -> Record:
    """Return TMDB's list: `page`, `results` of `item`, `total_pages` and `total_results`."""
    return Record(
        name,
        {
            **more,
            "page": Integer("The page, from 1 to 500.", default=1, least=1, example=1),
            "results": Many(item, "At most 20 entries.", required=True),
            "total_pages": Pages("Pages there are, at most 500.", default=1, example=500),
            "total_results": Integer("Entries on all pages.", default=0, least=0, example=10000),
        },
    )


MOST_PAGES = 500


@dataclass(frozen=True)
class Pages(Scalar):
    """A number of pages; TMDB counts beyond 500 and refuses to show what it counted."""

    def read(self, value: Any) -> Any:
        """Return the number, at most 500, or the default."""
        if type(value) is int and value >= 0:
            return min(value, MOST_PAGES)
        return _default(self)


@dataclass(frozen=True)
class Tagged:
    """An object whose shape follows from one of its fields, such as `media_type`."""

    name: str
    tag: str
    records: Mapping[str, Record]
    doc: str = ""
    required: bool = False

    def read(self, value: Any) -> dict[str, Any] | None:
        """Return the object as the record of its tag has it."""
        tag = value.get(self.tag) if isinstance(value, dict) else None
        if not isinstance(tag, str) or tag not in self.records:
            raise Malformed
        return self.records[tag].read(value)
