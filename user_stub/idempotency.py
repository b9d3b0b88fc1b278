"""Idempotency keys: a response is kept for a day and replayed to a repeated request."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import delete
from sqlalchemy.orm import Session

from user_stub.errors import Invalid, KeyInFlight
from user_stub.models import IdempotencyRecord, utc_now

KEY_TTL = dt.timedelta(hours=24)


def find(session: Session, user_id: str, key: str, request_hash: str) -> IdempotencyRecord | None:
    """Return the record of an earlier request with this key; raise `Invalid` if that one differs.

    Call it with the user's row locked, so that it sees what the previous holder has recorded.
    """
    expired = IdempotencyRecord.created_date < utc_now() - KEY_TTL
    session.execute(delete(IdempotencyRecord).where(expired))
    record = session.get(IdempotencyRecord, (user_id, key))
    if record is not None and record.request_hash != request_hash:
        raise Invalid({"Idempotency-Key": ["Came before, with another request."]})
    return record


class KeysInFlight:
    """The keys of requests in progress in this process. Thread-safe.

    A repeated request in another process waits for the user's row and then finds the record.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._claimed: set[tuple[str, str]] = set()

    @contextmanager
    def claimed(self, user_id: str, key: str | None) -> Iterator[None]:
        """Hold a key for one thread; raise `KeyInFlight` if another thread holds it."""
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
