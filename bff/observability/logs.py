"""Log lines: an event with fields, as JSON for machines or as text for a terminal.

Every line has the request's id, its trace and its user's hash, whatever thread
it comes from. A user's name is never written.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import blake2b
from typing import Any, TextIO

import orjson

from bff import context


class _Event:
    """An event that becomes text when somebody reads it."""

    __slots__ = ("fields", "name")

    def __init__(self, name: str, fields: Mapping[str, Any]) -> None:
        self.name, self.fields = name, fields

    def __str__(self) -> str:
        return " ".join([self.name, *(f"{key}={value}" for key, value in self.fields.items())])


def event(log: logging.Logger, level: int, name: str, **fields: Any) -> None:
    """Log an event, such as `upstream.call`, with its fields; cheap where the level is off."""
    if log.isEnabledFor(level):
        log.log(level, "%s", _Event(name, fields))


def failure(log: logging.Logger, name: str, error: BaseException, **fields: Any) -> None:
    """Log a bug of ours with its traceback."""
    log.error("%s", _Event(name, fields), exc_info=error)


class _Formatter(logging.Formatter):
    def __init__(self, salt: str) -> None:
        super().__init__()
        self._salt = salt.encode()[:64]
        self._hash = lru_cache(4096)(self._hashed)

    def _hashed(self, user: str) -> str:
        return blake2b(user.encode(), digest_size=6, key=self._salt).hexdigest()

    def _about(self, record: logging.LogRecord) -> tuple[str, dict[str, Any]]:
        """Return the event and everything that is known of it."""
        said = record.args[0] if isinstance(record.args, tuple) and record.args else None
        here = context.current()
        fields: dict[str, Any] = {"request_id": here.request_id}
        trace_id = getattr(record, "trace_id", None)
        if trace_id is not None:
            fields["trace_id"] = trace_id
        if here.user is not None:
            fields["user"] = self._hash(here.user)
        if isinstance(said, _Event):
            return said.name, {**said.fields, **fields}
        return record.getMessage(), fields


class JsonFormatter(_Formatter):
    """One JSON object in each line: time, level, logger, event, fields, exception."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        name, fields = self._about(record)
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "event": name,
            **fields,
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        try:
            return orjson.dumps(line, default=str).decode()
        except TypeError:  # a lone surrogate, which JSON can escape and UTF-8 cannot carry
            return json.dumps(line, default=str)


class TextFormatter(_Formatter):
    """One line for people: time, level, event, fields; a traceback below it."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        name, fields = self._about(record)
        time = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S.%f")[:-3]
        parts = " ".join([f"{key}={value}" for key, value in fields.items()])
        line = f"{time} {record.levelname:<7} {name} {parts}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


class _LineHandler(logging.Handler):
    """Writes lines to a file or a pipe, one after the other, and has no thread wait for its turn.

    A thread lets others run while the system writes. With the lock that other
    handlers have, those run into it one after the other. Here a thread whose
    line cannot be written at once leaves it to the one that is writing; it
    waits only where `MOST_WAITING` lines do, because nobody reads them.
    """

    MOST_WAITING = 1000

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._waiting = deque[bytes]()
        self._turn = threading.Lock()

    def handle(self, record: logging.LogRecord) -> bool:
        """Write the record's line, without the lock that `Handler.handle` takes."""
        if not self.filter(record):
            return False
        self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record's line, or leave it to the thread that is writing."""
        try:
            self._waiting.append(f"{self.format(record)}\n".encode(errors="backslashreplace"))
            # Looked at again after each turn: a line may have come at the end of it.
            while self._waiting and self._turn.acquire(len(self._waiting) > self.MOST_WAITING):
                try:
                    self._write()
                finally:
                    self._turn.release()
        except Exception:  # as in all handlers: a request does not fail for its log line
            self.handleError(record)

    def _write(self) -> None:
        while self._waiting:
            left = self._waiting.popleft()
            while left:  # mostly all of it at once
                left = left[os.write(self._stream.fileno(), left) :]


def _handler(stream: TextIO) -> logging.Handler:
    try:
        stream.fileno()
    except (AttributeError, OSError, ValueError):  # none, in memory, or closed
        return logging.StreamHandler(stream)
    return _LineHandler(stream)


def configure(level: str, form: str, salt: str, stream: TextIO = sys.stderr) -> None:
    """Send the logs of `bff` to `stream`; `form`: `json`, `text` or `auto` (text in a terminal).

    `salt` keeps the hashes of users from being looked up by whoever reads a log.
    """
    # Nor does a line show these: https://docs.python.org/3.11/howto/logging.html#optimization
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    if form == "auto":
        form = "text" if stream.isatty() else "json"
    handler = _handler(stream)
    handler.setFormatter((JsonFormatter if form == "json" else TextFormatter)(salt))
    root = logging.getLogger("bff")
    root.handlers[:] = [handler]
    root.setLevel(level)
    root.propagate = False
