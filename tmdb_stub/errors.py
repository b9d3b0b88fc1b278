"""TMDB's error bodies: one table of status codes, one exception, and what a bare status means."""

from __future__ import annotations

import orjson

# https://developer.themoviedb.org/docs/errors: code -> (HTTP status, message)
ERRORS: dict[int, tuple[int, str]] = {
    4: (405, "Invalid format: This service doesn't exist in that format."),
    5: (422, "Invalid parameters: Your request parameters are incorrect."),
    6: (404, "Invalid id: The pre-requisite id is invalid or not found."),
    7: (401, "Invalid API key: You must be granted a valid key."),
    9: (503, "Service offline: This service is temporarily offline, try again later."),
    11: (500, "Internal error: Something went wrong, contact TMDB."),
    22: (
        400,
        "Invalid page: Pages start at 1 and max at 500. They are expected to be an integer.",
    ),
    24: (504, "Your request to the backend server timed out. Try again."),
    25: (429, "Your request count (41) is over the allowed limit of 40."),
    27: (
        400,
        "Too many append to response objects: The maximum number of remote calls is 20.",
    ),
    34: (404, "The resource you requested could not be found."),
    43: (502, "Couldn't connect to the backend server."),
}
CODE_OF_STATUS = {401: 7, 404: 34, 405: 4, 422: 5, 429: 25, 500: 11, 502: 43, 503: 9, 504: 24}
CONTENT_TYPE = "application/json;charset=utf-8"


class TmdbError(Exception):
    """An answer with one of TMDB's status codes (`ERRORS`)."""

    def __init__(self, code: int) -> None:
        self.code = code
        self.status, message = ERRORS[code]
        super().__init__(message)


class InvalidQuery(Exception):
    """An answer 422 with a list of texts, as TMDB gives for a search without a query."""

    def __init__(self, *texts: str) -> None:
        self.texts = list(texts)
        super().__init__(", ".join(texts))


def error_body(code: int) -> bytes:
    """Return TMDB's body for one of its status codes."""
    _, message = ERRORS[code]
    return orjson.dumps({"success": False, "status_code": code, "status_message": message})


def fault_body(status: int) -> tuple[bytes, str]:
    """Return body and content type of TMDB's error for an HTTP status; code 11 if it has none."""
    return error_body(CODE_OF_STATUS.get(status, 11)), CONTENT_TYPE
