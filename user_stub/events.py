"""Event streams: each subscriber's thread polls the log of changes.

A stream reads what comes after the last change that it has sent, so a slow subscriber delays
nobody and needs no buffer.
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

logger = logging.getLogger(__name__)

# Each stream holds a thread of the server, which has 64 (`gunicorn_conf.py`).
MAX_STREAMS = 32
RETRY_AFTER_S = 10
# How soon changes by other processes are seen; this process's own wake the streams at once.
POLL_INTERVAL_S = 0.125
BEAT_INTERVAL_S = 0.25
STREAM_LIFETIME_S = 300.0
# A subscriber that reads nothing for this long is disconnected, which frees its thread.
SEND_TIMEOUT_S = 5.0


class EventStreams:
    """The event streams of one process. Thread-safe.

    Streams end when `stopping`, which each calls with every poll, returns true. `clock` returns
    seconds.
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
        """Return a stream of messages to send on `sock`; the caller closes it.

        It starts with the changes after `last_event_id`, or a `reset` if some are missing, and a
        beat. Raise `ServiceUnavailable` if there are too many streams, and SQLAlchemy's error if
        the database is unreachable.
        """
        with self._database.reading() as session:
            last = changes.last(session)
        stream = self._messages(last if last_event_id is None else last_event_id, sock)
        next(stream)  # takes a slot
        if sock is not None:
            sock.settimeout(SEND_TIMEOUT_S)
        return stream

    def wake(self) -> None:
        """Make the streams poll now, because this process has committed a change."""
        with self._changed:
            self._commits += 1
            self._changed.notify_all()

    def cut(self) -> None:
        """Shut the connections of all streams, for injected faults."""
        for sock in filter(None, tuple(self._sockets)):
            with contextlib.suppress(OSError):  # closed already
                sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End all streams."""
        self.stopping = lambda: True
        self.wake()

    @contextmanager
    def _slot(self, sock: socket.socket | None) -> Iterator[None]:
        with self._changed:
            if self.count >= MAX_STREAMS:
                text = f"this process serves {MAX_STREAMS} event streams already"
                raise ServiceUnavailable(text, retry_after=RETRY_AFTER_S)
            self._sockets.append(sock)
        try:
            yield
        finally:
            with self._changed:
                self._sockets.remove(sock)

    def _messages(self, seen: int, sock: socket.socket | None) -> Generator[bytes]:
        """Yield an empty message when a slot is taken, then messages as they come."""
        next_beat = self._clock()
        # Jitter, so that streams that were opened together do not end together.
        ends_at = next_beat + STREAM_LIFETIME_S * random.uniform(0.9, 1.1)
        with self._slot(sock):
            yield b""
            while not self.stopping() and self._clock() < ends_at:
                # Both before the poll: a commit that it misses must wake the stream.
                commits, now = self._commits, self._clock()
                try:
                    data, seen, is_complete = self._poll(seen)
                except SQLAlchemyError as error:
                    logger.warning("events.database_unavailable error=%s", type(error).__name__)
                    return
                if is_complete and now >= next_beat:
                    data += _message("beat", seen, {"seq": seen})
                    next_beat = now + BEAT_INTERVAL_S
                if data:
                    yield data
                elif is_complete:
                    self._wait(commits, next_beat - self._clock())

    def _poll(self, seen: int) -> tuple[bytes, int, bool]:
        """Return the messages after `seen`, the last number, and whether that was everything."""
        with self._database.reading() as session:
            found = changes.after(session, seen)
            if found is None:
                last = changes.last(session)
                return _message("reset", last, {"seq": last}), last, True
        data = b"".join(
            _message("change", each.seq, {"user": each.user_id, "revision": each.revision})
            for each in found
        )
        return data, found[-1].seq if found else seen, len(found) < changes.BATCH_SIZE

    def _wait(self, commits: int, until_beat_s: float) -> None:
        with self._changed:
            timeout_s = min(POLL_INTERVAL_S, max(0.0, until_beat_s))
            self._changed.wait_for(lambda: self._commits != commits, timeout_s)


def _message(event: str, seq: int, data: dict[str, Any]) -> bytes:
    """Encode a message; beats have an id too, so that a browser can resume after one."""
    text = json.dumps(data, separators=(",", ":"))
    return f"id: {seq}\nevent: {event}\ndata: {text}\n\n".encode()
