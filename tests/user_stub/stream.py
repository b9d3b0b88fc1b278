"""What a subscriber reads from an event stream."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple


class Message(NamedTuple):
    """One message of a stream."""

    event: str
    id: int
    data: dict[str, Any]


def messages(pieces: Iterable[bytes]) -> Iterator[Message]:
    """Yield the messages of a stream as they come; a piece may hold several, or part of one."""
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n\n")
        for text in whole:
            fields = dict(line.split(": ", 1) for line in text.decode().split("\n"))
            yield Message(fields["event"], int(fields["id"]), json.loads(fields["data"]))
    assert rest == b""


def changes_until(found: Iterator[Message], seq: int) -> list[Message]:
    """Return the changes that come until number `seq` has been seen."""
    changes: list[Message] = []
    for message in found:
        changes += [message] if message.event == "change" else []
        if message.id >= seq:
            break
    return changes
