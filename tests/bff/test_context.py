"""bff/context.py: the request at hand."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from typing import Any

from bff import context
from bff.context import Deadline, RequestContext, Timing


def test_deadline_when_it_lies_ahead_or_behind_then_the_sign_says_so() -> None:
    """Seconds that are left are negative once it has passed."""
    assert 9 < Deadline.after(10).left_s() <= 10
    assert Deadline.after(-1).left_s() <= -1


def test_current_when_there_is_no_request_then_it_is_endless() -> None:
    """Work outside of any request has a name for the log and no deadline."""
    nothing = contextvars.Context().run(context.current)

    assert nothing.request_id == "-"
    assert nothing.deadline.left_s() == float("inf")


def test_enter_when_another_thread_works_then_only_a_copied_context_sees_it() -> None:
    """A request belongs to its thread, unless a task copies its context."""
    seen: list[str] = []

    def look() -> None:
        seen.append(context.current().request_id)

    def bare(target: Callable[[], None]) -> None:
        target()

    def request() -> None:
        context.enter(RequestContext("mine", Deadline.after(1)))
        runs: list[Any] = [bare, contextvars.copy_context().run]
        for run in runs:
            thread = threading.Thread(target=run, args=(look,))
            thread.start()
            thread.join()

    contextvars.copy_context().run(request)

    assert seen == ["-", "mine"]


def test_within_when_the_request_has_less_time_then_the_deadline_does_not_grow() -> None:
    """A part of a request never has more time than the whole, and shares its timings."""
    request = RequestContext("r", Deadline.after(1))

    assert request.within(5).deadline.left_s() <= 1
    assert request.within(0.1).deadline.left_s() <= 0.1
    part = request.within(5)
    part.timings.append(Timing("tmdb", "popular", "ok"))
    assert request.timings == part.timings


def test_apart_when_work_is_for_others_too_then_it_has_time_of_its_own() -> None:
    """A shared call outlives who began it; in the background it adds nothing to an answer."""
    request = RequestContext("r", Deadline.after(0.01))
    shared = request.apart(5)
    behind = shared.behind()

    assert shared.deadline.left_s() > 4
    assert shared.timings is request.timings
    assert behind.timings is not request.timings
    assert (shared.background, behind.background) == (False, True)
    assert shared.request_id == behind.request_id == "r"
