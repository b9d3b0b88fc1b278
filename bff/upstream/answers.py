"""An HTTP answer as it comes off a connection: read with llhttp, bounded, unpacked.

Nothing here waits or knows of sockets. What an upstream sends is taken as
strictly as RFC 9112 puts it: what could be read in two ways is no answer.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

MOST_BYTES = 8 * 1024 * 1024  # of one answer; TMDB's largest real ones have 340 kB
MOST_HEAD_BYTES = 65_536
MOST_FIELDS = 100  # of a head, as http.client has it
MOST_CODINGS = 3  # one on top of the other
MOST_MEMBERS = 16  # of gzip, one after the other; each copies what is left of the body
NO_HTTP = "ends too early, or is no HTTP"
NOT_DECODED = "cannot be decoded"
TOO_LARGE = "too large"


class BadAnswer(Exception):
    """What came is no answer that can be used; the message says why, and quotes nothing."""


class Headers(Mapping[str, str]):
    """The headers of an answer, found in any case; one that came twice is joined by a comma."""

    __slots__ = ("_found",)

    def __init__(self, fields: list[tuple[bytes, bytes]]) -> None:
        self._found: dict[str, str] = {}
        for name, value in fields:
            key, text = name.decode("latin-1").lower(), value.decode("latin-1").strip(" \t")
            self._found[key] = f"{self._found[key]}, {text}" if key in self._found else text

    def __getitem__(self, name: str) -> str:
        return self._found[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that is there to its end, unpacked."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Reading:
    """One answer while it is read. Not thread-safe; lives as long as the exchange.

    `feed` it until it is `done`, or `end` it where the connection ends. `reusable`
    says afterwards whether the connection has nothing on it but the next answer.
    """

    def __init__(self, method: str) -> None:
        self.done = self.reusable = False
        self._bodiless = method == "HEAD"
        self._headers: Headers | None = None
        self._fields: list[tuple[bytes, bytes]] = []
        self._parts: list[bytes] = []
        self._status = self._came = self._size = 0
        self._parser = HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        """Take what came; raise `BadAnswer` as soon as it is clear that it is none."""
        self._came += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            if not self.done:
                raise BadAnswer(NO_HTTP) from error
            self.reusable = False  # something follows the answer
        if self._size > MOST_BYTES:
            raise BadAnswer(TOO_LARGE)
        # Heads, trailers and the frames of chunks: a body in chunks of one byte has five times
        # its size in frames.
        if self._came > MOST_HEAD_BYTES + 8 * self._size and not self.done:
            raise BadAnswer(NO_HTTP)

    def end(self) -> None:
        """Take that nothing more comes: the end of a body without a length, or too early."""
        if self._headers is None or not self._headers.keys().isdisjoint(
            ("content-length", "transfer-encoding")
        ):
            raise BadAnswer(NO_HTTP)
        self.done = True

    @property
    def began(self) -> bool:
        """Whether anything came at all."""
        return self._came > 0

    def answer(self) -> Answer:
        """Return the answer when it is done; raise `BadAnswer` where it cannot be unpacked."""
        if self._headers is None:
            raise BadAnswer(NO_HTTP)
        body = b"".join(self._parts)
        coding = self._headers.get("content-encoding", "")
        return Answer(self._status, self._headers, unpacked(body, coding))

    def close(self) -> None:
        """Let go of the parser, which holds this object and would leave both to the collector."""
        del self._parser

    # What the parser calls.

    def on_message_begin(self) -> None:
        """Begin the answer, or a second one that nobody asked for."""
        if self.done:
            raise BadAnswer(NO_HTTP)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, or a trailer, of which no use is made."""
        if self._headers is None:
            self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        """Take the head: see what it announces."""
        self._status = self._parser.get_status_code()
        size = sum([len(name) + len(value) for name, value in self._fields])
        if size > MOST_HEAD_BYTES or len(self._fields) > MOST_FIELDS:
            raise BadAnswer(NO_HTTP)
        if self._parser.get_http_version() not in _VERSIONS:
            raise BadAnswer(NO_HTTP)
        if self._status < 200:
            return
        self._headers = Headers(self._fields)
        if self._headers.get("transfer-encoding", "chunked").lower() != "chunked":
            raise BadAnswer(NO_HTTP)  # packed in a way that was not asked for
        self.done = self._bodiless

    def on_body(self, data: bytes) -> None:
        """Take a part of the body."""
        if not self._bodiless:
            self._size += len(data)
            self._parts.append(data)

    def on_message_complete(self) -> None:
        """Take that the answer is whole; one that begins with 1 announces another."""
        if self._status < 200:
            self._fields.clear()
        elif not self._bodiless:
            self.done, self.reusable = True, self._parser.should_keep_alive()


_VERSIONS = ("1.1", "1.0")


def unpacked(body: bytes, codings: str) -> bytes:
    """Undo the content codings (RFC 9110 section 8.4.1), the last one first.

    Raises `BadAnswer` where they are not known, not kept to, or hide too much.
    """
    if not codings:
        return body
    names = [name.strip() for name in codings.lower().split(",")]
    if len(names) > MOST_CODINGS:
        raise BadAnswer(NOT_DECODED)
    for name in reversed(names):
        if not body or name in ("", "identity"):
            continue
        try:
            if name in ("gzip", "x-gzip"):
                body = _inflated(body, 16 + zlib.MAX_WBITS)
            elif name == "deflate":
                # Some send it as the RFC says, with zlib's frame, and some without.
                framed = body[0] & 15 == 8 and int.from_bytes(body[:2]) % 31 == 0
                body = _inflated(body, zlib.MAX_WBITS if framed else -zlib.MAX_WBITS)
            else:
                raise BadAnswer(NOT_DECODED)
        except zlib.error as error:
            raise BadAnswer(NOT_DECODED) from error
    return body


def _inflated(body: bytes, window: int) -> bytes:
    parts: list[bytes] = []
    left = MOST_BYTES
    while body:  # gzip may have several members, one after the other
        if len(parts) == MOST_MEMBERS:
            raise BadAnswer(NOT_DECODED)
        unpacking = zlib.decompressobj(window)
        parts.append(unpacking.decompress(body, left + 1))
        left -= len(parts[-1])
        if left < 0:
            raise BadAnswer(TOO_LARGE)
        if not unpacking.eof:
            raise BadAnswer(NOT_DECODED)
        body = unpacking.unused_data
    return b"".join(parts)
