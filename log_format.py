"""How log lines look, the application's and gunicorn's: JSON for machines, text for a terminal.

A module of its own beside `gunicorn.conf.py`, because gunicorn's master writes lines too and must
not import `bff`: only the workers load the application.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, TextIO


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """Return what was logged as `extra={"fields": ...}`."""
    fields: dict[str, Any] = getattr(record, "fields", {})
    return fields


class JsonFormatter(logging.Formatter):
    """One JSON object in each line: time (UTC), level, logger, event, fields, exception."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "event": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, separators=(",", ":"))


class TextFormatter(logging.Formatter):
    """One line for people: local time, level, event, fields; a traceback below it."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        time = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S.%f")[:-3]
        fields = [f"{key}={value}" for key, value in _fields(record).items()]
        line = " ".join([f"{time} {record.levelname:<7} {record.getMessage()}", *fields])
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


def formatter(form: str, stream: TextIO) -> logging.Formatter:
    """Return what formats lines for `stream`; `form`: `json`, `text` or `auto` (text on a tty)."""
    if form == "auto":
        form = "text" if stream.isatty() else "json"
    return JsonFormatter() if form == "json" else TextFormatter()


class RefusalFilter(logging.Filter):
    """Keeps what a client sent out of gunicorn's lines; for the handlers of `gunicorn.error`.

    gunicorn quotes what it refuses, and that may be a credential. A refusal becomes one line with
    the client's address and the kind of fault; a bug keeps its traceback and loses the target.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite the record where gunicorn is handling an error; let every record pass."""
        error = sys.exc_info()[1]
        if type(error).__module__ == "gunicorn.http.errors":
            # "Invalid request from ip=::1: Invalid HTTP Header: 'AUTHORIZATION BEARER ...'"
            address = record.getMessage().partition(": ")[0].partition("ip=")[2]
            record.fields = {"client": address or "-", "reason": type(error).__name__}
            record.msg, record.args, record.exc_info = "server.refused", (), None
            record.levelno = min(record.levelno, logging.WARNING)
            record.levelname = logging.getLevelName(record.levelno)
        elif record.exc_info and record.args:
            record.msg, record.args = str(record.msg).partition(" %s")[0], ()
        return True
