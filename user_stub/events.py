"""The event stream: every subscriber's thread follows the log of changes for itself.

A stream asks the log what is new since the last change that it has sent, so a slow subscriber
holds up nobody and needs no buffer.
"""

from __future__ import annotations

import contextlib
import json
import logging
import random
import socket
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import ServiceUnavailable

from user_stub import changes
from user_stub.database import Database
from user_stub.models import LibraryChange

logger = logging.getLogger(__name__)

# Each stream holds a thread of the server, which has 64 (`gunicorn_conf.py`).
MOST_STREAMS = 32
# Places become free as streams end, a few each minute.
RETRY_AFTER_S = 10
# How often other processes' changes are looked for; this process's own wake the streams at once.
LOOK_EVERY_S = 0.1
BEAT_EVERY_S = 0.25
LIFETIME_S = 300.0
# A subscriber that reads nothing for so long gives its thread back.
SEND_WITHIN_S = 5.0


class EventStreams:
    """The event streams of one process. Thread-safe.

    `stopping` is asked ten times a second whether the server is shutting down, which ends all
    streams. `clock` returns seconds.
    """

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.stopping: Callable[[], bool] = lambda: False
        self._database = database
        self._clock = clock
        self._sockets: list[socket.socket | None] = []
        self._commits = 0
        self._changed = threading.Condition()

    @property
    def count(self) -> int:
        """The number of open streams."""
        return len(self._sockets)

    def subscribe(
        self, last_event_id: int | None, sock: socket.socket | None = None
    ) -> Generator[bytes]:
        """Return a stream of messages, to be sent on `sock` and to be closed by the caller.

        First come the changes after `last_event_id`, or a `reset` where these are not kept, then
        a beat. Raise `ServiceUnavailable` where there are too many streams, and SQLAlchemy's
        error where the database does not answer.
        """
        with self._database.reading() as session:
            last = changes.last(session)
        stream = self._messages(last if last_event_id is None else last_event_id, sock)
        next(stream)  # takes its place
        if sock is not None:
            sock.settimeout(SEND_WITHIN_S)
        return stream

    def wake(self) -> None:
        """Let the streams look for changes now: this process has committed one."""
        with self._changed:
            self._commits += 1
            self._changed.notify_all()

    def cut(self) -> None:
        """Break all connections off, as a fault does."""
        for sock in filter(None, tuple(self._sockets)):
            with contextlib.suppress(OSError):  # it is closed already
                sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End all streams."""
        self.stopping = lambda: True
        self.wake()

    @contextmanager
    def _place(self, sock: socket.socket | None) -> Iterator[None]:
        with self._changed:
            if self.count >= MOST_STREAMS:
                text = f"this process serves {MOST_STREAMS} event streams already"
                raise ServiceUnavailable(text, retry_after=RETRY_AFTER_S)
            self._sockets.append(sock)
        try:
            yield
        finally:
            with self._changed:
                self._sockets.remove(sock)

    def _messages(self, seen: int, sock: socket.socket | None) -> Generator[bytes]:
        """Yield nothing once there is a place, then messages as they come."""
        next_beat = self._clock()
        # Not all at once, so that what ended together does not come back together for ever.
        ends_at = next_beat + LIFETIME_S * random.uniform(0.9, 1.1)
        with self._place(sock):
            yield b""
            while not self.stopping() and self._clock() < ends_at:
                # Both before the look, so that a commit that it misses is not waited for.
                commits, now = self._commits, self._clock()
                try:
                    data, seen, is_complete = self._look(seen)
                except SQLAlchemyError as error:
                    logger.warning("events.database_unavailable error=%s", type(error).__name__)
                    return
                if is_complete and now >= next_beat:
                    data += _message("beat", seen, {"seq": seen})
                    next_beat = now + BEAT_EVERY_S
                if data:
                    yield data
                elif is_complete:
                    self._wait(commits, next_beat - self._clock())

    def _look(self, seen: int) -> tuple[bytes, int, bool]:
        """Return messages about what is new, its last number, and whether it is all there is."""
        with self._database.reading() as session:
            found = changes.after(session, seen)
            if found is None:
                last = changes.last(session)
                return _message("reset", last, {"seq": last}), last, True
        data = b"".join(map(_change_message, found))
        return data, found[-1].seq if found else seen, len(found) < changes.LONGEST_PIECE

    def _wait(self, commits: int, until_beat_s: float) -> None:
        with self._changed:
            timeout_s = min(LOOK_EVERY_S, max(0.0, until_beat_s))
            self._changed.wait_for(lambda: self._commits != commits, timeout_s)


def _change_message(change: LibraryChange) -> bytes:
    return _message("change", change.seq, {"user": change.user_id, "revision": change.revision})


def _message(event: str, seq: int, data: dict[str, Any]) -> bytes:
    """Return a message; every one has an id, so that whoever has only had beats resumes too."""
    text = json.dumps(data, separators=(",", ":"))
    return f"id: {seq}\nevent: {event}\ndata: {text}\n\n".encode()
