"""What the OpenAPI document says beside the schemas: ids, words, headers and example answers.

Used once, when the document is first asked for; no request passes through here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from marshmallow import Schema

from bff.api.schemas import bodies

Json = dict[str, Any]
EXAMPLES = Path(__file__).with_name("examples.json")
METHODS = ("get", "post", "put", "delete")


@dataclass(frozen=True)
class Operation:
    """The stable id of an operation, a name in clients, and what its summary leaves out."""

    id: str
    description: str = ""


_PARTS = (
    "Each part is told of in `sections`; the header `X-Degraded` lists those that are not `ok`. "
)
_FILLED = (
    "What the body leaves out (title, poster, release date, genres) comes from TMDB; a film that "
    "TMDB does not know is 404. "
)
_SET = (
    "Setting the same twice changes nothing. An entry that is there keeps what the body leaves "
    "out, and TMDB is not asked. A new one is filled in from TMDB; a film that TMDB does not know "
    "is 404. 201: it is new; 200: it was there."
)
OPERATIONS: dict[str, Operation] = {
    "GET /api/dashboard/feed": Operation(
        "getFeed",
        f"{_PARTS}Required: `movies`; where the user service does not answer, the marks are null.",
    ),
    "GET /api/dashboard/movie/{movie_id}/enriched": Operation(
        "getEnrichedMovie", f"{_PARTS}Required: `movie`. It takes one call of TMDB."
    ),
    "GET /api/dashboard/complete": Operation(
        "getCompleteDashboard",
        f"{_PARTS}No part is required: it fails only where every part is unavailable. `page` "
        "turns the pages of the popular films; the rest stays as it is.",
    ),
    "GET /api/dashboard/search/enriched": Operation(
        "searchEnriched",
        f"{_PARTS}Required: `results`; a search that failed is an error, never an empty list.",
    ),
    "GET /api/movies/popular": Operation("listPopularMovies"),
    "GET /api/movies/trending/{window}": Operation("listTrendingMovies"),
    "GET /api/movies/now-playing": Operation("listNowPlayingMovies"),
    "GET /api/movies/upcoming": Operation("listUpcomingMovies"),
    "GET /api/movies/top-rated": Operation("listTopRatedMovies"),
    "GET /api/movies/search": Operation("searchMovies"),
    "GET /api/movies/discover": Operation(
        "discoverMovies", "All filters must hold. Their names and meanings are TMDB's."
    ),
    "GET /api/movies/genres": Operation("listGenres"),
    "GET /api/movies/{movie_id}": Operation("getMovie"),
    "GET /api/movies/{movie_id}/credits": Operation("getMovieCredits"),
    "GET /api/movies/{movie_id}/reviews": Operation("listMovieReviews"),
    "GET /api/movies/{movie_id}/recommendations": Operation("listRecommendedMovies"),
    "GET /api/movies/{movie_id}/similar": Operation("listSimilarMovies"),
    "GET /api/movies/{movie_id}/videos": Operation("listMovieVideos"),
    "GET /api/movies/{movie_id}/images": Operation("listMovieImages"),
    "GET /api/movies/{movie_id}/watch-providers": Operation("listWatchProviders"),
    "GET /api/search/multi": Operation("searchMulti"),
    "GET /api/people/{person_id}": Operation("getPerson"),
    "GET /api/people/{person_id}/credits": Operation("getPersonCredits"),
    "GET /api/users/favorites": Operation("listFavorites"),
    "POST /api/users/favorites": Operation(
        "addFavorite", f"{_FILLED}One that is there already is 409; PUT changes it."
    ),
    "GET /api/users/favorites/{movie_id}": Operation("getFavorite"),
    "PUT /api/users/favorites/{movie_id}": Operation("setFavorite", _SET),
    "DELETE /api/users/favorites/{movie_id}": Operation("removeFavorite"),
    "GET /api/users/watchlist": Operation("listWatchlist"),
    "POST /api/users/watchlist": Operation(
        "addToWatchlist", f"{_FILLED}One that is there already is 409; PUT changes it."
    ),
    "GET /api/users/watchlist/{movie_id}": Operation("getWatchlistItem"),
    "PUT /api/users/watchlist/{movie_id}": Operation("setWatchlistItem", _SET),
    "DELETE /api/users/watchlist/{movie_id}": Operation("removeFromWatchlist"),
    "GET /api/users/history": Operation("listHistory"),
    "GET /api/users/history/{movie_id}": Operation("getHistoryItem"),
    "PUT /api/users/history/{movie_id}": Operation(
        "setProgress",
        "`watched_date` is set when the progress reaches 0.95. Title and the like come from TMDB "
        "with the first progress of a film; the next ones do without TMDB. 201: it is new; 200: "
        "it was there.",
    ),
    "DELETE /api/users/history/{movie_id}": Operation("removeFromHistory"),
    "GET /health": Operation("getHealth"),
    "GET /health/live": Operation("getLiveness", "The same as `/health`."),
    "GET /health/ready": Operation("getReadiness"),
    "GET /metrics": Operation("getMetrics"),
    "GET /api/configuration": Operation("getConfiguration"),
}
_PATH_WORDS: dict[str, Json] = {
    "movie_id": {"description": "TMDB's number of the film; 550 is Fight Club.", "example": 550},
    "person_id": {
        "description": "TMDB's number of the person; 819 is Edward Norton.",
        "example": 819,
    },
    "window": {"description": "Window of time that counts.", "example": "week"},
}
_HEADERS: Json = {
    "X-Request-ID": {
        "description": "Id of the request: the caller's, or a new one. The log has the same.",
        "schema": {"type": "string", "maxLength": 128, "examples": ["example-request-1"]},
    },
    "ETag": {
        "description": "Strong tag of the body that the caller has.",
        "schema": {"type": "string", "examples": ['"02bb9e780bc6ca91a1f1344a"']},
    },
}
_IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "description": "The `ETag` of the answer that the caller has; 304 where it still holds.",
    "schema": {"type": "string"},
}
_BODIES: tuple[type[Schema], ...] = (
    bodies.FavoriteEntrySchema,
    bodies.FavoriteChangeSchema,
    bodies.WatchlistEntrySchema,
    bodies.WatchlistChangeSchema,
    bodies.ProgressSchema,
)


def completed(spec: Json, problems: Json) -> Json:
    """Return the document with ids, words, headers and examples.

    `problems`: an example of each problem by the name of its response component.
    """
    parts = spec["components"]
    parts["schemas"].pop("PaginationMetadata", None)  # of flask-smorest; nothing refers to it
    parts["headers"] = _HEADERS
    examples = json.loads(EXAMPLES.read_text(encoding="utf-8"))
    for path, method, operation in operations(spec):
        told = OPERATIONS[f"{method.upper()} {path}"]
        _tell(operation, told, parts["schemas"], examples.get(told.id, {}))
    for item in spec["paths"].values():
        for parameter in item.get("parameters", ()):
            parameter.update(_PATH_WORDS[parameter["name"]])
    for name, answer in parts["responses"].items():
        _identify(answer)
        if name in problems:
            next(iter(answer["content"].values()))["example"] = problems[name]
    for schema in _BODIES:
        name = schema.__name__.removesuffix("Schema")
        parts["schemas"][name]["description"] = schema.__doc__
    modern: Json = _modern(spec)
    return modern


def operations(spec: Json) -> Iterator[tuple[str, str, Json]]:
    """Yield (path, method, operation)."""
    for path, item in spec["paths"].items():
        for method in METHODS:
            if method in item:
                yield path, method, item[method]


def _identify(answer: Json) -> None:
    answer.setdefault("headers", {})["X-Request-ID"] = {"$ref": "#/components/headers/X-Request-ID"}


def _tell(operation: Json, told: Operation, schemas: Json, examples: Json) -> None:
    """Describe one operation and each of its answers."""
    operation["operationId"] = told.id
    if told.description:
        operation["description"] = told.description
    answers = operation["responses"]
    if "304" in answers:
        operation["parameters"] = [*operation.get("parameters", ()), dict(_IF_NONE_MATCH)]
    answers["500"] = {"$ref": "#/components/responses/INTERNAL_SERVER_ERROR"}
    for status, answer in answers.items():
        if "$ref" not in answer:
            _tell_answer(answer, status, schemas, examples)


def _tell_answer(answer: Json, status: str, schemas: Json, examples: Json) -> None:
    _identify(answer)
    content = next(iter(answer["content"].values()))
    name = content["schema"].get("$ref", "").rpartition("/")[2]
    if status == "201":
        answer["description"] = "The film was added."
    elif status == "200":
        told = schemas[name] if name else content["schema"]
        answer["description"] = told.get("description", answer["description"])
    if examples and status in ("200", "201"):
        content["examples"] = {
            name: {"summary": name.replace("_", " ").capitalize(), "value": value}
            for name, value in examples.items()
        }


def _modern(part: Any, name: str = "") -> Any:
    """Return schemas with `examples`, as JSON Schema 2020-12 has it, in place of `example`."""
    if name in ("value", "example", "examples"):
        return part
    if isinstance(part, list):
        return [_modern(item) for item in part]
    if not isinstance(part, dict):
        return part
    made = {key: _modern(value, key) for key, value in part.items()}
    if "type" in made and "example" in made and "in" not in made:
        made["examples"] = [made.pop("example")]
    return made
