"""What TMDB's answers look like, as this service hands them on.

Field names and meanings are TMDB's (v3). Nullable is what real answers were
seen to leave out or to send as null, "" or a wrong type.
"""

from __future__ import annotations

from bff.shapes import (
    Date,
    Flag,
    Integer,
    Many,
    Moment,
    Number,
    Record,
    Shape,
    Table,
    Tagged,
    Text,
    page_of,
)

Fields = dict[str, Shape]

_poster = Text(
    "Path of the poster; prefix it with `images.base_url` and a size of `/api/configuration`. "
    "Null: there is none.",
    example="/pB8BM7pdSp6B6Ih7QZ4DrQ3PmJK.jpg",
)
_backdrop = Text(
    "Path of a wide picture; prefix as for `poster_path`. Null: there is none.",
    example="/hZkgoQYus5vegHoetLkCJzb17zJ.jpg",
)
_profile = Text("Path of a portrait; prefix as for `poster_path`. Null: there is none.")
_logo = Text("Path of a logo; prefix as for `poster_path`. Null: there is none.")
_language_iso = Text("Language as ISO 639-1. Null: no language.", example="en")
_country_iso = Text("Country as ISO 3166-1. Null: unknown.", example="US")
_name = Text("Name.", default="")
_english_name = Text("Name in English.", default="", example="English")


def identity(what: str, example: int = 550) -> Integer:
    """Return the shape of TMDB's number of a `what`."""
    return Integer(f"TMDB's number of the {what}.", required=True, least=1, example=example)


BASE: Fields = {
    "id": identity("film"),
    "title": Text("Title in the language asked for.", default="", example="Fight Club"),
    "original_title": Text("Title in the original language.", default="", example="Fight Club"),
    "original_language": Text("Original language as ISO 639-1.", default="", example="en"),
    "overview": Text("What it is about; empty where there is no translation.", default=""),
    "release_date": Date("Day of the first release. Null: unknown.", example="1999-10-15"),
    "poster_path": _poster,
    "backdrop_path": _backdrop,
}
VOTES: Fields = {
    "vote_average": Number("Mean of the votes, 0 to 10; 0 without votes.", 0.0, example=8.438),
    "vote_count": Integer("Votes.", default=0, least=0, example=27280),
    "popularity": Number("TMDB's measure of attention, from 0; no upper end.", 0.0, example=61.4),
    "adult": Flag("Whether it is pornography.", default=False, example=False),
    "video": Flag("Whether it is no film but a video, such as a concert.", False, example=False),
}
FILM = Record(
    "Film",
    {
        **BASE,
        "genre_ids": Many(Integer("Genre.", required=True, example=18), "Numbers of the genres."),
        **VOTES,
    },
    "A film as it stands in a list.",
)
GENRE = Record(
    "Genre",
    {"id": identity("genre", 18), "name": Text("Name.", required=True, example="Drama")},
    "A genre.",
)
FILMS = page_of("FilmPage", FILM).but(doc="A page of films.")
DATED_FILMS = page_of(
    "DatedFilmPage",
    FILM,
    dates=Record(
        "ReleaseWindow",
        {"minimum": Date("First day. Null: open."), "maximum": Date("Last day. Null: open.")},
        "The window of release dates that the list covers. Null: TMDB did not say.",
        nullable=True,
    ),
).but(doc="A page of films, and the days that it covers.")
COMPANY = Record(
    "Company",
    {
        "id": identity("company", 508),
        "name": _name,
        "logo_path": _logo,
        "origin_country": Text("Country as ISO 3166-1; empty where unknown.", default=""),
    },
    "A company.",
)
DETAILS: Fields = {
    **BASE,
    **VOTES,
    "genres": Many(GENRE, "Genres."),
    "runtime": Integer("Minutes. Null or 0: unknown.", least=0, example=139),
    "status": Text("Such as `Released` or `In Production`. Null: unknown.", example="Released"),
    "tagline": Text("Slogan; empty where there is none.", default=""),
    "homepage": Text("Address of the film's own site; null or empty: there is none."),
    "imdb_id": Text("IMDb's id. Null: unknown.", example="tt0137523"),
    "budget": Integer("US dollars; 0: unknown.", default=0, least=0, example=63000000),
    "revenue": Integer("US dollars; 0: unknown.", default=0, least=0, example=100853753),
    "origin_country": Many(Text("Country.", required=True), "Countries as ISO 3166-1."),
    "belongs_to_collection": Record(
        "CollectionReference",
        {
            "id": identity("collection", 263),
            "name": _name,
            "poster_path": _poster,
            "backdrop_path": _backdrop,
        },
        "The series it belongs to. Null: none.",
        nullable=True,
    ),
    "production_companies": Many(COMPANY, "Companies that made it."),
    "production_countries": Many(
        Record("ProductionCountry", {"iso_3166_1": _country_iso, "name": _name}, "A country."),
        "Countries that it was made in.",
    ),
    "spoken_languages": Many(
        Record(
            "SpokenLanguage",
            {"iso_639_1": _language_iso, "name": _name, "english_name": _english_name},
            "A language.",
        ),
        "Languages that are spoken in it.",
    ),
}
MOVIE = Record("MovieDetails", DETAILS, "A film with everything TMDB keeps about it.")

PERSON_BASE: Fields = {
    "id": identity("person", 819),
    "name": Text("Name.", default="", example="Edward Norton"),
    "original_name": Text("Name in the original script.", default=""),
    "gender": Integer("0 not set, 1 female, 2 male, 3 non-binary.", default=0, least=0),
    "known_for_department": Text("Such as `Acting`. Null: unknown.", example="Acting"),
    "popularity": Number("TMDB's measure of attention.", default=0.0),
    "profile_path": _profile,
    "adult": Flag("Whether known for pornography.", default=False),
}
_credit_id = Text("TMDB's number of the credit. Null: unknown.")
_character = Text("Who is played; empty where unknown.", default="", example="Narrator")
_order = Integer("Place in the cast list, from 0. Null: unknown.", least=0, example=0)
_job = Text("Job; empty where unknown.", default="", example="Director")
_department = Text("Department; empty where unknown.", default="", example="Directing")
CAST = Record(
    "CastMember",
    {**PERSON_BASE, "character": _character, "order": _order, "credit_id": _credit_id},
    "A person in the cast.",
)
CREW = Record(
    "CrewMember",
    {**PERSON_BASE, "job": _job, "department": _department, "credit_id": _credit_id},
    "A person in the crew.",
)
CREDITS = Record(
    "Credits",
    {
        "id": identity("film"),
        "cast": Many(CAST, "Cast, in TMDB's order.", required=True),
        "crew": Many(CREW, "Crew, in TMDB's order.", required=True),
    },
    "Who made a film.",
)
REVIEW = Record(
    "Review",
    {
        "id": Text("TMDB's id of the review.", required=True),
        "author": Text("Name of the author.", default=""),
        "author_details": Record(
            "ReviewAuthor",
            {
                "name": Text("Name; may be empty.", default=""),
                "username": Text("User name at TMDB.", default=""),
                "avatar_path": Text("Path of the picture. Null: none."),
                "rating": Number("Stars given, 0.5 to 10. Null: none."),
            },
            "The author. Null: unknown.",
            nullable=True,
        ),
        "content": Text("The review, in Markdown.", default=""),
        "created_at": Moment("When it was written. Null: unknown."),
        "updated_at": Moment("When it was last changed. Null: unknown."),
        "url": Text("Address of the review at TMDB. Null: unknown."),
    },
    "A review.",
)
REVIEWS = page_of("ReviewPage", REVIEW, id=identity("film")).but(doc="A page of reviews.")
VIDEOS = Record(
    "Videos",
    {
        "id": identity("film"),
        "results": Many(
            Record(
                "Video",
                {
                    "id": Text("TMDB's id of the video.", required=True),
                    "key": Text("The video's id at `site`.", default=""),
                    "site": Text("Such as `YouTube`.", default=""),
                    "name": _name,
                    "type": Text("Such as `Trailer`.", default=""),
                    "official": Flag("Whether the makers published it. Null: unknown."),
                    "size": Integer("Lines, such as 1080. Null: unknown.", least=0),
                    "iso_639_1": _language_iso,
                    "iso_3166_1": _country_iso,
                    "published_at": Moment("When it was published. Null: unknown."),
                },
                "A video at another site.",
            ),
            "Trailers, clips and the like.",
            required=True,
        ),
    },
    "Videos of a film.",
)
IMAGE = Record(
    "Image",
    {
        "file_path": Text("Path of the picture.", required=True),
        "width": Integer("Pixels. Null: unknown.", least=0),
        "height": Integer("Pixels. Null: unknown.", least=0),
        "aspect_ratio": Number("Width by height. Null: unknown."),
        "iso_639_1": _language_iso,
        "vote_average": Number("Mean of the votes, 0 to 10.", default=0.0),
        "vote_count": Integer("Votes.", default=0, least=0),
    },
    "A picture.",
)
IMAGES = Record(
    "Images",
    {
        "id": identity("film"),
        "backdrops": Many(IMAGE, "Wide pictures.", required=True),
        "posters": Many(IMAGE, "Posters.", required=True),
        "logos": Many(IMAGE, "Logos of the title."),
    },
    "Pictures of a film.",
)
_OFFERS = {
    "flatrate": "Part of a subscription.",
    "rent": "To rent.",
    "buy": "To buy.",
    "ads": "Free, with advertisements.",
    "free": "Free.",
}
_PROVIDER = Record(
    "WatchProvider",
    {
        "provider_id": identity("provider", 8),
        "provider_name": _name,
        "logo_path": _logo,
        "display_priority": Integer("Order of display, low first. Null: unknown."),
    },
    "Somebody who shows films.",
)
WATCH_PROVIDERS = Record(
    "WatchProviders",
    {
        "id": identity("film"),
        "results": Table(
            Record(
                "CountryOffers",
                {
                    "link": Text("TMDB's page with the offers. Null: unknown."),
                    **{
                        kind: Many(_PROVIDER, f"{how} Data by JustWatch.")
                        for kind, how in _OFFERS.items()
                    },
                },
                "Where a film can be watched in one country.",
            ),
            "Offers by country (ISO 3166-1). Data by JustWatch.",
            required=True,
        ),
    },
    "Where a film can be watched. The data come from JustWatch, which must be credited.",
)
GENRES = Record("Genres", {"genres": Many(GENRE, "Every genre.", required=True)}, "The genres.")

_series: Fields = {
    "id": identity("series", 1396),
    "name": _name,
    "original_name": Text("Name in the original language.", default=""),
    "original_language": Text("Original language as ISO 639-1.", default=""),
    "overview": Text("What it is about.", default=""),
    "first_air_date": Date("First broadcast. Null: unknown."),
    "poster_path": _poster,
    "backdrop_path": _backdrop,
    "genre_ids": FILM.fields["genre_ids"],
    "origin_country": Many(Text("Country.", required=True), "Countries as ISO 3166-1."),
    "vote_average": VOTES["vote_average"],
    "vote_count": VOTES["vote_count"],
    "popularity": VOTES["popularity"],
    "adult": VOTES["adult"],
}


def _hit(name: str, kind: str, fields: Fields, doc: str) -> Record:
    tag = Text("What the entry is.", required=True, choices=(kind,), example=kind)
    return Record(name, {**fields, "media_type": tag}, doc)


MULTI = page_of(
    "MultiPage",
    Tagged(
        "MultiResult",
        "media_type",
        {
            "movie": _hit("MovieResult", "movie", dict(FILM.fields), "A film."),
            "tv": _hit("SeriesResult", "tv", _series, "A series."),
            "person": _hit("PersonResult", "person", PERSON_BASE, "A person."),
        },
        "A film, a series or a person.",
    ),
).but(doc="A page of films, series and people.")
PERSON = Record(
    "Person",
    {
        **PERSON_BASE,
        "biography": Text("Life; empty where there is no translation.", default=""),
        "birthday": Date("Day of birth. Null: unknown."),
        "deathday": Date("Day of death. Null: alive or unknown."),
        "place_of_birth": Text("Place of birth. Null: unknown."),
        "also_known_as": Many(Text("Name.", required=True), "Other names."),
        "imdb_id": Text("IMDb's id. Null: unknown."),
        "homepage": Text("Address of the own site. Null: none."),
    },
    "A person with everything TMDB keeps about them.",
)
PERSON_CREDITS = Record(
    "PersonCredits",
    {
        "id": identity("person", 819),
        "cast": Many(
            Record(
                "PersonCastCredit",
                {
                    **FILM.fields,
                    "character": _character,
                    "order": _order,
                    "credit_id": _credit_id,
                },
                "A film that the person plays in.",
            ),
            "Films that the person plays in.",
            required=True,
        ),
        "crew": Many(
            Record(
                "PersonCrewCredit",
                {
                    **FILM.fields,
                    "job": _job,
                    "department": _department,
                    "credit_id": _credit_id,
                },
                "A film that the person worked on.",
            ),
            "Films that the person worked on.",
            required=True,
        ),
    },
    "Films of a person.",
)
_sizes = Many(Text("Size.", required=True, example="w342"), "Sizes, as part of an address.")
CONFIGURATION = Record(
    "TmdbConfiguration",
    {
        "images": Record(
            "TmdbImages",
            {
                "secure_base_url": Text("Address before the size.", required=True),
                "poster_sizes": _sizes,
                "backdrop_sizes": _sizes,
                "profile_sizes": _sizes,
            },
        ),
    },
)
# The blocks of one details call that the enriched page needs, cut to what it shows: a block
# that is missing or broken is null, so that the page can say that it does not know.
SHOWN_PEOPLE = 10
SHOWN_FILMS = 6
_shown_films = Record(
    "ShownFilms",
    {"results": Many(FILM, "Films.", required=True, most=SHOWN_FILMS)},
    nullable=True,
)
ENRICHED = Record(
    "EnrichedSource",
    {
        **DETAILS,
        "credits": Record(
            "ShownCredits",
            {
                "cast": Many(CAST, "First of the cast.", most=SHOWN_PEOPLE),
                "crew": Many(CREW, "First of the crew.", most=SHOWN_PEOPLE),
            },
            nullable=True,
        ),
        "reviews": Record(
            "ReviewCount",
            {"total_results": Integer("Reviews. Null: unknown.", least=0)},
            nullable=True,
        ),
        "similar": _shown_films,
        "recommendations": _shown_films,
    },
)
