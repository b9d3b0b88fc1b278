"""TMDB's answers (v3), as this service passes them on.

Names and meanings are TMDB's. A field may be null where real answers were seen to omit it, or to
hold null, "" or a wrong type.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from marshmallow.fields import Dict, Nested, String
from marshmallow.validate import Range

from bff.schemas.base import (
    AnswerSchema,
    Json,
    Malformed,
    UnionSchema,
    amount,
    count,
    field,
    flag,
    integer,
    many,
    maybe,
    maybe_amount,
    maybe_count,
    maybe_day,
    maybe_flag,
    maybe_moment,
    maybe_text,
    one_of,
    string,
    text,
)

MOST_PAGES = 500  # TMDB counts more, and refuses to show them
MOST_ID = 2**31 - 1
SHOWN_PEOPLE = 10
SHOWN_FILMS = 6
# TMDB's genres of films in English (GET /3/genre/movie/list). Where a genre has no name in a
# language, TMDB sends null.
# fmt: off
ENGLISH_GENRES = {
    28: "Action", 12: "Adventure", 16: "Animation", 35: "Comedy", 80: "Crime", 99: "Documentary",
    18: "Drama", 10751: "Family", 14: "Fantasy", 36: "History", 27: "Horror", 10402: "Music",
    9648: "Mystery", 10749: "Romance", 878: "Science Fiction", 10770: "TV Movie", 53: "Thriller",
    10752: "War", 37: "Western",
}
# fmt: on
# The department of writing has many jobs; these are the ones that a film is known by.
WRITERS = ("Screenplay", "Writer", "Story", "Author", "Teleplay")


def tmdb_id(what: str, example: int = 550) -> Any:
    """Return the field of TMDB's number of a `what`."""
    return integer(f"TMDB's number of the {what}.", example, validate=Range(min=1))


def picture(what: str, *examples: str) -> Any:
    """Return the field of the path of a picture."""
    told = f"Path of the {what}, after `images.base_url` and a size of `/api/configuration`."
    return maybe_text(f"{told} Null: there is none.", *examples)


page_number = partial(integer, "Page, 1 to 500.", 1, validate=Range(1, MOST_PAGES))
page_count = partial(integer, "Number of pages, at most 500.", 500, validate=Range(0, MOST_PAGES))
poster = partial(picture, "poster", "/pB8BM7pdSp6B6Ih7QZ4DrQ3PmJK.jpg")
language = partial(maybe_text, "Language as ISO 639-1. Null: none.", "en")
country = partial(maybe_text, "Country as ISO 3166-1. Null: unknown.", "US")
some = partial(many, dump_default=list)  # a list that is empty where it is missing
countries = partial(some, string("Country.", "US"), "Countries of origin as ISO 3166-1.")
genre_ids = partial(some, integer("Genre.", 18), "TMDB's numbers of the genres.")


def distinct(entries: Iterable[Json], *key: str) -> list[Json]:
    """Return the entries without those that repeat an earlier one; `key`: what they share."""
    first: dict[Any, Json] = {}
    for entry in entries:
        first.setdefault(tuple(entry[name] for name in key), entry)
    return list(first.values())


def suitable(films: Iterable[Json]) -> list[Json]:
    """Return the films for a list in which nobody asked for adult films, each of them once."""
    return distinct((film for film in films if not film["adult"]), "id")


def billed(cast: Iterable[Json]) -> list[Json]:
    """Return the cast by its `order`; those without one come last."""
    return sorted(cast, key=lambda member: (member["order"] is None, member["order"] or 0))


def credited(crew: Iterable[Json]) -> list[Json]:
    """Return the crew with directors and writers first, otherwise as it was."""

    def rank(member: Json) -> int:
        if member["job"] == "Director":
            return 0
        if member["job"] in WRITERS:
            return 1
        return 2 if member["department"] == "Writing" else 3

    return sorted(crew, key=rank)


class PageSchema(AnswerSchema):
    """One page of a list."""

    page = page_number(dump_default=1)
    total_pages = page_count(dump_default=1)
    total_results = count("Number of entries on all pages.", 10000)


class VotesSchema(AnswerSchema):
    """How something is received."""

    vote_average = amount("Average vote, 0 to 10; 0 without votes.", 8.438)
    vote_count = count("Number of votes.", 27280)
    popularity = amount("TMDB's measure of attention, from 0 without an upper end.", 61.4)
    adult = flag("Whether it is for adults only.")


class SummarySchema(AnswerSchema):
    """What a film is called, and when it came out."""

    id = tmdb_id("film")
    title = text("Title in the language asked for.", "Fight Club")
    original_title = text("Title in the original language.", "Fight Club")
    original_language = text("Original language as ISO 639-1.", "en")
    overview = text("What it is about; empty where it is not translated.")
    release_date = maybe_day("Day of the first release. Null: unknown.", "1999-10-15")
    poster_path = poster()
    backdrop_path = picture("backdrop", "/hZkgoQYus5vegHoetLkCJzb17zJ.jpg")
    video = flag("Whether it is a video, such as a concert, rather than a film.")


# marshmallow takes the fields of the last base first.
class FilmSchema(VotesSchema, SummarySchema):
    """A film in a list."""

    genre_ids = genre_ids()


class FilmPageSchema(PageSchema):
    """A page of films, without adult films."""

    results = many(FilmSchema, "At most 20 films.")

    def after_read(self, record: Json) -> Json:
        """Leave out adult films and repetitions."""
        record["results"] = suitable(record["results"])
        return record


class FilmSearchPageSchema(PageSchema):
    """A page of films that match; adult films only where `include_adult` asked for them."""

    results = many(FilmSchema, "At most 20 films.")

    def after_read(self, record: Json) -> Json:
        """Leave out repetitions."""
        record["results"] = distinct(record["results"], "id")
        return record


class ReleaseWindowSchema(AnswerSchema):
    """The window of release dates that a list covers."""

    minimum = maybe_day("First day. Null: open.")
    maximum = maybe_day("Last day. Null: open.")


class DatedFilmPageSchema(FilmPageSchema):
    """A page of films and the release dates that it covers, without adult films."""

    dates = maybe(
        ReleaseWindowSchema, "The window of release dates that the list covers. Null: unknown."
    )


class GenreSchema(AnswerSchema):
    """A genre."""

    id = tmdb_id("genre", 18)
    name = text("Name; in English where it is not translated.", "Drama")

    def after_read(self, record: Json) -> Json:
        """Fall back on the English name."""
        record["name"] = record["name"] or ENGLISH_GENRES.get(record["id"])
        if record["name"] is None:
            raise Malformed("name")
        return record


class GenresSchema(AnswerSchema):
    """All genres of films."""

    genres = many(GenreSchema, "All genres.")


class CompanySchema(AnswerSchema):
    """A company that made a film."""

    id = tmdb_id("company", 508)
    name = text("Name.")
    logo_path = picture("logo")
    origin_country = text("Country as ISO 3166-1; empty where unknown.")


class ProductionCountrySchema(AnswerSchema):
    """A country in which a film was made."""

    iso_3166_1 = country()
    name = text("Name.")


class SpokenLanguageSchema(AnswerSchema):
    """A language that is spoken in a film."""

    iso_639_1 = language()
    name = text("Name.")
    english_name = text("Name in English.", "English")


class CollectionReferenceSchema(AnswerSchema):
    """A series of films."""

    id = tmdb_id("collection", 263)
    name = text("Name.")
    poster_path = poster()
    backdrop_path = picture("backdrop")


class MovieDetailsSchema(VotesSchema, SummarySchema):
    """A film with everything that TMDB knows about it."""

    genres = some(GenreSchema, "Genres.")
    runtime = maybe_count("Minutes. Null or 0: unknown.", 139)
    status = maybe_text("Such as `Released` or `In Production`. Null: unknown.", "Released")
    tagline = text("Slogan; empty where there is none.")
    homepage = maybe_text("Address of the film's own site. Null: there is none.")
    imdb_id = maybe_text("IMDb's id. Null: unknown.", "tt0137523")
    budget = count("US dollars; 0: unknown.", 63000000)
    revenue = count("US dollars; 0: unknown.", 100853753)
    origin_country = countries()
    belongs_to_collection = maybe(
        CollectionReferenceSchema, "The series of films that it belongs to. Null: none."
    )
    production_companies = some(CompanySchema, "Companies that made it.")
    production_countries = some(ProductionCountrySchema, "Countries in which it was made.")
    spoken_languages = some(SpokenLanguageSchema, "Languages that are spoken in it.")


class PersonSummarySchema(AnswerSchema):
    """What a person has in a list and on their own."""

    id = tmdb_id("person", 819)
    name = text("Name.", "Edward Norton")
    original_name = text("Name in the original script.")
    gender = count("0 not set, 1 female, 2 male, 3 non-binary.", 2)
    known_for_department = maybe_text("Such as `Acting`. Null: unknown.", "Acting")
    popularity = amount("TMDB's measure of attention.", 8.1)
    profile_path = picture("portrait")
    adult = flag("Whether they are known for adult films.")


class RoleSchema(AnswerSchema):
    """A credit for a role."""

    character = text("Who is played; empty where unknown.", "Narrator")
    order = maybe_count("Position in the cast, from 0. Null: unknown.", 0)
    credit_id = maybe_text("TMDB's id of the credit. Null: unknown.")


class JobSchema(AnswerSchema):
    """A credit for a job."""

    job = text("Job; empty where unknown.", "Director")
    department = text("Department; empty where unknown.", "Directing")
    credit_id = maybe_text("TMDB's id of the credit. Null: unknown.")


class CastMemberSchema(RoleSchema, PersonSummarySchema):
    """A member of the cast."""


class CrewMemberSchema(JobSchema, PersonSummarySchema):
    """A member of the crew."""


class CreditsSchema(AnswerSchema):
    """Cast and crew of a film."""

    id = tmdb_id("film")
    cast = many(CastMemberSchema, "Cast, by `order`.")
    crew = many(CrewMemberSchema, "Crew, in TMDB's order.")

    def after_read(self, record: Json) -> Json:
        """Sort the cast."""
        record["cast"] = billed(record["cast"])
        return record


class ReviewAuthorSchema(AnswerSchema):
    """The author of a review."""

    name = text("Name; may be empty.")
    username = text("User name at TMDB.")
    avatar_path = picture("avatar")
    rating = maybe_amount("Stars given, 0.5 to 10. Null: none.", 9.0)


class ReviewSchema(AnswerSchema):
    """A review."""

    id = string("TMDB's id of the review.")
    author = text("Name of the author.")
    author_details = maybe(ReviewAuthorSchema, "The author. Null: unknown.")
    content = text("The review, in Markdown.")
    created_at = maybe_moment("When it was written. Null: unknown.")
    updated_at = maybe_moment("When it was last changed. Null: unknown.")
    url = maybe_text("Address of the review at TMDB. Null: unknown.")


class ReviewPageSchema(PageSchema):
    """A page of reviews."""

    id = tmdb_id("film")
    results = many(ReviewSchema, "At most 20 reviews.")


class VideoSchema(AnswerSchema):
    """A video on another site."""

    id = string("TMDB's id of the video.")
    key = text("Id of the video at `site`.")
    site = text("Such as `YouTube`.", "YouTube")
    name = text("Name.")
    type = text("Such as `Trailer`.", "Trailer")
    official = maybe_flag("Whether it was published by those who made the film. Null: unknown.")
    size = maybe_count("Lines, such as 1080. Null: unknown.", 1080)
    iso_639_1 = language()
    iso_3166_1 = country()
    published_at = maybe_moment("When it was published. Null: unknown.")


class VideosSchema(AnswerSchema):
    """Videos of a film."""

    id = tmdb_id("film")
    results = many(VideoSchema, "Trailers, clips and the like.")


class ImageSchema(AnswerSchema):
    """A picture."""

    file_path = string("Path of the picture, to be prefixed as `poster_path` is.")
    width = maybe_count("Pixels. Null: unknown.", 1280)
    height = maybe_count("Pixels. Null: unknown.", 720)
    aspect_ratio = maybe_amount("Width divided by height. Null: unknown.", 1.778)
    iso_639_1 = language()
    vote_average = amount("Average vote, 0 to 10; 0 without votes.", 5.3)
    vote_count = count("Number of votes.", 4)


class ImagesSchema(AnswerSchema):
    """Pictures of a film."""

    id = tmdb_id("film")
    backdrops = many(ImageSchema, "Wide pictures.")
    posters = many(ImageSchema, "Posters.")
    logos = some(ImageSchema, "Logos of the title.")


class WatchProviderSchema(AnswerSchema):
    """A service that shows films."""

    provider_id = tmdb_id("provider", 8)
    provider_name = text("Name.", "Netflix")
    logo_path = picture("logo")
    display_priority = integer("Order of display, lowest first. Null: unknown.", 0, allow_none=True)


class CountryOffersSchema(AnswerSchema):
    """Where a film can be watched in one country. Data by JustWatch."""

    link = maybe_text("TMDB's page with the offers. Null: unknown.")
    flatrate = some(WatchProviderSchema, "Part of a subscription.")
    rent = some(WatchProviderSchema, "For rent.")
    buy = some(WatchProviderSchema, "For sale.")
    ads = some(WatchProviderSchema, "Free with advertisements.")
    free = some(WatchProviderSchema, "Free.")


class WatchProvidersSchema(AnswerSchema):
    """Where a film can be watched. The data come from JustWatch, which must be credited."""

    id = tmdb_id("film")
    results = field(
        partial(Dict, keys=String(), values=Nested(CountryOffersSchema)),
        "Offers by country (ISO 3166-1). Data by JustWatch.",
    )


class MovieResultSchema(FilmSchema):
    """A film."""

    media_type = one_of(["movie"], "What the entry is.")


class SeriesResultSchema(VotesSchema):
    """A series."""

    id = tmdb_id("series", 1396)
    name = text("Name.")
    original_name = text("Name in the original language.")
    original_language = text("Original language as ISO 639-1.")
    overview = text("What it is about; empty where it is not translated.")
    first_air_date = maybe_day("Day of the first broadcast. Null: unknown.")
    poster_path = poster()
    backdrop_path = picture("backdrop")
    genre_ids = genre_ids()
    origin_country = countries()
    media_type = one_of(["tv"], "What the entry is.")


class PersonResultSchema(PersonSummarySchema):
    """A person."""

    media_type = one_of(["person"], "What the entry is.")


class MultiResultSchema(UnionSchema):
    """A film, a series or a person."""

    tag = "media_type"
    variants = {  # noqa: RUF012 - marshmallow's classes are configured by plain attributes
        "movie": MovieResultSchema,
        "tv": SeriesResultSchema,
        "person": PersonResultSchema,
    }


class MultiPageSchema(PageSchema):
    """A page of films, series and people."""

    results = many(MultiResultSchema, "At most 20 entries.")

    def after_read(self, record: Json) -> Json:
        """Leave out repetitions."""
        record["results"] = distinct(record["results"], "media_type", "id")
        return record


class PersonSchema(PersonSummarySchema):
    """A person with everything that TMDB knows about them."""

    biography = text("Life; empty where it is not translated.")
    birthday = maybe_day("Day of birth. Null: unknown.", "1969-08-18")
    deathday = maybe_day("Day of death. Null: alive or unknown.")
    place_of_birth = maybe_text("Place of birth. Null: unknown.")
    also_known_as = many(string("Name."), "Other names.", dump_default=list)
    imdb_id = maybe_text("IMDb's id. Null: unknown.", "nm0001570")
    homepage = maybe_text("Address of their own site. Null: there is none.")


class PersonCastCreditSchema(RoleSchema, FilmSchema):
    """A film in which a person plays."""


class PersonCrewCreditSchema(JobSchema, FilmSchema):
    """A film on which a person worked."""


class PersonCreditsSchema(AnswerSchema):
    """The films of a person."""

    id = tmdb_id("person", 819)
    cast = many(PersonCastCreditSchema, "Films in which the person plays.")
    crew = many(PersonCrewCreditSchema, "Films on which the person worked.")


sizes = partial(many, String(), "Sizes, as they stand in an address.")


class TmdbImagesSchema(AnswerSchema):
    """Where TMDB's pictures are."""

    secure_base_url = string("Address before the size.")
    poster_sizes = sizes()
    backdrop_sizes = sizes()
    profile_sizes = sizes()


class TmdbConfigurationSchema(AnswerSchema):
    """TMDB's configuration; only what concerns pictures."""

    images = Nested(TmdbImagesSchema)


# One call for a film page. A block that is missing or broken is null, so that the page can say
# that it does not know.


class ShownCreditsSchema(AnswerSchema):
    """The people that a film page shows."""

    cast = some(CastMemberSchema, "Cast.")
    crew = some(CrewMemberSchema, "Crew.")

    def after_read(self, record: Json) -> Json:
        """Keep the first of each: TMDB lists hundreds, in no order."""
        return {
            "cast": billed(record["cast"])[:SHOWN_PEOPLE],
            "crew": credited(record["crew"])[:SHOWN_PEOPLE],
        }


class ReviewCountSchema(AnswerSchema):
    """How many reviews a film has."""

    total_results = maybe_count("Number of reviews. Null: unknown.")


class RelatedFilmsSchema(AnswerSchema):
    """Films that are related to another one."""

    results = many(FilmSchema, "Films.")


class FilmWithBlocksSchema(MovieDetailsSchema):
    """A film with all that a film page shows."""

    credits = Nested(ShownCreditsSchema, allow_none=True)
    reviews = Nested(ReviewCountSchema, allow_none=True)
    similar = Nested(RelatedFilmsSchema, allow_none=True)
    recommendations = Nested(RelatedFilmsSchema, allow_none=True)

    def after_read(self, record: Json) -> Json:
        """Keep the first of the related films. None of them is the film itself."""
        for block in (record["similar"], record["recommendations"]):
            if block:
                others = (film for film in block["results"] if film["id"] != record["id"])
                block["results"] = suitable(others)[:SHOWN_FILMS]
        return record
