"""Injected faults on event streams: a fault that is set also reaches those that are open."""

from __future__ import annotations

import errno
import random
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from stub_faults import Fault, parse
from stub_faults.control import ControlPaths
from stub_faults.middleware import LONGEST_HANG_S, FaultMiddleware, problem_body
from stub_faults.state import ActiveFault, State

if TYPE_CHECKING:
    from flask import Flask

    from user_stub.events import Stream

STREAM_PATH = "/events"
# How often a held stream looks whether it has ended.
LOOK_EVERY_S = 0.1


def install(app: Flask, profile: str, control_token: str) -> StreamFaults:
    """Do what `stub_faults.install` does, and return what lets faults reach streams."""
    state = State()
    if profile:
        state.set_fault(ActiveFault(parse({"profile": profile})))
    control = ControlPaths(state, control_token)
    app.wsgi_app = FaultMiddleware(  # type: ignore[method-assign]
        app.wsgi_app, state, control, base="", error_body=problem_body
    )
    return StreamFaults(state)


class StreamFaults:
    """Puts the faults of one process between streams and the server. Thread-safe."""

    def __init__(self, state: State) -> None:
        self._state = state

    def end_streams_with(self, cut: Callable[[], None]) -> None:
        """Have every open stream cut when a fault is set, unless it is one for streams.

        Who follows a stream may answer from memory while it is alive. A fault on a list would
        show nowhere before the list changes; now the follower has to ask, and meets the fault.
        """

        def end_streams(fault: Fault) -> None:
            if not fault.match.startswith(STREAM_PATH):
                cut()

        self._state.on_fault = end_streams

    def concerning(self, stream: Stream, path: str) -> Iterator[bytes]:
        """Return the stream with the faults that match `path`."""
        return _FaultyStream(stream, path, self._state)


class _FaultyStream:
    """Applies the fault that is set, if any, before each piece of a stream.

    `latency_ms` delays it, `hang` keeps it back until the fault ends, and every other failure
    breaks the connection off. What is delayed is only taken from the stream afterwards, so that
    a message never says what was true before the delay; a stream that is held for longer than
    its backlog may wait is cut off by its hub.
    """

    def __init__(self, stream: Stream, path: str, state: State) -> None:
        self._stream = stream
        self._path = path
        self._state = state

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        active = self._state.active
        if active is not None and active.fault.concerns("GET", self._path, "") and active.take():
            self._apply(active)
        return next(self._stream)

    def close(self) -> None:
        self._stream.close()

    def _apply(self, active: ActiveFault) -> None:
        fault = active.fault
        self._hold(active, fault.latency_ms / 1000)
        if fault.error_rate is not None and random.random() >= fault.error_rate:
            return
        if fault.hang:
            self._hold(active, LONGEST_HANG_S)
        if _breaks_off(fault):
            # gunicorn takes this for a caller that has gone and closes the connection quietly.
            raise ConnectionResetError(errno.ECONNRESET, "injected fault: stream cut")

    def _hold(self, active: ActiveFault, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self._stream.has_ended:
            if active.ended.wait(min(left, LOOK_EVERY_S)):
                return


def _breaks_off(fault: Fault) -> bool:
    named = fault.reset or fault.garbage or fault.truncate
    return named or fault.failure_status is not None
