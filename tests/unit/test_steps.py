"""bff/steps.py: several pieces of work in one thread, each going on as soon as it can."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from contextvars import ContextVar

import pytest

from bff import steps
from bff.steps import WRITE, Steps, Task, Wait, alone, together

PATIENCE_S = 10
Pair = tuple[socket.socket, socket.socket]
_word: ContextVar[str] = ContextVar("word", default="outside")


@pytest.fixture
def pairs() -> Iterator[list[Pair]]:
    """Three connections, both ends of each."""
    made = [socket.socketpair() for _ in range(3)]
    yield made
    for pair in made:
        for end in pair:
            end.close()


def soon() -> float:
    """Return a moment that a test does not wait for unless it fails."""
    return time.monotonic() + PATIENCE_S


def reads(sock: socket.socket, answers: socket.socket | None = None) -> Steps[bytes]:
    """Read once, and let another connection have something to read after that."""
    yield Wait(soon(), sock)
    found = sock.recv(10)
    if answers is not None:
        answers.sendall(b"next")
    return found


def test_together_when_answers_come_in_another_order_then_each_goes_on_when_it_can(
    pairs: list[Pair],
) -> None:
    """The first waits for what the second causes, and that for the third: none holds up another."""
    (one, to_one), (two, to_two), (three, to_three) = pairs
    tasks = [Task(reads(one)), Task(reads(two, to_one)), Task(reads(three, to_two))]
    to_three.sendall(b"first")
    started = time.monotonic()
    together(tasks)
    assert [task.future.result(0) for task in tasks] == [b"next", b"next", b"first"]
    assert time.monotonic() - started < PATIENCE_S / 2


def test_together_when_a_moment_comes_then_it_goes_on_without_its_socket(pairs: list[Pair]) -> None:
    """Steps that have no time left are told so by going on; those beside it wait for theirs."""

    def until(moment: float, sock: socket.socket | None) -> Steps[float]:
        yield Wait(moment, sock)
        return time.monotonic()

    started = time.monotonic()
    tasks = [Task(until(started + wait_s, pairs[0][0])) for wait_s in (0.06, 0.03)]
    tasks.append(Task(until(started + 0.01, None)))
    together(tasks)
    moments = [task.future.result(0) - started for task in tasks]
    assert [wait <= moment for wait, moment in zip((0.06, 0.03, 0.01), moments, strict=True)] == [
        True,
        True,
        True,
    ]
    assert moments == sorted(moments, reverse=True)


def test_together_when_one_fails_then_the_others_end_as_they_would(pairs: list[Pair]) -> None:
    """What it raised is in its future, whatever it is."""

    def fails(error: BaseException) -> Steps[None]:
        yield Wait(0)
        raise error

    errors: list[BaseException] = [ValueError("a bug"), SystemExit()]
    tasks = [Task(fails(error)) for error in errors]
    good = Task(reads(pairs[0][0]))
    pairs[0][1].sendall(b"x")
    together([*tasks, good])
    assert [task.future.exception(0) for task in tasks] == errors
    assert good.future.result(0) == b"x"


def test_together_when_the_thread_is_told_to_end_then_no_task_is_left_waiting(
    pairs: list[Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their steps are closed, and who waits for them hears that they will not come."""
    closed: list[str] = []

    def waits() -> Steps[None]:
        try:
            yield Wait(soon(), pairs[0][0])
        finally:
            closed.append(_word.get())

    def ends(_: object) -> list[bool]:
        raise SystemExit

    _word.set("ending")
    tasks = [Task(waits()), Task(waits())]
    _word.set("outside")
    monkeypatch.setattr(steps, "_over", ends)
    with pytest.raises(SystemExit):
        together(tasks)
    assert closed == ["ending", "ending"]
    assert all(task.future.cancelled() for task in tasks)


def test_together_then_each_task_has_a_context_of_its_own() -> None:
    """What one sets between two steps, no other sees, and the caller neither."""

    def sets(word: str) -> Steps[str]:
        before = _word.get()
        _word.set(word)
        yield Wait(0)
        return f"{before} {_word.get()}"

    tasks = [Task(sets("one")), Task(sets("two"))]
    together(tasks)
    assert [task.future.result(0) for task in tasks] == ["outside one", "outside two"]
    assert _word.get() == "outside"


def test_together_when_there_is_nothing_to_wait_for_then_it_is_done_at_once() -> None:
    """Also where there is nothing to do."""

    def ready() -> Steps[int]:
        return 1
        yield

    task = Task(ready())
    together([])
    together([task])
    assert task.future.result(0) == 1


def test_alone_then_it_is_a_call_like_any_other(pairs: list[Pair]) -> None:
    """It returns, it raises, and it waits until a socket can be written or read."""
    ours, theirs = pairs[0]
    ours.setblocking(False)

    def asks() -> Steps[bytes]:
        full = _filled(ours)
        emptied = threading.Thread(target=lambda: _read(theirs, full))
        emptied.start()
        yield Wait(soon(), ours, WRITE)
        assert ours.send(b"x") == 1
        emptied.join(PATIENCE_S)
        theirs.sendall(b"answer")
        return (yield from reads(ours))

    assert alone(asks()) == b"answer"
    with pytest.raises(ZeroDivisionError):
        alone(_fails())


def _filled(sock: socket.socket) -> int:
    """Write until nothing more goes in; return how much that was."""
    full = 0
    with suppress(BlockingIOError):
        while True:
            full += sock.send(bytes(65_536))
    return full


def _fails() -> Steps[float]:
    yield Wait(0)
    return 1 / 0


def _read(sock: socket.socket, size: int) -> None:
    while size > 0:
        size -= len(sock.recv(min(size, 65_536)))
