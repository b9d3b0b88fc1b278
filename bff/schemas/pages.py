"""The pages of the dashboard: films of TMDB with what the user did with them."""

from __future__ import annotations

from functools import cache
from typing import Any, ClassVar

from marshmallow.fields import Field, Nested
from marshmallow.validate import Length, Range

from bff.model import Reason
from bff.schemas import fields as f
from bff.schemas.base import AnswerSchema
from bff.schemas.library import stars
from bff.schemas.tmdb import (
    SHOWN_FILMS,
    SHOWN_PEOPLE,
    CastMemberSchema,
    CrewMemberSchema,
    FilmSchema,
    GenreSchema,
    MovieDetailsSchema,
    genre_ids,
    page_count,
    page_number,
    poster,
    tmdb_id,
)

SHOWN = 12  # films in a row of the complete dashboard
SHOWN_GENRES = 5


def shown(schema: type[AnswerSchema], description: str, most: int, section: str = "") -> Any:
    """Return the field of a list that is null where it is unknown.

    `section`: the section of the page that it shows, if it is the one that does.
    """
    told = f"{description} Null: unknown."
    field = f.many(schema, told, allow_none=True, validate=Length(max=most))
    field.metadata["section"] = section
    return field


class SectionSchema(AnswerSchema):
    """How a part of a page came about."""

    status = f.one_of(
        ("ok", "stale", "unavailable"),
        "`ok`; `stale`: an old answer stands in; `unavailable`: unknown, shown as null.",
    )
    reason = f.one_of(
        (reason.value for reason in Reason),
        "Why the part is not, or not quite, what it should be. Null: nothing is wrong.",
        allow_none=True,
    )
    age = f.maybe_count("Seconds since the upstream sent it; only where it is stale.", 420)
    retry_after = f.maybe_count("Seconds after which asking again may help.", 60)


@cache
def _sections_schema(page: str, names: tuple[str, ...]) -> Any:
    parts: Any = {name: Nested(SectionSchema) for name in names}
    schema = AnswerSchema.from_dict(parts, name=f"{page}SectionsSchema")
    schema.__doc__ = "The parts of the page."
    return schema


class PageSchema(AnswerSchema):
    """A page. `sections` has its `parts`, and each section that a field of `shown` names."""

    parts: ClassVar[tuple[str, ...]] = ()
    sections = Nested(AnswerSchema)

    def on_bind_field(self, field_name: str, field_obj: Field[Any]) -> None:
        """Give `sections` an entry for each section of the page."""
        super().on_bind_field(field_name, field_obj)
        if field_name == "sections" and isinstance(field_obj, Nested):
            told = (field.metadata.get("section") for field in self.declared_fields.values())
            names = (*(name for name in told if name), *self.parts)
            page = type(self).__name__.removesuffix("Schema")
            field_obj.nested = _sections_schema(page, names)


class MarksSchema(AnswerSchema):
    """The user's marks on a film."""

    is_favorite = f.maybe_flag("Whether it is one of the user's favourites. Null: unknown.", True)
    is_in_watchlist = f.maybe_flag("Whether it is on the user's watchlist. Null: unknown.", False)
    user_rating = stars("The user's stars, 1 to 5. Null: none or unknown.", 5)


class MarkedFilmSchema(MarksSchema, FilmSchema):
    """A film with the user's marks."""


class FeedSchema(PageSchema):
    """Popular films with the user's marks."""

    parts = ("movies", "favorites", "watchlist")
    movies = f.many(MarkedFilmSchema, "Popular films.")
    total_pages = page_count()
    current_page = page_number()
    total_results = f.count("Number of films on all pages.", 10000)
    favorites_count = f.maybe_count("Number of the user's favourites. Null: unknown.", 3)
    watchlist_count = f.maybe_count("Number of films on the watchlist. Null: unknown.", 2)


class EnrichedSearchSchema(PageSchema):
    """Films that match, with the user's marks."""

    parts = ("results", "favorites", "watchlist")
    results = f.many(MarkedFilmSchema, "Films that match.")
    query = f.string("What was searched for.", "fight club")
    page = page_number()
    total_pages = page_count()
    total_results = f.count("Number of films on all pages.", 2)


class UserDataSchema(MarksSchema):
    """What the user did with the film."""

    watched_date = f.maybe_moment("When it was watched to the end. Null: not, or unknown.")
    progress = f.maybe_amount("Share that was watched, 0 to 1. Null: none or unknown.", 0.4)
    added_to_favorites_date = f.maybe_moment("When it became a favourite. Null: not, or unknown.")
    added_to_watchlist_date = f.maybe_moment("When it was put there. Null: not, or unknown.")


class EnrichedMovieSchema(PageSchema, MovieDetailsSchema):
    """A film with people, related films and the user's data."""

    parts = ("movie", "favorites", "watchlist", "history")
    user_data = Nested(UserDataSchema)
    cast = shown(CastMemberSchema, "First of the cast, by `order`.", SHOWN_PEOPLE)
    crew = shown(CrewMemberSchema, "Directors, writers, others of the crew.", SHOWN_PEOPLE)
    reviews_count = f.maybe_count("Number of reviews. Null: unknown.", 8)
    similar_movies = shown(MarkedFilmSchema, "Films of the same kind.", SHOWN_FILMS)
    recommended_movies = shown(MarkedFilmSchema, "Films that TMDB recommends.", SHOWN_FILMS)


class BecauseSchema(AnswerSchema):
    """What led to a recommendation."""

    kind = f.one_of(
        ("favorite", "trending"),
        "`favorite`: one of the user's favourites; `trending`: there are none, and it trends.",
    )
    id = f.integer("TMDB's number of the favourite. Null: trending.", 550, allow_none=True)
    title = f.maybe_text("Title of the favourite. Null: trending.", "Fight Club")


class RecommendedFilmSchema(MarkedFilmSchema):
    """A film that the user may like, with the reason."""

    because = Nested(BecauseSchema)


class BegunFilmSchema(MarksSchema):
    """A film that the user has begun and not finished."""

    id = tmdb_id("film")
    title = f.maybe_text("Title. Null: unknown.", "Fight Club")
    poster_path = poster()
    release_date = f.maybe_day("Day of the first release. Null: unknown.", "1999-10-15")
    genre_ids = genre_ids()
    progress = f.amount("Share that was watched, 0 to 1.", 0.4)
    updated_date = f.maybe_moment("When the progress was last set. Null: unknown.")


class GenreCountSchema(GenreSchema):
    """A genre, and how many of the favourites are of it."""

    count = f.integer("Number of favourites.", 2, validate=Range(min=1))


class StatsSchema(AnswerSchema):
    """The user in numbers."""

    total_favorites = f.maybe_count("Number of favourites. Null: unknown.", 3)
    total_watchlist = f.maybe_count("Number of films on the watchlist. Null: unknown.", 2)
    movies_watched = f.maybe_count("Number of films watched to the end. Null: unknown.", 1)
    avg_rating = f.maybe_amount("Average of the user's stars. Null: none or unknown.", 4.67)
    favorite_genres = shown(GenreCountSchema, "Genres of the favourites, by count.", SHOWN_GENRES)


class CompleteDashboardSchema(PageSchema):
    """Everything that the first screen shows."""

    parts = ("favorites", "watchlist", "history")
    popular_movies = shown(MarkedFilmSchema, "Popular films.", SHOWN, "popular")
    trending_movies = shown(MarkedFilmSchema, "Films that trend this week.", SHOWN, "trending")
    recommended_for_you = shown(
        RecommendedFilmSchema, "Films that the user may like.", SHOWN, "recommended"
    )
    continue_watching = shown(BegunFilmSchema, "Films begun, not finished, latest first.", SHOWN)
    stats = Nested(StatsSchema)
    page = page_number(allow_none=True)
    total_pages = page_count(allow_none=True)
