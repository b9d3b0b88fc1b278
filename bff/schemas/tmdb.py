"""TMDB's answers (v3), as this service passes them on.

Names and meanings are TMDB's. A field may be null where real answers were seen to omit it, or to
hold null, "" or a wrong type.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from marshmallow.fields import Dict, Nested, String
from marshmallow.validate import Length, Range

from bff.schemas import fields as f
from bff.schemas.base import AnswerSchema, Json, Malformed, UnionSchema

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
    return f.integer(f"TMDB's number of the {what}.", example, validate=Range(min=1))


def picture(what: str, *examples: str) -> Any:
    """Return the field of the path of a picture."""
    told = f"Path of the {what}, after `images.base_url` and a size of `/api/configuration`."
    return f.maybe_text(f"{told} Null: there is none.", *examples)


page_number = partial(f.integer, "Page, 1 to 500.", 1, validate=Range(1, MOST_PAGES))
page_count = partial(f.integer, "Number of pages, at most 500.", 500, validate=Range(0, MOST_PAGES))
poster = partial(picture, "poster", "/pB8BM7pdSp6B6Ih7QZ4DrQ3PmJK.jpg")
language = partial(f.maybe_text, "Language as ISO 639-1. Null: none.", "en")
country = partial(f.maybe_text, "Country as ISO 3166-1. Null: unknown.", "US")
countries = partial(f.some, f.string("Country.", "US"), "Countries of origin as ISO 3166-1.")
genre_ids = partial(f.some, f.integer("Genre.", 18), "TMDB's numbers of the genres.")


def distinct(entries: Iterable[Json]) -> list[Json]:
    """Return the entries without those that repeat an earlier one."""
    first: dict[Any, Json] = {}
    for entry in entries:
        first.setdefault((entry.get("media_type"), entry["id"]), entry)
    return list(first.values())


def suitable(films: Iterable[Json]) -> list[Json]:
    """Return the films for a list in which nobody asked for adult films, each of them once."""
    return distinct(film for film in films if not film["adult"])


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
    total_results = f.count("Number of entries on all pages.", 10000)


class VotesSchema(AnswerSchema):
    """How something is received."""

    vote_average = f.amount("Average vote, 0 to 10; 0 without votes.", 8.438)
    vote_count = f.count("Number of votes.", 27280)
    popularity = f.amount("TMDB's measure of attention, from 0 without an upper end.", 61.4)
    adult = f.flag("Whether it is for adults only.")


class SummarySchema(AnswerSchema):
    """What a film is called, and when it came out."""

    id = tmdb_id("film")
    title = f.text("Title in the language asked for.", "Fight Club")
    original_title = f.text("Title in the original language.", "Fight Club")
    original_language = f.text("Original language as ISO 639-1.", "en")
    overview = f.text("What it is about; empty where it is not translated.")
    release_date = f.maybe_day("Day of the first release. Null: unknown.", "1999-10-15")
    poster_path = poster()
    backdrop_path = picture("backdrop", "/hZkgoQYus5vegHoetLkCJzb17zJ.jpg")
    video = f.flag("Whether it is a video, such as a concert, rather than a film.")


# marshmallow takes the fields of the last base first.
class FilmSchema(VotesSchema, SummarySchema):
    """A film in a list."""

    genre_ids = genre_ids()


class FilmPageSchema(PageSchema):
    """A page of films, without adult films."""

    results = f.many(FilmSchema, "At most 20 films.", then=suitable)


class FilmSearchPageSchema(PageSchema):
    """A page of films that match; adult films only where `include_adult` asked for them."""

    results = f.many(FilmSchema, "At most 20 films.", then=distinct)


class ReleaseWindowSchema(AnswerSchema):
    """The window of release dates that a list covers."""

    minimum = f.maybe_day("First day. Null: open.")
    maximum = f.maybe_day("Last day. Null: open.")


class DatedFilmPageSchema(FilmPageSchema):
    """A page of films and the release dates that it covers, without adult films."""

    dates = f.maybe(ReleaseWindowSchema, "The release dates that it covers. Null: unknown.")


class GenreSchema(AnswerSchema):
    """A genre."""

    id = tmdb_id("genre", 18)
    name = f.text("Name; in English where it is not translated.", "Drama")

    def after_read(self, record: Json) -> Json:
        """Fall back on the English name."""
        record["name"] = record["name"] or ENGLISH_GENRES.get(record["id"])
        if record["name"] is None:
            raise Malformed("name")
        return record


class GenresSchema(AnswerSchema):
    """All genres of films."""

    genres = f.many(GenreSchema, "All genres.")


class CompanySchema(AnswerSchema):
    """A company that made a film."""

    id = tmdb_id("company", 508)
    name = f.text("Name.")
    logo_path = picture("logo")
    origin_country = f.text("Country as ISO 3166-1; empty where unknown.")


class ProductionCountrySchema(AnswerSchema):
    """A country in which a film was made."""

    iso_3166_1 = country()
    name = f.text("Name.")


class SpokenLanguageSchema(AnswerSchema):
    """A language that is spoken in a film."""

    iso_639_1 = language()
    name = f.text("Name.")
    english_name = f.text("Name in English.", "English")


class CollectionReferenceSchema(AnswerSchema):
    """A series of films."""

    id = tmdb_id("collection", 263)
    name = f.text("Name.")
    poster_path = poster()
    backdrop_path = picture("backdrop")


class MovieDetailsSchema(VotesSchema, SummarySchema):
    """A film with everything that TMDB knows about it."""

    genres = f.some(GenreSchema, "Genres.")
    runtime = f.maybe_count("Minutes. Null or 0: unknown.", 139)
    status = f.maybe_text("Such as `Released` or `In Production`. Null: unknown.", "Released")
    tagline = f.text("Slogan; empty where there is none.")
    homepage = f.maybe_text("Address of the film's own site. Null: there is none.")
    imdb_id = f.maybe_text("IMDb's id. Null: unknown.", "tt0137523")
    budget = f.count("US dollars; 0: unknown.", 63000000)
    revenue = f.count("US dollars; 0: unknown.", 100853753)
    origin_country = countries()
    belongs_to_collection = f.maybe(CollectionReferenceSchema, "Its series of films. Null: none.")
    production_companies = f.some(CompanySchema, "Companies that made it.")
    production_countries = f.some(ProductionCountrySchema, "Countries in which it was made.")
    spoken_languages = f.some(SpokenLanguageSchema, "Languages that are spoken in it.")


class PersonSummarySchema(AnswerSchema):
    """What a person has in a list and on their own."""

    id = tmdb_id("person", 819)
    name = f.text("Name.", "Edward Norton")
    original_name = f.text("Name in the original script.")
    gender = f.count("0 not set, 1 female, 2 male, 3 non-binary.", 2)
    known_for_department = f.maybe_text("Such as `Acting`. Null: unknown.", "Acting")
    popularity = f.amount("TMDB's measure of attention.", 8.1)
    profile_path = picture("portrait")
    adult = f.flag("Whether they are known for adult films.")


class RoleSchema(AnswerSchema):
    """A credit for a role."""

    character = f.text("Who is played; empty where unknown.", "Narrator")
    order = f.maybe_count("Position in the cast, from 0. Null: unknown.", 0)
    credit_id = f.maybe_text("TMDB's id of the credit. Null: unknown.")


class JobSchema(AnswerSchema):
    """A credit for a job."""

    job = f.text("Job; empty where unknown.", "Director")
    department = f.text("Department; empty where unknown.", "Directing")
    credit_id = f.maybe_text("TMDB's id of the credit. Null: unknown.")


class CastMemberSchema(RoleSchema, PersonSummarySchema):
    """A member of the cast."""


class CrewMemberSchema(JobSchema, PersonSummarySchema):
    """A member of the crew."""


class CreditsSchema(AnswerSchema):
    """Cast and crew of a film."""

    id = tmdb_id("film")
    cast = f.many(CastMemberSchema, "Cast, by `order`.", then=billed)
    crew = f.many(CrewMemberSchema, "Crew, in TMDB's order.")


class ReviewAuthorSchema(AnswerSchema):
    """The author of a review."""

    name = f.text("Name; may be empty.")
    username = f.text("User name at TMDB.")
    avatar_path = picture("avatar")
    rating = f.maybe_amount("Stars given, 0.5 to 10. Null: none.", 9.0)


class ReviewSchema(AnswerSchema):
    """A review."""

    id = f.string("TMDB's id of the review.")
    author = f.text("Name of the author.")
    author_details = f.maybe(ReviewAuthorSchema, "The author. Null: unknown.")
    content = f.text("The review, in Markdown.")
    created_at = f.maybe_moment("When it was written. Null: unknown.")
    updated_at = f.maybe_moment("When it was last changed. Null: unknown.")
    url = f.maybe_text("Address of the review at TMDB. Null: unknown.")


class ReviewPageSchema(PageSchema):
    """A page of reviews."""

    id = tmdb_id("film")
    results = f.many(ReviewSchema, "At most 20 reviews.")


class VideoSchema(AnswerSchema):
    """A video on another site."""

    id = f.string("TMDB's id of the video.")
    key = f.text("Id of the video at `site`.")
    site = f.text("Such as `YouTube`.", "YouTube")
    name = f.text("Name.")
    type = f.text("Such as `Trailer`.", "Trailer")
    official = f.maybe_flag("Whether it was published by those who made the film. Null: unknown.")
    size = f.maybe_count("Lines, such as 1080. Null: unknown.", 1080)
    iso_639_1 = language()
    iso_3166_1 = country()
    published_at = f.maybe_moment("When it was published. Null: unknown.")


class VideosSchema(AnswerSchema):
    """Videos of a film."""

    id = tmdb_id("film")
    results = f.many(VideoSchema, "Trailers, clips and the like.")


class ImageSchema(AnswerSchema):
    """A picture."""

    file_path = f.string("Path of the picture, to be prefixed as `poster_path` is.")
    width = f.maybe_count("Pixels. Null: unknown.", 1280)
    height = f.maybe_count("Pixels. Null: unknown.", 720)
    aspect_ratio = f.maybe_amount("Width divided by height. Null: unknown.", 1.778)
    iso_639_1 = language()
    vote_average = f.amount("Average vote, 0 to 10; 0 without votes.", 5.3)
    vote_count = f.count("Number of votes.", 4)


class ImagesSchema(AnswerSchema):
    """Pictures of a film."""

    id = tmdb_id("film")
    backdrops = f.many(ImageSchema, "Wide pictures.")
    posters = f.many(ImageSchema, "Posters.")
    logos = f.some(ImageSchema, "Logos of the title.")


class WatchProviderSchema(AnswerSchema):
    """A service that shows films."""

    provider_id = tmdb_id("provider", 8)
    provider_name = f.text("Name.", "Netflix")
    logo_path = picture("logo")
    display_priority = f.integer("Lowest first. Null: unknown.", 0, allow_none=True)


class CountryOffersSchema(AnswerSchema):
    """Where a film can be watched in one country. Data by JustWatch."""

    link = f.maybe_text("TMDB's page with the offers. Null: unknown.")
    flatrate = f.some(WatchProviderSchema, "Part of a subscription.")
    rent = f.some(WatchProviderSchema, "For rent.")
    buy = f.some(WatchProviderSchema, "For sale.")
    ads = f.some(WatchProviderSchema, "Free with advertisements.")
    free = f.some(WatchProviderSchema, "Free.")


class WatchProvidersSchema(AnswerSchema):
    """Where a film can be watched. The data come from JustWatch, which must be credited."""

    id = tmdb_id("film")
    results = f.field(
        partial(Dict, keys=String(), values=Nested(CountryOffersSchema)),
        "Offers by country (ISO 3166-1). Data by JustWatch.",
    )


class MovieResultSchema(FilmSchema):
    """A film."""

    media_type = f.one_of(["movie"], "What the entry is.")


class SeriesResultSchema(VotesSchema):
    """A series."""

    id = tmdb_id("series", 1396)
    name = f.text("Name.")
    original_name = f.text("Name in the original language.")
    original_language = f.text("Original language as ISO 639-1.")
    overview = f.text("What it is about; empty where it is not translated.")
    first_air_date = f.maybe_day("Day of the first broadcast. Null: unknown.")
    poster_path = poster()
    backdrop_path = picture("backdrop")
    genre_ids = genre_ids()
    origin_country = countries()
    media_type = f.one_of(["tv"], "What the entry is.")


class PersonResultSchema(PersonSummarySchema):
    """A person."""

    media_type = f.one_of(["person"], "What the entry is.")


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

    results = f.many(MultiResultSchema, "At most 20 entries.", then=distinct)


class PersonSchema(PersonSummarySchema):
    """A person with everything that TMDB knows about them."""

    biography = f.text("Life; empty where it is not translated.")
    birthday = f.maybe_day("Day of birth. Null: unknown.", "1969-08-18")
    deathday = f.maybe_day("Day of death. Null: alive or unknown.")
    place_of_birth = f.maybe_text("Place of birth. Null: unknown.")
    also_known_as = f.many(f.string("Name."), "Other names.", dump_default=list)
    imdb_id = f.maybe_text("IMDb's id. Null: unknown.", "nm0001570")
    homepage = f.maybe_text("Address of their own site. Null: there is none.")


class PersonCastCreditSchema(RoleSchema, FilmSchema):
    """A film in which a person plays."""


class PersonCrewCreditSchema(JobSchema, FilmSchema):
    """A film on which a person worked."""


class PersonCreditsSchema(AnswerSchema):
    """The films of a person."""

    id = tmdb_id("person", 819)
    cast = f.many(PersonCastCreditSchema, "Films in which the person plays.")
    crew = f.many(PersonCrewCreditSchema, "Films on which the person worked.")


sizes = partial(f.many, String(), "Sizes, as they stand in an address.")


class TmdbImagesSchema(AnswerSchema):
    """Where TMDB's pictures are."""

    secure_base_url = f.string("Address before the size.")
    poster_sizes = sizes()
    backdrop_sizes = sizes()
    profile_sizes = sizes()


class TmdbConfigurationSchema(AnswerSchema):
    """TMDB's configuration; only what concerns pictures."""

    images = Nested(TmdbImagesSchema)


# One call for a film page. A block that is missing or broken is null, so that the page can say
# that it does not know.


class ShownCreditsSchema(AnswerSchema):
    """The people that a film page shows: TMDB lists hundreds, in no order."""

    cast = f.some(CastMemberSchema, "Cast.", then=billed, validate=Length(max=SHOWN_PEOPLE))
    crew = f.some(CrewMemberSchema, "Crew.", then=credited, validate=Length(max=SHOWN_PEOPLE))


class ReviewCountSchema(AnswerSchema):
    """How many reviews a film has."""

    total_results = f.maybe_count("Number of reviews. Null: unknown.")


class RelatedFilmsSchema(AnswerSchema):
    """Films that are related to another one."""

    results = f.many(FilmSchema, "Films.", then=suitable)


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
                block["results"] = list(others)[:SHOWN_FILMS]
        return record
