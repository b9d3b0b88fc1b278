"""The event stream: one thread reads the log of changes and serves every subscriber."""

from __future__ import annotations

import contextlib
import logging
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator

import orjson
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from user_stub import changes
from user_stub.changes import Change
from user_stub.database import Database, DatabaseBusy

logger = logging.getLogger(__name__)

# Each subscriber holds a thread of the server, which has 64 (`gunicorn_conf.py`).
MOST_STREAMS = 32
# How often other processes' changes are looked for; this process's own wake the thread at once.
LOOK_EVERY_S = 0.1
# Writes in quick succession share a look, so that looking never takes a whole core.
LOOK_GAP_S = 0.005
BEAT_EVERY_S = 0.25
LIFETIME_S = 300.0
# A subscriber that leaves more, or leaves it longer, than this is cut off.
LARGEST_BACKLOG = 2_000_000
LONGEST_BACKLOG_S = 5.0
# A look that takes longer counts as a database that is away.
FIRST_MESSAGE_WITHIN_S = 5.0
# How long ended streams have for what is waiting, before they are cut off.
LAST_MESSAGES_WITHIN_S = 0.5
# No message for so long: the thread that makes them is gone.
LONGEST_SILENCE_S = 5.0
# What may wait in the system for a slow subscriber, so that it is noticed here.
SEND_BUFFER = 64 * 1024


class TooManyStreams(Exception):
    """This process serves as many subscribers as it may."""


def change_message(change: Change) -> bytes:
    """Return the message about a change."""
    data = orjson.dumps({"user": change.user_id, "revision": change.revision})
    return b"id: %d\nevent: change\ndata: %b\n\n" % (change.seq, data)


def seq_message(event: str, seq: int) -> bytes:
    """Return a `beat` or `reset`. With the id, a browser that was only sent beats resumes too."""
    return f'id: {seq}\nevent: {event}\ndata: {{"seq":{seq}}}\n\n'.encode()


class Subscriber:
    """What one stream still has to send. The hub puts in, the stream's thread takes out."""

    def __init__(self, resume_after: int | None, ends_at: float, sock: socket.socket | None):
        self.resume_after = resume_after
        self.ends_at = ends_at
        self.is_joined = False
        self.has_left = False
        self._socket = sock
        self._backlog: list[bytes] = []
        self._size = 0
        self._waiting_since = 0.0
        self._ended = False
        self._changed = threading.Condition()

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will come."""
        return self._ended

    def put(self, data: bytes) -> None:
        """Add to what is to be sent."""
        with self._changed:
            if self._ended:
                return
            if not self._backlog:
                self._waiting_since = time.monotonic()
            self._backlog.append(data)
            self._size += len(data)
            self._changed.notify_all()

    def is_too_slow(self, now: float) -> bool:
        """Whether too much is waiting, or for too long."""
        with self._changed:
            late = bool(self._backlog) and now - self._waiting_since > LONGEST_BACKLOG_S
            return late or self._size > LARGEST_BACKLOG

    def wait(self, timeout_s: float) -> bool:
        """Wait until there is something to take; return whether there is."""
        with self._changed:
            self._changed.wait_for(lambda: self._backlog or self._ended, timeout_s)
            return bool(self._backlog)

    def take(self) -> bytes | None:
        """Wait for messages and return all that are there; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._backlog or self._ended, LONGEST_SILENCE_S)
            data = b"".join(self._backlog)
            self._backlog.clear()
            self._size = 0
            return data or None

    def end(self) -> None:
        """Let the stream end once what is waiting has been sent."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def cut(self) -> None:
        """End the stream now, also where its thread is stuck in sending."""
        with self._changed:
            self._ended = True
            self._backlog.clear()
            self._size = 0
            self._changed.notify_all()
        self._shut(socket.SHUT_RDWR)

    def leave(self) -> None:
        """Note that nobody takes any more, and let the server close the connection.

        It would keep it for a next call, and on shutdown wait for one.
        """
        self.has_left = True
        self.end()
        self._shut(socket.SHUT_RD)

    def _shut(self, how: int) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):  # it is closed already
                self._socket.shutdown(how)


class Stream:
    """The body of a stream, for the server to iterate and to close."""

    def __init__(self, subscriber: Subscriber, leave: Callable[[Subscriber], None]) -> None:
        self._subscriber = subscriber
        self._leave = leave

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will come."""
        return self._subscriber.has_ended

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        data = self._subscriber.take()
        if data is None:
            raise StopIteration
        return data

    def close(self) -> None:
        """Give the subscriber's place back; may be called more than once."""
        self._leave(self._subscriber)


class Hub:
    """The subscribers of one process and the thread that serves them. Thread-safe.

    The thread starts with the first subscriber and ends with the last. `stopping` is asked ten
    times a second whether the server is shutting down, which ends all streams.
    """

    def __init__(
        self, database: Database, *, lifetime_s: float = LIFETIME_S, most: int = MOST_STREAMS
    ) -> None:
        self.stopping: Callable[[], bool] = lambda: False
        self._database = database
        self._lifetime_s = lifetime_s
        self._most = most
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._subscribers: list[Subscriber] = []
        self._thread: threading.Thread | None = None

    @property
    def count(self) -> int:
        """The number of subscribers."""
        return len(self._subscribers)

    def wake(self) -> None:
        """Look for changes now: this process has committed one."""
        self._wake.set()

    def subscribe(
        self, resume_after: int | None = None, sock: socket.socket | None = None
    ) -> Stream:
        """Return a stream whose first messages are there.

        They are the changes after `resume_after`, or a `reset` where these are not kept, and in
        any case a beat. `sock` is the connection, to be shut where sending is stuck. Raise
        `TooManyStreams`, or `DatabaseBusy` where the database does not answer.
        """
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        # Not all at once, so that what ended together does not come back together for ever.
        lifetime_s = self._lifetime_s * random.uniform(0.9, 1.1)
        subscriber = Subscriber(resume_after, time.monotonic() + lifetime_s, sock)
        with self._lock:
            if len(self._subscribers) >= self._most:
                raise TooManyStreams
            self._subscribers.append(subscriber)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="events", daemon=True)
                self._thread.start()
        self._wake.set()
        if not subscriber.wait(FIRST_MESSAGE_WITHIN_S):
            self._leave(subscriber)
            raise DatabaseBusy
        return Stream(subscriber, self._leave)

    def cut(self) -> None:
        """End all streams at once, without their last messages."""
        with self._lock:
            subscribers = list(self._subscribers)
        for subscriber in subscribers:
            subscriber.cut()

    def close(self) -> None:
        """End all streams and wait for the thread."""
        self.stopping = lambda: True
        self._wake.set()
        thread = self._thread
        if thread is not None:
            thread.join(FIRST_MESSAGE_WITHIN_S)

    def _leave(self, subscriber: Subscriber) -> None:
        subscriber.leave()
        with self._lock:
            if subscriber in self._subscribers:
                self._subscribers.remove(subscriber)
        self._wake.set()

    def _run(self) -> None:
        left: list[Subscriber] = []
        try:
            with self._database.looking() as connection:
                self._serve(connection)
        except (SQLAlchemyError, OSError) as error:
            logger.warning("events.database_unavailable error=%s", type(error).__name__)
        except Exception:
            logger.exception("events.failed")
        finally:
            with self._lock:
                if self._thread is threading.current_thread():
                    self._thread = None
                    left, self._subscribers = self._subscribers, []
        self._end(left)

    def _end(self, subscribers: list[Subscriber]) -> None:
        """End streams; those that cannot send their last messages are cut off."""
        for subscriber in subscribers:
            subscriber.end()
        until = time.monotonic() + LAST_MESSAGES_WITHIN_S
        while not all(each.has_left for each in subscribers) and time.monotonic() < until:
            time.sleep(0.01)
        for subscriber in subscribers:
            if not subscriber.has_left:
                subscriber.cut()

    def _serve(self, connection: Connection) -> None:
        """Look for changes and pass them on, until the last subscriber leaves or all must."""
        seen = changes.last(connection)
        connection.rollback()
        next_beat = time.monotonic()
        while not self.stopping() and (subscribers := self._present()):
            # Cleared before the look: a commit that the look misses sets it again.
            self._wake.clear()
            began = time.monotonic()
            found = changes.after(connection, seen)
            if found is None:
                seen, found = self._start_anew(connection, subscribers), []
            is_complete = len(found) < changes.LONGEST_PIECE - 1
            seen = found[-1].seq if found else seen
            data = b"".join(map(change_message, found))
            if is_complete and began >= next_beat:
                data += seq_message("beat", seen)
                next_beat = began + BEAT_EVERY_S
            for subscriber in subscribers:
                if subscriber.is_joined:
                    if data:
                        subscriber.put(data)
                elif is_complete:
                    self._join(connection, subscriber, seen)
            connection.rollback()
            self._retire(subscribers, began)
            if is_complete:
                self._pause(began, next_beat)

    def _start_anew(self, connection: Connection, subscribers: list[Subscriber]) -> int:
        """End the streams that may have missed something and return where the log ends now.

        They resume, and hear that. Who has only just come has missed nothing and stays.
        """
        for subscriber in subscribers:
            if subscriber.is_joined:
                subscriber.ends_at = min(subscriber.ends_at, time.monotonic())
                subscriber.end()
        return changes.last(connection)

    def _present(self) -> list[Subscriber]:
        with self._lock:
            if not self._subscribers:
                self._thread = None
            return list(self._subscribers)

    def _join(self, connection: Connection, subscriber: Subscriber, seen: int) -> None:
        data = b""
        if subscriber.resume_after is not None:
            missed = changes.after(connection, subscriber.resume_after)
            if missed is None or len(missed) >= changes.LONGEST_PIECE - 1:
                data = seq_message("reset", seen)
            else:
                # This look is newer; what it saw beyond `seen` comes with the next one.
                data = b"".join(change_message(each) for each in missed if each.seq <= seen)
        subscriber.put(data + seq_message("beat", seen))
        subscriber.is_joined = True

    def _retire(self, subscribers: list[Subscriber], now: float) -> None:
        for subscriber in subscribers:
            if now > subscriber.ends_at:
                subscriber.end()
            if subscriber.is_too_slow(now) or now > subscriber.ends_at + LONGEST_BACKLOG_S:
                logger.warning("events.subscriber_too_slow")
                subscriber.cut()
                with self._lock:
                    if subscriber in self._subscribers:
                        self._subscribers.remove(subscriber)

    def _pause(self, began: float, next_beat: float) -> None:
        next_look = min(began + LOOK_EVERY_S, next_beat)
        self._wake.wait(max(0.0, next_look - time.monotonic()))
        gap_s = began + LOOK_GAP_S - time.monotonic()
        if gap_s > 0:
            time.sleep(gap_s)
