"""Work in steps that say what they wait for, so that one thread can do several at a time.

A generator yields a `Wait` where it would block; whoever drives it waits, and
goes on with it afterwards. This is for waits on sockets: what a thread of the
pool costs for a call (a hand-over, two wake-ups) is more than the call itself.
"""

from __future__ import annotations

import contextvars
import math
import select
import time
from collections.abc import Generator, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")
READ, WRITE = select.POLLIN, select.POLLOUT
MOST_S = 3600.0  # that one look at the sockets waits


@dataclass(frozen=True, slots=True)
class Wait:
    """Until a socket can be read or written (`events`), or until a moment of the monotonic clock.

    `sock` None: for the moment alone. Whoever goes on looks for itself which it was.
    """

    until: float
    sock: Any = None
    events: int = READ


Steps = Generator[Wait, None, T]


class Task(Generic[T]):
    """Steps in a copy of the caller's context; `future` gets what they return or raise."""

    def __init__(self, steps: Steps[T]) -> None:
        self.future: Future[T] = Future()
        self._steps, self._context = steps, contextvars.copy_context()

    def go_on(self) -> Wait | None:
        """Do the next step, and return what the one after it waits for; None: it is over."""
        try:
            return self._context.run(next, self._steps)
        except StopIteration as end:
            self.future.set_result(end.value)
        except BaseException as error:  # it is raised where the result is asked for
            self.future.set_exception(error)
        return None

    def drop(self) -> None:
        """End it where it is, so that who waits for it hears that it will not come."""
        self._context.run(self._steps.close)
        self.future.cancel()


def alone(steps: Steps[T]) -> T:
    """Do steps to their end in this thread; return what they return, or raise."""
    while True:
        try:
            wait = next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        _over([wait])


def together(tasks: Iterable[Task[Any]]) -> None:
    """Do tasks to their end in this thread, each as soon as it can go on."""
    waiting = [(task, wait) for task in tasks if (wait := task.go_on())]
    try:
        while waiting:
            over = _over([wait for _, wait in waiting])
            waiting = [
                (task, after)
                for (task, wait), ready in zip(waiting, over, strict=True)
                if (after := task.go_on() if ready else wait)
            ]
    except BaseException:  # the process ends, as a server may tell it to at any point
        for task, _ in waiting:
            task.drop()
        raise


def _over(waits: list[Wait]) -> list[bool]:
    """Wait for the first of some waits; return for each whether it is over."""
    poll = select.poll()
    for wait in waits:
        if wait.sock is not None:
            poll.register(wait.sock, wait.events)
    left_s = min(wait.until for wait in waits) - time.monotonic()
    ready = {number for number, _ in poll.poll(math.ceil(max(0.0, min(left_s, MOST_S)) * 1000))}
    now = time.monotonic()
    return [
        wait.until <= now or (wait.sock is not None and wait.sock.fileno() in ready)
        for wait in waits
    ]
