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
def libraries() -> LibraryCache:
    """Return a memory whose stream is alive."""
    made = LibraryCache(160_000, clock=Clock())
    made.beat()
    return made


def kept(revision: int, value: Any = None) -> Kept:
    """Return a collection as of a revision."""
    return Kept(orjson.dumps(value), revision)


def keep(libraries: LibraryCache, user: str, revision: int, *names: str) -> None:
    """Ask for collections, and keep them."""
    for name in names or NAMES:
        libraries.keep(user, name, kept(revision), libraries.ticket())


def revisions(libraries: LibraryCache, user: str, least: int = 0) -> list[int | None]:
    """Return what is served to a user who knows of a revision."""
    found = [libraries.get(user, name, least) for name in NAMES]
    return [one and one.revision for one in found]


def test_write_when_it_is_answered_then_what_is_older_is_dropped_at_once(
    libraries: LibraryCache,
) -> None:
    """Promises 1 and 2: of that user, what is older; nothing older than the caller knows of."""
    keep(libraries, "ada", 3)
    keep(libraries, "ada", 5, "history")
    keep(libraries, "bob", 3)
    assert revisions(libraries, "ada", 4) == [None, None, 5]
    libraries.changed("ada", 5)
    assert revisions(libraries, "ada") == [None, None, 5]
    assert revisions(libraries, "bob") == [3, 3, 3]
    libraries.changed("ada", 4)  # it has come late
    keep(libraries, "ada", 4)
    assert revisions(libraries, "ada") == [None, None, 5]


def test_read_when_the_stream_is_silent_then_memory_does_not_answer() -> None:
    """Promise 3: what others wrote is seen within a second, or every request asks."""
    clock = Clock()
    libraries = LibraryCache(clock=clock)
    libraries.beat()
    keep(libraries, "ada", 3)
    clock.move(SILENCE_S - 0.01)
    assert revisions(libraries, "ada") == [3, 3, 3]
    clock.move(0.02)
    assert not libraries.alive()
    assert revisions(libraries, "ada") == [None, None, None]
    libraries.beat()  # it was late; nothing has changed meanwhile
    assert revisions(libraries, "ada") == [3, 3, 3]


@pytest.mark.parametrize("meanwhile", ["a change", "a gap", "a change that is forgotten"])
def test_answer_when_it_was_asked_for_before_a_change_or_a_gap_then_it_is_not_kept(
    libraries: LibraryCache, monkeypatch: pytest.MonkeyPatch, meanwhile: str
) -> None:
    """Promise 4: nobody knows whether it is current. A gap drops all, until a beat comes."""
    monkeypatch.setattr(module, "MOST_REVISIONS", 2)
    ticket = libraries.ticket()
    if meanwhile == "a gap":
        keep(libraries, "ada", 3)
        libraries.clear()
        assert (libraries.alive(), libraries.ticket()) == (False, None)
    else:
        for user in ("ada", "bob", "cyd")[: 1 if meanwhile == "a change" else 3]:
            libraries.changed(user, 4)
    libraries.beat()
    libraries.keep("ada", "favorites", kept(3), ticket)
    assert revisions(libraries, "ada") == [None, None, None]
    keep(libraries, "ada", 4)
    assert revisions(libraries, "ada") == [4, 4, 4]


def test_memory_when_answers_overtake_each_other_then_the_newer_one_stays(
    libraries: LibraryCache,
) -> None:
    """The same revision is as good; a number says that it is another value."""
    numbers = []
    for revision in (5, 4, 5):
        keep(libraries, "ada", revision)
        found = libraries.get("ada", "favorites")
        assert found is not None
        assert found.revision == 5
        numbers.append(found.number)
    assert numbers[0] == numbers[1] < numbers[2]


def test_memory_when_it_is_full_then_the_unused_go_and_the_bound_holds(
    libraries: LibraryCache,
) -> None:
    """In bytes; a library that would take a sixteenth of it is not kept."""
    users = [f"user{number}" for number in range(100)]
    for user in users:
        libraries.keep(user, "favorites", kept(1, "x" * 3598), libraries.ticket())
        assert libraries.get("user0", "favorites") is not None
    assert sum(libraries.get(user, "favorites") is not None for user in users) == 40
    for size, stays in ((9_998, True), (9_999, False)):
        libraries.keep(f"{size}", "history", kept(1, "x" * size), libraries.ticket())
        assert (libraries.get(f"{size}", "history") is not None) == stays
