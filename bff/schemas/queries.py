"""Query parameters and the headers of reads. A query comes out as texts, ready for TMDB."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from functools import partial
from typing import Any

from marshmallow import EXCLUDE, Schema, fields, post_load
from marshmallow.validate import Length, OneOf, Range, Regexp

from bff.schemas import fields as f
from bff.schemas.tmdb import MOST_PAGES

QUERY_LENGTH = 200
SORTS = tuple(
    f"{key}.{order}"
    for key in (
        *("popularity", "release_date", "revenue", "primary_release_date", "title"),
        *("original_title", "vote_average", "vote_count"),
    )
    for order in ("asc", "desc")
)


class Spelled(fields.Field[Any]):
    """A number that is spelled as JSON spells it; Python also takes 1_0 and other digits."""

    spelling = r"-?[0-9]{1,18}(\.[0-9]{1,40})?([eE][-+]?[0-9]{1,3})?"

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        if not re.fullmatch(self.spelling, str(value), re.ASCII):
            raise self.make_error("invalid", input=value)
        return super()._deserialize(value, attr, data, **kwargs)


class Digits(Spelled, fields.Integer):
    """Digits and perhaps a sign."""

    spelling = r"-?[0-9]{1,18}"


class Decimal(Spelled, fields.Float):
    """A decimal number."""


class Country(fields.String):
    """A country, in capital letters, so that one question has one spelling."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str:
        return super()._deserialize(value, attr, data, **kwargs).upper()


class Language(fields.String):
    """A language in the spelling of BCP 47: `zh-Hans-CN`."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str:
        first, *rest = super()._deserialize(value, attr, data, **kwargs).split("-")
        spelled = [part.title() if len(part) == 4 else part.upper() for part in rest]
        return "-".join([first.lower(), *spelled])


def matching(pattern: str, error: str) -> Regexp:
    """Return the rule that a text matches as a whole."""
    # The pattern goes into the document, where only the anchors say that it means the whole
    # text. Python's $ lets a line feed follow, which the parser refuses before.
    return Regexp(re.compile(rf"^(?:{pattern})$", re.ASCII), error=error)


TRUE, FALSE = {"true", "True", "1"}, {"false", "False", "0"}
flag = partial(f.field, fields.Boolean, load_default=False, truthy=TRUE, falsy=FALSE)
day = partial(f.field, fields.Date)
two_letters = matching("[A-Za-z]{2}", "A country as ISO 3166-1, such as US.")
country = partial(f.field, Country, validate=two_letters)
codes = matching(
    r"[A-Za-z0-9.+ -]{1,20}([,|][A-Za-z0-9.+ -]{1,20}){0,19}",
    "Codes, joined by a comma (and) or a pipe (or).",
)
code = partial(f.field, fields.String, validate=codes)
release_year = partial(f.field, Digits, validate=Range(1800, 2200))
number = partial(f.field, Digits, validate=Range(0, 10**9))
vote = partial(f.field, Decimal, validate=Range(0, 10))


def ids(what: str, example: str, **options: Any) -> Any:
    """Return the field of TMDB's numbers of `what`."""
    rule = matching(
        r"[0-9]{1,10}([,|][0-9]{1,10}){0,49}", "Numbers, joined by a comma (and) or a pipe (or)."
    )
    told = f"TMDB's numbers of {what}; comma for and, pipe for or."
    return f.field(fields.String, told, example, validate=rule, **options)


class QuerySchema(Schema):
    """A query: unknown parameters are refused, values come out as TMDB's texts."""

    @post_load
    def as_texts(self, data: Mapping[str, Any], **_: Any) -> dict[str, str]:
        """Return {parameter: text}, so that one question has one cache key."""
        names = {name: one.data_key or name for name, one in self.fields.items()}
        return {names[name]: _text(value) for name, value in data.items()}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if isinstance(value, date) else str(value).strip()


class NoQuerySchema(QuerySchema):
    """No query parameters."""


class FilmQuerySchema(QuerySchema):
    """What every read of TMDB takes."""

    language = f.field(
        Language,
        "Language of the texts, as BCP 47. Without it TMDB answers in English.",
        "en-US",
        validate=matching(
            "[A-Za-z]{2,3}(-[A-Za-z]{4})?(-([A-Za-z]{2}|[0-9]{3}))?",
            "A language as BCP 47, such as en or pt-BR.",
        ),
    )
    region = country("Country whose release dates count, as ISO 3166-1.", "US")


class PageQuerySchema(FilmQuerySchema):
    """A page of a list."""

    page = f.field(Digits, "Page, from 1 to 500.", 1, load_default=1, validate=Range(1, MOST_PAGES))


class MultiSearchQuerySchema(PageQuerySchema):
    """A search for anything."""

    query = f.field(
        fields.String,
        "What to search for.",
        "fight club",
        required=True,
        validate=[
            Length(1, QUERY_LENGTH),
            # Something that can be seen. The parser refuses control characters in any query.
            matching(
                r"[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*",
                "Must not be empty.",
            ),
        ],
    )
    include_adult = flag("Whether to include adult films.")


class SearchQuerySchema(MultiSearchQuerySchema):
    """A search for films."""

    year = release_year("Year of any release.", 1999)


class MovieSearchQuerySchema(SearchQuerySchema):
    """A search for films with all that TMDB takes."""

    primary_release_year = release_year("Year of the first release.", 1999)


class DiscoverQuerySchema(PageQuerySchema):
    """TMDB's filters; all must hold. A name with a dot is a `data_key`, as it is no Python name."""

    sort_by = f.field(fields.String, "Order.", "popularity.desc", validate=OneOf(SORTS))
    include_adult = flag("Whether to include adult films.")
    include_video = flag("Whether to include videos, such as concerts.")
    with_genres = ids("genres", "18")
    without_genres = ids("genres that the film must not have", "27")
    with_keywords = ids("keywords", "825")
    without_keywords = ids("keywords that the film must not have", "825")
    with_people = ids("people", "819")
    with_cast = ids("people in the cast", "287")
    with_crew = ids("people in the crew", "7467")
    with_companies = ids("companies", "508")
    without_companies = ids("companies that must not have made it", "508")
    with_release_type = ids("release types, 1 to 6", "3")
    with_watch_providers = ids("watch providers; needs watch_region", "8")
    without_watch_providers = ids("watch providers that must not have it; needs watch_region", "8")
    with_watch_monetization_types = code("Any of flatrate, free, ads, rent, buy.", "flatrate")
    watch_region = country("Country of the watch providers.", "US")
    with_original_language = code("Original language, as ISO 639-1.", "en")
    with_origin_country = code("Country of origin, as ISO 3166-1.", "US")
    year = release_year("Year of any release.", 1999)
    primary_release_year = release_year("Year of the first release.", 1999)
    primary_release_date_gte = day(
        "First day of the first release.", "1999-10-15", data_key="primary_release_date.gte"
    )
    primary_release_date_lte = day(
        "Last day of the first release.", "1999-10-15", data_key="primary_release_date.lte"
    )
    release_date_gte = day("First day of any release.", "1999-10-15", data_key="release_date.gte")
    release_date_lte = day("Last day of any release.", "1999-10-15", data_key="release_date.lte")
    vote_average_gte = vote("Lowest average vote.", 7.5, data_key="vote_average.gte")
    vote_average_lte = vote("Highest average vote.", 7.5, data_key="vote_average.lte")
    vote_count_gte = number("Lowest number of votes.", 100, data_key="vote_count.gte")
    vote_count_lte = number("Highest number of votes.", 100, data_key="vote_count.lte")
    with_runtime_gte = number("Shortest runtime, in minutes.", 100, data_key="with_runtime.gte")
    with_runtime_lte = number("Longest runtime, in minutes.", 100, data_key="with_runtime.lte")
    certification = code("Certification; needs certification_country.", "PG-13")
    certification_gte = code("Lowest certification.", "PG", data_key="certification.gte")
    certification_lte = code("Highest certification.", "R", data_key="certification.lte")
    certification_country = country("Country of the certification.", "US")


class RevisionSchema(Schema):
    """The header of a read that must not be older than a write; read by `lifecycle`."""

    class Meta:
        unknown = EXCLUDE

    revision = f.field(
        fields.String,
        "What the last write answered in its header of the same name: the answer is at least as "
        "new. The cookie `library_revision` does the same for a browser.",
        "17",
        data_key="X-Library-Revision",
    )
