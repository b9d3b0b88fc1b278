"""The retry budget against a model that keeps everything it ever saw."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from bff.upstream.recent import PARTS, Recent
from bff.upstream.retry import RetryBudget
from tests.upstream.tools import Clock, together

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("move"), st.sampled_from([0.0, 0.5, 1.0, 29.0, 59.0, 60.0, 61.0])),
        st.tuples(st.just("call"), st.integers(1, 40)),
        st.tuples(st.just("retry"), st.integers(1, 8)),
    ),
    max_size=30,
)


@settings(max_examples=100, deadline=None)
@given(STEPS)
def test_budget_when_used_in_any_way_then_is_that_of_the_model(
    steps: list[tuple[str, float]],
) -> None:
    """A retry is allowed while those of the last minute are below 10 % of its calls, or below 3.

    The minute begins with a whole second.
    """
    clock = Clock()
    budget = RetryBudget(clock=clock)
    calls: list[float] = []
    retries: list[float] = []
    for what, amount in steps:
        if what == "move":
            clock.move(amount)
            continue
        for _ in range(int(amount)):
            if what == "call":
                budget.call()
                calls.append(clock.now)
                continue
            since = clock.now // 1 - 60
            recent = [sum(at >= since for at in past) for past in (calls, retries)]
            allowed = recent[1] < max(3, recent[0] // 10)
            assert budget.retry() == allowed
            if allowed:
                retries.append(clock.now)


def test_budget_when_a_minute_fails_at_fifty_a_second_then_a_tenth_is_sent_again() -> None:
    """3,000 failed calls in a minute make at most 300 and 3 extra ones."""
    clock = Clock()
    budget = RetryBudget(clock=clock)
    extra = 0
    for _ in range(3000):
        budget.call()
        extra += budget.retry()
        clock.move(0.02)
    assert 290 <= extra <= 303


def test_budget_when_nothing_was_called_then_three_retries_are_left() -> None:
    """The least is there for a service with few calls."""
    budget = RetryBudget(clock=Clock())
    assert [budget.retry() for _ in range(5)] == [True, True, True, False, False]


def test_budget_when_threads_retry_at_once_then_no_retry_is_given_twice() -> None:
    """Twenty threads share three retries."""
    budget = RetryBudget(clock=Clock())
    assert sum(together(20, lambda _: budget.retry())) == 3


def test_budget_when_a_minute_has_passed_then_it_remembers_nothing() -> None:
    """What is out of the window takes no memory."""
    clock = Clock()
    budget = RetryBudget(clock=clock)
    for _ in range(1000):
        budget.call()
    clock.move(61)
    budget.call()
    assert budget._calls.count(clock()) == 1


@given(st.lists(st.floats(0, 40), max_size=200))
def test_recent_when_events_come_at_any_time_then_those_of_the_window_are_counted(
    pauses: list[float],
) -> None:
    """None of the last 30 s is missing, none is counted for more than one part longer."""
    recent, moments, now = Recent(30), [], 1_000.0
    for pause in pauses:
        now += pause
        moments.append(now)
        counted = recent.add(now)
        assert sum(at > now - 30 for at in moments) <= counted
        assert counted <= sum(at > now - 31 for at in moments)
    assert len(recent._counts) <= PARTS + 1
    recent.clear()
    assert recent.count(now) == 0
