"""What this service's own answers look like; TMDB's are in `bff.tmdb_shapes`."""

from __future__ import annotations

from dataclasses import replace

from bff import library_shapes as library
from bff import tmdb_shapes as tmdb
from bff.model import Reason
from bff.shapes import (
    Flag,
    Integer,
    Many,
    Moment,
    Number,
    Pages,
    Record,
    Shape,
    Text,
)

Fields = dict[str, Shape]
_REASONS = tuple(reason.value for reason in Reason)

SECTION = Record(
    "Section",
    {
        "status": Text(
            "`ok`; `stale`: an old answer stands in; `unavailable`: unknown, shown as null.",
            required=True,
            choices=("ok", "stale", "unavailable"),
            example="ok",
        ),
        "reason": Text(
            "Why it is not, or not quite, what it should be. Null: nothing is wrong.",
            choices=_REASONS,
        ),
        "age": Integer("Seconds since the upstream said it; stale only.", least=0),
        "retry_after": Integer("Seconds after which asking again may help.", least=0),
    },
    "How a part of a page came about.",
)


def _sections(page: str, *names: str) -> Record:
    return Record(f"{page}Sections", dict.fromkeys(names, SECTION), "The parts of the page.")


_MARKS: Fields = {
    "is_favorite": Flag("Whether it is among the user's favourites. Null: unknown."),
    "is_in_watchlist": Flag("Whether it is on the user's watchlist. Null: unknown."),
    "user_rating": Integer("The user's stars, 1 to 5. Null: none or unknown.", least=1),
}
MARKED_FILM = Record(
    "MarkedFilm", {**tmdb.FILM.fields, **_MARKS}, "A film with the marks of the user."
)
_PAGE = Integer("Page, from 1 to 500.", default=1, least=1, example=1)
_PAGES = Pages("Pages there are, at most 500.", default=1, example=500)
_RESULTS = Integer("Entries on all pages.", default=0, least=0, example=10000)
_COUNT = Integer("How many there are. Null: unknown.", least=0, example=3)

FEED = Record(
    "Feed",
    {
        "movies": Many(MARKED_FILM, "Popular films."),
        "total_pages": _PAGES,
        "current_page": _PAGE,
        "total_results": _RESULTS,
        "favorites_count": _COUNT,
        "watchlist_count": _COUNT,
        "sections": _sections("Feed", "movies", "favorites", "watchlist"),
    },
    "Popular films with the user's marks.",
)
SEARCH = Record(
    "EnrichedSearch",
    {
        "results": Many(MARKED_FILM, "Films that match."),
        "query": Text("What was looked for.", required=True, example="fight club"),
        "page": _PAGE,
        "total_pages": _PAGES,
        "total_results": _RESULTS,
        "sections": _sections("EnrichedSearch", "results", "favorites", "watchlist"),
    },
    "Films that match, with the user's marks.",
)
ENRICHED = Record(
    "EnrichedMovie",
    {
        **tmdb.DETAILS,
        "user_data": Record(
            "UserData",
            {
                **_MARKS,
                "watched_date": Moment("When it was watched to the end. Null: not, or unknown."),
                "progress": Number("Share that was watched, 0 to 1. Null: none or unknown."),
                "added_to_favorites_date": Moment(
                    "When it became a favourite. Null: it is none, or unknown."
                ),
                "added_to_watchlist_date": Moment(
                    "When it came on the watchlist. Null: it is not there, or unknown."
                ),
            },
            "What the user has done with the film.",
        ),
        "cast": Many(tmdb.CAST, "First ten of the cast. Null: unknown.", nullable=True, most=10),
        "crew": Many(tmdb.CREW, "First ten of the crew. Null: unknown.", nullable=True, most=10),
        "reviews_count": Integer("Number of reviews. Null: unknown.", least=0),
        "similar_movies": Many(
            MARKED_FILM, "Films of the same kind. Null: unknown.", nullable=True, most=6
        ),
        "recommended_movies": Many(
            MARKED_FILM, "What TMDB recommends. Null: unknown.", nullable=True, most=6
        ),
        "sections": _sections("EnrichedMovie", "movie", "favorites", "watchlist", "history"),
    },
    "A film with people, related films and the user's data.",
)
_BECAUSE = Record(
    "Because",
    {
        "kind": Text(
            "`favorite`: a favourite led to it; `trending`: the user has none, and it trends.",
            required=True,
            choices=("favorite", "trending"),
        ),
        "id": Integer("TMDB's number of the favourite. Null: trending.", least=1, example=550),
        "title": Text("Title of the favourite. Null: trending.", example="Fight Club"),
    },
    "The film that led to a recommendation.",
)
COMPLETE = Record(
    "CompleteDashboard",
    {
        "popular_movies": Many(
            MARKED_FILM, "Popular films. Null: unavailable.", nullable=True, most=12
        ),
        "trending_movies": Many(
            MARKED_FILM, "Films that trend this week. Null: unavailable.", nullable=True, most=12
        ),
        "recommended_for_you": Many(
            Record(
                "RecommendedFilm",
                {**MARKED_FILM.fields, "because": _BECAUSE},
                "A film that the user may like, with the reason.",
            ),
            "Films that the user may like and does not have. Null: unavailable.",
            nullable=True,
            most=12,
        ),
        "continue_watching": Many(
            Record(
                "BegunFilm",
                {
                    "id": tmdb.identity("film"),
                    "title": Text("Title. Null: unknown.", example="Fight Club"),
                    "poster_path": tmdb.BASE["poster_path"],
                    "release_date": tmdb.BASE["release_date"],
                    "genre_ids": tmdb.FILM.fields["genre_ids"],
                    "progress": Number("Share that was watched, 0 to 1.", 0.0, example=0.4),
                    "updated_date": Moment("When the progress was last set. Null: unknown."),
                    **_MARKS,
                },
                "A film that the user has begun and not finished.",
            ),
            "Films that were begun and not finished, latest first. Null: unavailable.",
            nullable=True,
            most=12,
        ),
        "stats": Record(
            "Stats",
            {
                "total_favorites": _COUNT,
                "total_watchlist": _COUNT,
                "movies_watched": _COUNT,
                "avg_rating": Number("Mean of the user's stars. Null: none or unknown."),
                "favorite_genres": Many(
                    Record(
                        "GenreCount",
                        {
                            **tmdb.GENRE.fields,
                            "count": Integer("Favourites of it.", required=True, least=1),
                        },
                        "A genre, and how many favourites are of it.",
                    ),
                    "Genres of the favourites, most frequent first. Null: unknown.",
                    nullable=True,
                    most=5,
                ),
            },
            "The user's numbers.",
        ),
        "page": replace(_PAGE, default=None, doc="Page of the popular films. Null: unavailable."),
        "total_pages": replace(_PAGES, default=None, doc="Pages there are. Null: unavailable."),
        "sections": _sections(
            "CompleteDashboard",
            *("popular", "trending", "recommended", "favorites", "watchlist", "history"),
        ),
    },
    "Everything that the first screen shows.",
)
_MESSAGE = Text("What was done, in words.", required=True, example="added to favorites")
MESSAGES = {
    key: Record(f"{item.name}Written", {"message": _MESSAGE, key: item}, "What was written.")
    for key, item in (
        ("favorite", library.FAVORITE),
        ("watchlist_item", library.WATCHLIST_ITEM),
        ("history_item", library.HISTORY_ITEM),
    )
}
REMOVED = {
    item.name: Record(
        f"{item.name}Removed",
        {"message": _MESSAGE, "removed": item},
        "What was removed.",
    )
    for item in (library.FAVORITE, library.WATCHLIST_ITEM, library.HISTORY_ITEM)
}
CONFIGURATION = Record(
    "Configuration",
    {
        "images": Record(
            "ImageConfiguration",
            {
                "base_url": Text(
                    "Address before the size: `<base_url><size><path>`.",
                    required=True,
                    example="https://image.tmdb.org/t/p/",
                ),
                "poster_sizes": Many(
                    Text("Size.", required=True, example="w342"), "Sizes of posters."
                ),
                "backdrop_sizes": Many(
                    Text("Size.", required=True, example="w780"), "Sizes of wide pictures."
                ),
                "profile_sizes": Many(
                    Text("Size.", required=True, example="w185"), "Sizes of portraits."
                ),
            },
            "Where pictures are.",
        ),
        "tmdb": Text(
            "Whether films come from TMDB or from the stub.",
            required=True,
            choices=("live", "stub"),
        ),
        "attribution": Text("What a page that shows these data must say.", required=True),
    },
    "What a frontend needs to know once.",
)
HEALTH = Record(
    "Health",
    {
        "status": Text("Always `healthy`.", required=True, choices=("healthy",)),
        "service": Text("Name of the service.", required=True, choices=("movie-dashboard-bff",)),
        "version": Text("Version of the service.", required=True, example="0.1.0"),
    },
    "That the process answers.",
)
_STATUS = {
    "type": "string",
    "enum": ["pass", "warn", "fail"],
    "description": "`warn`: it works, but not as well as it could.",
}
_CHECK = {
    "type": "object",
    "required": ["componentType", "observedValue", "status"],
    "properties": {
        "componentId": {"type": "string", "description": "Whose it is, where there are several."},
        "componentType": {
            "type": "string",
            "enum": ["component", "datastore", "system"],
            "description": "What kind of part it is.",
        },
        "observedValue": {
            "type": ["string", "number", "null"],
            "description": "What was found; null: nothing yet.",
        },
        "observedUnit": {"type": "string", "description": "Unit of the value."},
        "status": _STATUS,
        "output": {"type": "string", "description": "What is wrong, in words."},
    },
    "additionalProperties": False,
}
# A JSON Schema and no shape: a value of a check may be a text or a number.
READINESS = {
    "type": "object",
    "description": "Whether the process can do its work (draft-inadarei-api-health-check).",
    "required": ["status", "version", "releaseId", "serviceId", "description", "checks"],
    "properties": {
        "status": _STATUS,
        "version": {"type": "string", "description": "Version of this interface."},
        "releaseId": {"type": "string", "description": "Version of the service."},
        "serviceId": {"type": "string", "description": "Name of the service."},
        "description": {"type": "string", "description": "What the checks are, in words."},
        "checks": {
            "type": "object",
            "description": "By `component:measurement`: `tmdb:circuit` (one for each class of "
            "operations), `tmdb:last_success`, `tmdb:in_flight`, the same of `users`, "
            "`pool:waiting`, `cache:store`, `changes:stream`, and with Redis `redis:ping`.",
            "additionalProperties": {"type": "array", "items": _CHECK},
        },
    },
    "additionalProperties": False,
}
PROBLEM = Record(
    "Problem",
    {
        "type": Text("Kind of problem, an address relative to this service.", required=True),
        "title": Text("The kind in words.", required=True),
        "status": Integer("The HTTP status.", required=True, least=400),
        "detail": Text("What is wrong this time.", required=True),
        "instance": Text("Path of the request.", required=True),
        "request_id": Text("Id of the request, as in X-Request-ID and in the log.", required=True),
    },
    "A problem document (RFC 9457).",
)
# What some kinds of problem add. JSON Schemas and no shapes: not every member is always there.
_WAIT = {
    "type": "integer",
    "minimum": 1,
    "description": "Seconds to wait, as in Retry-After; left out where unknown.",
}
VALIDATION_MEMBERS = {
    "type": "object",
    "description": "A problem document that says what is wrong, by field.",
    "properties": {
        "errors": {
            "type": "object",
            "description": "What is wrong, by field; left out where `detail` says it.",
            "additionalProperties": {"type": "array", "items": {"type": "string"}},
        }
    },
}
WAIT_MEMBERS = {
    "type": "object",
    "description": "A problem document that says how long to wait.",
    "required": ["retry_after"],
    "properties": {"retry_after": {**_WAIT, "description": "Seconds to wait, as in Retry-After."}},
}
UPSTREAM_MEMBERS = {
    "type": "object",
    "description": "A problem document that names the upstream at fault.",
    "required": ["upstream", "reason"],
    "properties": {
        "upstream": {
            "type": "string",
            "enum": ["tmdb", "users"],
            "description": "Which upstream failed.",
        },
        "reason": {"type": "string", "enum": list(_REASONS), "description": "How it failed."},
        "retry_after": _WAIT,
    },
}
