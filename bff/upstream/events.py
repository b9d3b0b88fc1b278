"""The event stream client: listens to the user service's changes (server-sent events)."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator

import orjson
import requests
from urllib3.exceptions import HTTPError

from bff.library_cache import SILENCE_S, LibraryCache
from bff.observability.logs import event
from bff.readiness import Checks, check
from bff.upstream.session import configure

log = logging.getLogger(__name__)

FIRST_PAUSE_S, MOST_PAUSE_S = 0.05, 2.0
LOST_S = 5.0  # how long the stream may be lost before readiness warns of it
MOST_EVENT_BYTES = 64 * 1024
NO_STREAM_PAUSE_S = 15.0  # a user service without a stream: each request asks it


class EventStream:
    """A thread that keeps `libraries` current while the stream is alive.

    Lives as long as the app; start it after the fork; `close` ends it. `on_connect` is called
    with the first event of each stream: the user service is back.
    """

    def __init__(
        self,
        base_url: str,
        token: str,
        libraries: LibraryCache,
        on_connect: Callable[[], None] = lambda: None,
        ca_bundle: str = "",
    ) -> None:
        self._url = f"{base_url}/events"
        # `events` reads what comes from the wire, so it must not be packed.
        self._headers = {"Accept": "text/event-stream", "Accept-Encoding": "identity"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._libraries, self._on_connect = libraries, on_connect
        self._session = configure(requests.Session(), 1, ca_bundle=ca_bundle)
        self._closed = threading.Event()
        self._state, self._since = "off", time.monotonic()
        self._thread = threading.Thread(target=self._run, name="event-stream", daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._is("lost")
        self._thread.start()

    def health(self) -> Checks:
        """Return what readiness tells: whether users' lists may be served from memory."""
        state = self._state
        if state == "alive" and not self._libraries.alive():
            state = "silent"
        recent = time.monotonic() - self._since < LOST_S
        well = recent or state in ("alive", "none", "off")
        output = "each request asks the user service until the stream is back"
        return {"events:stream": [check(state, well, kind="component", output=output)]}

    def _is(self, state: str) -> None:
        if state != self._state:
            self._state, self._since = state, time.monotonic()

    def close(self) -> None:
        """Stop listening; the memory is not used any more."""
        self._closed.set()
        self._libraries.clear()

    def _run(self) -> None:
        pause_s, told = FIRST_PAUSE_S, False
        while not self._closed.is_set():
            state, fault = "lost", ""
            try:
                self._listen()
            except _NoStreamError:
                state = "none"
            except (requests.RequestException, HTTPError, OSError, ValueError) as error:
                fault = type(error).__name__
            self._libraries.clear()
            if self._state == "alive":
                pause_s, told = FIRST_PAUSE_S, False
            if fault and not told:  # not at every attempt
                told = True
                event(log, logging.INFO, "events.lost", fault=fault)
            self._is(state)
            wait_s = NO_STREAM_PAUSE_S if state == "none" else pause_s
            self._closed.wait(wait_s * random.uniform(0.5, 1))
            pause_s = min(MOST_PAUSE_S, pause_s * 2)

    def _listen(self) -> None:
        """Follow one stream to its end; raise where it is none, or silent for too long."""
        timeout = (1, SILENCE_S)
        with self._session.get(
            self._url, headers=self._headers, stream=True, timeout=timeout, allow_redirects=False
        ) as response:
            if response.status_code in (404, 405, 501):
                raise _NoStreamError
            response.raise_for_status()
            for name, data in events(response):
                if self._closed.is_set():
                    return
                self._take(name, data)

    def _take(self, name: str, data: bytes) -> None:
        if name == "change":
            self._libraries.changed(*_change(data))
        elif name == "reset":
            self._libraries.clear()
        elif name != "beat":
            return
        self._libraries.beat()
        if self._state != "alive":
            self._is("alive")
            self._on_connect()


def _change(data: bytes) -> tuple[str, int]:
    """Return user and revision of a change; raise ValueError where it is something else."""
    change = orjson.loads(data)
    user = change.get("user") if isinstance(change, dict) else None
    revision = change.get("revision") if isinstance(change, dict) else None
    if not isinstance(user, str) or type(revision) is not int:
        raise ValueError("no change of a library")
    return user, revision


class _NoStreamError(Exception):
    """The user service has no stream."""


def events(response: requests.Response) -> Iterator[tuple[str, bytes]]:
    """Yield the events of a stream as (name, data), as the HTML standard reads them."""
    rest = b""
    while part := response.raw.read1(65_536):
        if len(rest) > MOST_EVENT_BYTES:
            raise ValueError("an event without an end")
        *blocks, rest = (rest + part).replace(b"\r\n", b"\n").split(b"\n\n")
        for block in blocks:
            name, data = "message", b""
            for line in block.split(b"\n"):
                key, _, value = line.partition(b":")
                if key == b"event":
                    name = value.strip().decode("ascii", "replace")
                elif key == b"data":
                    data += value.strip()
            yield name, data
