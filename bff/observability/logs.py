"""Log lines: an event with fields, each with the request that it belongs to.

Every line has the request's id, its trace and its user's hash, whatever thread
it comes from. A user's name is never written.
"""

from __future__ import annotations

import logging
import sys
from functools import lru_cache
from hashlib import blake2b
from typing import Any, TextIO

from bff import context
from log_format import formatter

# What they say at length of each call while Redis or an upstream is gone, our events say once.
LIBRARIES = ("pybreaker", "requests_cache", "urllib3")


def event(log: logging.Logger, level: int, name: str, **fields: Any) -> None:
    """Log an event, such as `upstream.call`, with its fields."""
    log.log(level, name, extra={"fields": fields})


def failure(log: logging.Logger, name: str, error: BaseException, **fields: Any) -> None:
    """Log a bug of ours with its traceback."""
    log.error(name, exc_info=error, extra={"fields": fields})


class RequestFilter(logging.Filter):
    """Adds the request at hand to the fields of each record; lets every record pass.

    `salt` keeps the hashes of users from being looked up by whoever reads a log.
    """

    def __init__(self, salt: str) -> None:
        super().__init__()
        key = salt.encode()[:64]
        self._hash = lru_cache(4096)(
            lambda user: blake2b(user.encode(), digest_size=6, key=key).hexdigest()
        )

    def filter(self, record: logging.LogRecord) -> bool:
        """Add request_id and, where they are known, trace_id and user."""
        here = context.current()
        fields = {**getattr(record, "fields", {}), "request_id": here.request_id}
        trace_id = getattr(record, "trace_id", None)
        if trace_id is not None:
            fields["trace_id"] = trace_id
        if here.user is not None:
            fields["user"] = self._hash(here.user)
        record.fields = fields
        return True


def configure(level: str, form: str, salt: str, stream: TextIO = sys.stderr) -> None:
    """Send the logs of `bff` to `stream`; `form`: `json`, `text` or `auto` (text in a terminal)."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter(form, stream))
    handler.addFilter(RequestFilter(salt))
    root = logging.getLogger("bff")
    root.handlers[:] = [handler]
    root.setLevel(level)
    root.propagate = False
    for library in LIBRARIES:
        logging.getLogger(library).setLevel(logging.CRITICAL)
