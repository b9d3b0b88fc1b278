"""Errors with more to say than werkzeug's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from werkzeug.exceptions import Conflict, UnprocessableEntity


class Invalid(UnprocessableEntity):
    """The request is invalid; `errors` maps each field, parameter or header to its messages."""

    description = "the request is not valid"

    def __init__(self, errors: Mapping[str, list[str]]) -> None:
        super().__init__()
        self.errors = errors


class KeyInFlight(Conflict):
    """The first request with the idempotency key is still in progress."""

    type = "urn:problem-type:idempotency-key-in-flight"
    description = "the first request with this Idempotency-Key is still in progress"

    def get_headers(self, *args: Any, **kwargs: Any) -> list[tuple[str, str]]:
        """Return werkzeug's headers and `Retry-After`."""
        return [*super().get_headers(*args, **kwargs), ("Retry-After", "1")]
