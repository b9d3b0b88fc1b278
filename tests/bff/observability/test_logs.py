"""bff/observability/logs.py: what an event looks like as text and as JSON."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import re
import threading
from collections.abc import Iterator
from contextvars import copy_context
from pathlib import Path
from typing import TextIO

import pytest

from bff import context
from bff.context import Deadline, RequestContext
from bff.observability import logs


@contextlib.contextmanager
def logging_to(stream: TextIO, form: str) -> Iterator[None]:
    """Send the logs to `stream` for a while."""
    root = logging.getLogger("bff")
    kept = (root.handlers[:], root.level, root.propagate)
    try:
        logs.configure("INFO", form, "salt", stream)
        yield
    finally:
        root.handlers[:], root.level, root.propagate = kept


def said(form: str, user: str | None = "anna") -> str:
    """Return what one event and one bug look like."""
    stream = io.StringIO()
    log = logging.getLogger("bff.test")

    def say() -> None:
        context.enter(RequestContext("id-1", Deadline.after(1), user=user))
        logs.event(log, logging.INFO, "request", route="/x", status=200, duration_ms=1.5)
        try:
            raise ValueError("broken")
        except ValueError as error:
            logs.failure(log, "bug", error)

    with logging_to(stream, form):
        copy_context().run(say)
    return stream.getvalue()


def test_text_when_a_person_reads_it_then_it_is_one_line_for_each_event() -> None:
    """Time, level, event and fields; a traceback follows its line."""
    first, second, *traceback = said("text").splitlines()

    assert re.fullmatch(
        r"\d\d:\d\d:\d\d\.\d{3} INFO    request route=/x status=200 duration_ms=1\.5 "
        r"request_id=id-1 user=[0-9a-f]{12}",
        first,
    )
    assert " ERROR   bug " in second
    assert traceback[0].startswith("Traceback")
    assert traceback[-1] == "ValueError: broken"


def test_json_when_a_program_reads_it_then_each_line_is_an_object() -> None:
    """The traceback is a field."""
    first, second = map(json.loads, said("json").splitlines())

    assert (first["event"], first["status"], first["request_id"]) == ("request", 200, "id-1")
    assert second["exception"].endswith("ValueError: broken")
    assert "anna" not in said("json") + said("text")


def test_lines_when_threads_write_more_than_a_pipe_holds_then_each_line_is_whole() -> None:
    """Whoever reads is slower than they are; a traceback is longer than a pipe takes at once."""
    reader, writer = os.pipe()
    log = logging.getLogger("bff.test")
    got: list[str] = []

    def read() -> None:
        with open(reader) as lines_read:
            got.extend(lines_read)

    def write(thread: int) -> None:
        for number in range(100):
            text = "x" * (400 if number % 3 else 6000)
            logs.event(log, logging.INFO, "request", thread=thread, number=number, text=text)

    reading = threading.Thread(target=read)
    reading.start()
    with open(writer, "w") as written, logging_to(written, "json"):
        threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    reading.join()

    found = [json.loads(line) for line in got]
    for number in range(8):
        assert [line["number"] for line in found if line["thread"] == number] == list(range(100))


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_line_when_its_text_is_no_utf_8_then_it_is_written_all_the_same(
    tmp_path: Path, form: str
) -> None:
    """A lone surrogate can come out of JSON and into an exception."""
    log = (tmp_path / "log").open("w", errors="backslashreplace")  # as sys.stderr is
    with log, logging_to(log, form):
        logs.event(logging.getLogger("bff.test"), logging.INFO, "odd", text="a\ud800b")

    assert "a\\ud800b" in (tmp_path / "log").read_text()
