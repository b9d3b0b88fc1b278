"""Query parameters. A validated query comes out as texts, ready to be handed to TMDB."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date
from functools import lru_cache, partial
from typing import Any

from marshmallow import RAISE, Schema, fields, post_load, validate

from bff.reads import Read
from bff.shapes import MOST_PAGES

SORTS = tuple(
    f"{key}.{order}"
    for key in (
        *("popularity", "release_date", "revenue", "primary_release_date", "title"),
        *("original_title", "vote_average", "vote_count"),
    )
    for order in ("asc", "desc")
)
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z]{4})?(-([A-Za-z]{2}|[0-9]{3}))?", re.ASCII)
_REGION = re.compile(r"[A-Za-z]{2}", re.ASCII)
_IDS = re.compile(r"[0-9]{1,10}([,|][0-9]{1,10}){0,49}", re.ASCII)
_CODE = re.compile(r"[A-Za-z0-9.+ -]{1,20}([,|][A-Za-z0-9.+ -]{1,20}){0,19}", re.ASCII)


_DECIMAL = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,40})?([eE][-+]?[0-9]{1,3})?", re.ASCII)


class _Integer(fields.Integer):
    """Digits and perhaps a sign; Python also reads 1_0, spaces and the digits of other scripts."""

    def _validated(self, value: Any) -> int:
        if not re.fullmatch(r"-?[0-9]{1,18}", str(value), re.ASCII):
            raise self.make_error("invalid", input=value)
        return super()._validated(value)


class _Float(fields.Float):
    """A decimal number."""

    def _validated(self, value: Any) -> float:
        if not re.fullmatch(
            r"-?[0-9]{1,18}(\.[0-9]{1,40})?([eE][-+]?[0-9]{1,3})?", str(value), re.ASCII
        ):
            raise self.make_error("invalid", input=value)
        return super()._validated(value)


def _text(example: Any, doc: str, *checks: Callable[[str], Any], required: bool = False) -> Any:
    return fields.String(
        required=required,
        validate=list(checks),
        metadata={"description": doc, "example": example},
    )


def _number(example: Any, doc: str, low: float, high: float) -> Any:
    kind = _Integer if isinstance(example, int) else _Float
    return kind(
        validate=validate.Range(low, high), metadata={"description": doc, "example": example}
    )


def _day(doc: str) -> Any:
    return fields.Date(metadata={"description": doc, "example": "1999-10-15"})


def _match(pattern: re.Pattern[str], what: str) -> Any:
    # The pattern goes into the document, where only the anchors tell that it means the whole
    # text. Python's $ lets a line feed follow, which the parser refuses before.
    return validate.Regexp(re.compile(rf"^(?:{pattern.pattern})$", pattern.flags), error=what)


_ids = _match(_IDS, "Numbers, joined by a comma (and) or a pipe (or).")
_code = _match(_CODE, "Codes, joined by a comma (and) or a pipe (or).")
_country = _match(_REGION, "A country as ISO 3166-1, such as US.")
MOST_ID = 2**31 - 1
QUERY_LENGTH = 200


def _flag(doc: str) -> Any:
    return fields.Boolean(
        load_default=False,
        truthy={"true", "True", "1"},
        falsy={"false", "False", "0"},
        metadata={"description": doc, "default": False},
    )


# Something that can be seen, and no control characters, which the parser refuses in any query.
_SEEN = re.compile(r"[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*")


PARAMETERS: dict[str, Callable[[], Any]] = {
    "page": partial(
        _Integer,
        load_default=1,
        validate=validate.Range(1, MOST_PAGES),
        metadata={"description": "Page, from 1 to 500.", "example": 1},
    ),
    "language": partial(
        _text,
        "en-US",
        "Language of the texts, as BCP 47. Without it TMDB answers in English.",
        _match(_LANGUAGE, "A language as BCP 47, such as en or pt-BR."),
    ),
    "region": partial(_text, "US", "Country whose release dates count, as ISO 3166-1.", _country),
    "query": partial(
        _text,
        "fight club",
        "What to look for.",
        validate.Length(1, QUERY_LENGTH),
        _match(_SEEN, "Must not be empty."),
        required=True,
    ),
    "include_adult": partial(_flag, "Whether to list pornography."),
    "include_video": partial(_flag, "Whether to list videos that are no films."),
    "year": partial(_number, 1999, "Year of any release.", 1800, 2200),
    "primary_release_year": partial(_number, 1999, "Year of the first release.", 1800, 2200),
    "sort_by": partial(
        fields.String,
        validate=validate.OneOf(SORTS),
        metadata={"description": "Order of the films.", "example": "popularity.desc"},
    ),
    "with_original_language": partial(_text, "en", "Original language, as ISO 639-1.", _code),
    "with_origin_country": partial(_text, "US", "Country of origin, as ISO 3166-1.", _code),
    "with_watch_monetization_types": partial(
        _text, "flatrate", "How it is offered: flatrate, free, ads, rent, buy.", _code
    ),
    "watch_region": partial(_text, "US", "Country of the watch providers.", _country),
    "certification": partial(_text, "PG-13", "Certification; needs certification_country.", _code),
    "certification.gte": partial(_text, "PG", "Lowest certification.", _code),
    "certification.lte": partial(_text, "R", "Highest certification.", _code),
    "certification_country": partial(_text, "US", "Country of the certification.", _country),
}
for _name, _what, _example in (
    ("with_genres", "genres", "18"),
    ("without_genres", "genres that the film must not have", "27"),
    ("with_keywords", "keywords", "825"),
    ("without_keywords", "keywords that the film must not have", "825"),
    ("with_people", "people", "819"),
    ("with_cast", "people in the cast", "287"),
    ("with_crew", "people in the crew", "7467"),
    ("with_companies", "companies", "508"),
    ("without_companies", "companies that the film must not be of", "508"),
    ("with_release_type", "release types, 1 to 6", "3"),
    ("with_watch_providers", "watch providers; needs watch_region", "8"),
    ("without_watch_providers", "watch providers that must not have it; needs watch_region", "8"),
):
    PARAMETERS[_name] = partial(
        _text, _example, f"Numbers of {_what}: comma for and, pipe for or.", _ids
    )
for _end, _first, _least in (("gte", "First", "Lowest"), ("lte", "Last", "Highest")):
    for _name in ("primary_release_date", "release_date"):
        PARAMETERS[f"{_name}.{_end}"] = partial(_day, f"{_first} day of `{_name}`.")
    PARAMETERS[f"vote_average.{_end}"] = partial(_number, 7.5, f"{_least} mean vote.", 0, 10)
    for _name, _what in (("vote_count", "number of votes"), ("with_runtime", "minutes")):
        PARAMETERS[f"{_name}.{_end}"] = partial(_number, 100, f"{_least} {_what}.", 0, 10**9)


class QuerySchema(Schema):
    """A query: unknown parameters are refused, values come out as TMDB's texts."""

    class Meta:
        """Refuse what is not known."""

        unknown = RAISE

    @post_load
    def as_texts(self, data: Mapping[str, Any], **_: Any) -> dict[str, str]:
        """Return {parameter: text}, in one spelling, so that one question has one cache key."""
        names = {name: field.data_key or name for name, field in self.fields.items()}
        return {names[name]: _spelled(names[name], value) for name, value in data.items()}


def _spelled(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, date):
        return value.isoformat()
    if name in ("region", "watch_region", "certification_country"):
        return str(value).upper()
    if name == "language":
        first, *rest = str(value).split("-")
        return "-".join(
            [first.lower(), *(part.title() if len(part) == 4 else part.upper() for part in rest)]
        )
    return str(value).strip()


@lru_cache
def schema_of(name: str, parameters: tuple[str, ...]) -> type[QuerySchema]:
    """Return the schema of a query with these parameters, `language` and `region`."""
    made: dict[str, Any] = {}
    for parameter in (*parameters, "language", "region"):
        field = PARAMETERS[parameter]()
        field.data_key = parameter
        # marshmallow reads a dot in the name of a field as a path into nested data.
        made[parameter.replace(".", "__")] = field
    built: type[QuerySchema] = QuerySchema.from_dict(made, name=name)  # type: ignore[assignment]
    return built


def schema_for(row: Read) -> type[QuerySchema]:
    """Return the schema of the query of a TMDB read."""
    camel = "".join(part.title() for part in row.name.split("_"))
    return schema_of(f"{camel}QuerySchema", row.params)


class NoQuerySchema(Schema):
    """No query parameters at all."""

    class Meta:
        """Refuse what is not known."""

        unknown = RAISE


PageQuerySchema = schema_of("PageQuerySchema", ("page",))
FilmQuerySchema = schema_of("FilmQuerySchema", ())
SearchQuerySchema = schema_of("SearchQuerySchema", ("query", "page", "year", "include_adult"))
