"""The errors that say more than werkzeug's do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from werkzeug.exceptions import Conflict, UnprocessableEntity


class Invalid(UnprocessableEntity):
    """The request is wrong; `errors` says by field, parameter or header what is wrong with it."""

    description = "the request is not valid"

    def __init__(self, errors: Mapping[str, list[str]]) -> None:
        super().__init__()
        self.errors = errors


class KeyInFlight(Conflict):
    """The first request with the idempotency key is still being worked on."""

    type = "urn:problem-type:idempotency-key-in-flight"
    description = "the first request with this Idempotency-Key is still being worked on"

    def get_headers(self, *args: Any, **kwargs: Any) -> list[tuple[str, str]]:
        """Return the headers, with the seconds after which another try makes sense."""
        return [*super().get_headers(*args, **kwargs), ("Retry-After", "1")]
