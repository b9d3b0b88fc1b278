"""Idempotency keys: the answer to a request is kept for a day and repeated to its repetition."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import delete
from sqlalchemy.orm import Session

from user_stub.errors import Invalid, KeyInFlight
from user_stub.models import IdempotencyRecord, utc_now

KEEP_FOR = dt.timedelta(hours=24)


def find(session: Session, user_id: str, key: str, request_hash: str) -> IdempotencyRecord | None:
    """Return the record of an earlier request with the key; raise `Invalid` if it differs.

    The transaction holds the user's lock, so that it sees the record of whoever held it before.
    """
    expired = IdempotencyRecord.created_date < utc_now() - KEEP_FOR
    session.execute(delete(IdempotencyRecord).where(expired))
    record = session.get(IdempotencyRecord, (user_id, key))
    if record is not None and record.request_hash != request_hash:
        raise Invalid({"Idempotency-Key": ["Came before, with another request."]})
    return record


class KeysInFlight:
    """The keys that this process works on. Thread-safe.

    Another process that gets a request again while it is worked on waits for the user's lock, and
    then finds its record.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._claimed: set[tuple[str, str]] = set()

    @contextmanager
    def claimed(self, user_id: str, key: str | None) -> Iterator[None]:
        """Let one thread work on a key; raise `KeyInFlight` for the others."""
        if key is None:
            yield
            return
        with self._lock:
            if (user_id, key) in self._claimed:
                raise KeyInFlight
            self._claimed.add((user_id, key))
        try:
            yield
        finally:
            with self._lock:
                self._claimed.discard((user_id, key))
