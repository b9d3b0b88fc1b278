"""Users' collections in memory: never older than the caller's own write, and bounded."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from bff import library_cache as module
from bff.library_cache import SILENCE_S, Kept, LibraryCache
from tests.bff.upstream.tools import Clock

NAMES = ("favorites", "watchlist", "history")


@pytest.fixture
def clock() -> Clock:
    """A clock that is moved by hand."""
    return Clock()


@pytest.fixture
def libraries(clock: Clock) -> LibraryCache:
    """Return a memory whose stream is alive."""
    made = LibraryCache(clock=clock)
    made.beat()
    return made


def kept(revision: int, value: Any = None) -> Kept:
    """Return a collection as of a revision."""
    return Kept(orjson.dumps(value), revision)


def keep(libraries: LibraryCache, user: str, revision: int, *names: str) -> None:
    """Ask for collections, and keep them."""
    for name in names or NAMES:
        libraries.keep(user, name, kept(revision), libraries.ticket())


def revisions(libraries: LibraryCache, user: str) -> list[int | None]:
    """Return what is served to a user who knows of nothing."""
    found = [libraries.get(user, name) for name in NAMES]
    return [one and one.revision for one in found]


# -- the four promises of the module


def test_write_when_it_is_answered_then_what_is_older_is_dropped_at_once(
    libraries: LibraryCache,
) -> None:
    """The first promise: on the worker that wrote, of that user, and nothing that is newer."""
    keep(libraries, "ada", 3)
    keep(libraries, "ada", 5, "history")
    keep(libraries, "bob", 3)
    libraries.changed("ada", 5)
    assert revisions(libraries, "ada") == [None, None, 5]
    assert revisions(libraries, "bob") == [3, 3, 3]
    libraries.changed("ada", 4)  # it has come late
    keep(libraries, "ada", 4)
    assert revisions(libraries, "ada") == [None, None, 5]


def test_read_when_the_caller_knows_of_a_revision_then_nothing_older_is_given_out(
    libraries: LibraryCache,
) -> None:
    """The second promise: on any worker, whether it has heard of the write or not."""
    keep(libraries, "ada", 3)
    found = [libraries.get("ada", "favorites", least) for least in (0, 3, 4)]
    assert [one and one.revision for one in found] == [3, 3, None]


def test_read_when_the_stream_is_silent_then_memory_does_not_answer(
    libraries: LibraryCache, clock: Clock
) -> None:
    """The third promise: what others wrote is seen within a second, or every request asks."""
    keep(libraries, "ada", 3)
    clock.move(SILENCE_S - 0.01)
    assert revisions(libraries, "ada") == [3, 3, 3]
    clock.move(0.02)
    assert not libraries.alive()
    assert revisions(libraries, "ada") == [None, None, None]
    libraries.beat()  # it was late; nothing has changed meanwhile
    assert revisions(libraries, "ada") == [3, 3, 3]
    assert SILENCE_S + 0.25 < 1  # a beat is a quarter of a second old at the most


@pytest.mark.parametrize("meanwhile", ["a change", "a gap", "before the first beat", "forgotten"])
def test_answer_when_it_was_asked_for_before_a_change_or_a_gap_then_it_is_not_kept(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, meanwhile: str
) -> None:
    """The fourth promise: nobody knows whether it is current; the next answer is kept."""
    monkeypatch.setattr(module, "MOST_REVISIONS", 2)
    libraries = LibraryCache(clock=clock)
    if meanwhile != "before the first beat":
        libraries.beat()
    ticket = libraries.ticket()
    if meanwhile == "a change":
        libraries.changed("ada", 4)
    if meanwhile == "a gap":
        libraries.clear()
    if meanwhile == "forgotten":  # many others' changes have come after it
        for user in ("ada", "bob", "cyd"):
            libraries.changed(user, 4)
    libraries.beat()
    libraries.keep("ada", "favorites", kept(3), ticket)
    assert libraries.get("ada", "favorites") is None
    keep(libraries, "ada", 4)
    assert revisions(libraries, "ada") == [4, 4, 4]


# -- gaps, bounds, threads


def test_memory_when_the_stream_has_a_gap_then_all_is_forgotten(libraries: LibraryCache) -> None:
    """It is not used until a beat comes, and holds nothing of before then."""
    keep(libraries, "ada", 3)
    libraries.clear()
    assert (libraries.alive(), libraries.ticket()) == (False, None)
    libraries.beat()
    assert libraries.alive()
    assert revisions(libraries, "ada") == [None, None, None]


def test_memory_when_answers_overtake_each_other_then_the_newer_one_stays(
    libraries: LibraryCache,
) -> None:
    """The same revision is as good; a number says that it is another value."""
    keep(libraries, "ada", 5)
    keep(libraries, "ada", 4)
    assert revisions(libraries, "ada") == [5, 5, 5]
    before = libraries.get("ada", "favorites")
    keep(libraries, "ada", 5)
    after = libraries.get("ada", "favorites")
    assert before == after
    assert before is not None
    assert after is not None
    assert after.number > before.number


def test_memory_when_it_is_full_then_the_unused_go_and_the_bound_holds(clock: Clock) -> None:
    """In bytes; a library that would take a sixteenth of it is not kept."""
    libraries = LibraryCache(160_000, clock)
    libraries.beat()
    users = [f"user{number}" for number in range(100)]
    for user in users:
        libraries.keep(user, "favorites", kept(1, "x" * 3598), libraries.ticket())
        assert libraries.get("user0", "favorites") is not None
    assert sum(libraries.get(user, "favorites") is not None for user in users) == 40
    for size, stays in ((9_998, True), (9_999, False)):
        libraries.keep(f"{size}", "history", kept(1, "x" * size), libraries.ticket())
        assert (libraries.get(f"{size}", "history") is not None) == stays
