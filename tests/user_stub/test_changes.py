"""The log of changes: what is in it, what is read from it, and what is dropped."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator

import pytest
import time_machine
from sqlalchemy import delete, select

from tests.user_stub.conftest import MakeApp, assert_problem, execute
from user_stub import changes
from user_stub.models import Library, LibraryChange
from user_stub.store import Store

NOW = dt.datetime(2026, 11, 24, 12, tzinfo=dt.UTC)
OLD, YOUNG = dt.timedelta(hours=2), dt.timedelta(minutes=59)


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """A store whose log is empty, 101 numbers before the next cut."""
    store = Store(database_url, busy_timeout_s=30)
    store.prepare()
    with store.database.writing() as session:
        session.execute(delete(LibraryChange))
    yield store
    store.close()


def log(store: Store, ages: list[dt.timedelta], first: int = 1) -> None:
    """Add one change per age, in this order, numbered from `first` on."""
    with store.database.writing() as session:
        session.add_all(
            LibraryChange(seq=seq, user_id="ada", revision=seq, at=NOW - age)
            for seq, age in enumerate(ages, first)
        )


def seqs_after_a_write(store: Store) -> list[int]:
    """Write once, at a number at which the log is cut; return the numbers that are left."""
    with time_machine.travel(NOW, tick=False), store.writing("ada") as lists:
        lists.reset()
    with store.database.reading() as session:
        return list(session.scalars(select(LibraryChange.seq).order_by(LibraryChange.seq)))


def test_log_when_changes_are_old_then_the_last_thousand_stay(store: Store) -> None:
    """Keep 1,000 however old they are."""
    log(store, [OLD] * 1099)

    assert seqs_after_a_write(store) == list(range(101, 1101))


def test_log_when_changes_are_young_then_all_stay(store: Store) -> None:
    """Keep an hour's changes however many they are."""
    log(store, [OLD] * 3 + [YOUNG] * 1096)

    assert seqs_after_a_write(store) == list(range(4, 1101))


def test_log_when_clocks_differ_then_no_hole_is_made(store: Store) -> None:
    """Drop from the old end only: what a slow clock has dated stays behind a younger one."""
    log(store, [OLD, YOUNG, OLD, *[YOUNG] * 1096])

    assert seqs_after_a_write(store) == list(range(2, 1101))


def test_log_when_the_number_is_no_hundred_then_nothing_is_dropped(store: Store) -> None:
    """Cut the log once in a hundred changes."""
    log(store, [OLD] * 1098)

    assert len(seqs_after_a_write(store)) == 1099


def test_after_when_numbers_are_missing_then_the_rest_is_complete(store: Store) -> None:
    """Take a number that a rollback has used up for no loss."""
    log(store, [YOUNG])
    log(store, [YOUNG] * 2, first=3)

    with store.database.reading() as session:
        found = changes.after(session, 1)

    assert found is not None
    assert [each.seq for each in found] == [3, 4]


@pytest.mark.parametrize(("seq", "found"), [(0, None), (2, None), (77, None), (3, [4]), (4, [])])
def test_after_when_the_log_was_cut_then_only_what_is_whole_is_answered(
    store: Store, seq: int, found: list[int] | None
) -> None:
    """Return None where changes are missing, and where the number is from another state."""
    log(store, [YOUNG] * 2, first=3)

    with store.database.reading() as session:
        answer = changes.after(session, seq)

    assert (None if answer is None else [each.seq for each in answer]) == found


def test_write_when_its_change_fails_then_nothing_is_committed(
    make_app: MakeApp, database_url: str
) -> None:
    """Commit the change of a library and its number together, or neither."""
    client = make_app().test_client()
    execute(
        database_url,
        "CREATE TRIGGER broken BEFORE INSERT ON changes WHEN NEW.user_id = 'ada'"
        " BEGIN SELECT RAISE(ABORT, 'broken'); END",
    )
    ada = {"X-User-Id": "ada"}

    assert_problem(client.put("/favorites/1", json={}, headers=ada), 500)

    library = client.get("/library", headers=ada).json
    assert library is not None
    assert (library["favorites"], library["revision"]) == ([], 0)


@pytest.mark.e2e
def test_append_when_another_change_is_not_committed_then_it_waits_for_its_number(
    postgresql_url: str,
) -> None:
    """Give no number while an earlier one is not visible, or a reader would pass it by."""
    store = Store(postgresql_url, busy_timeout_s=30)
    store.prepare()

    def append(user: str) -> None:
        with store.database.writing() as session:
            changes.append(session, Library(user_id=user, revision=1))
            order.append(user)

    order: list[str] = []
    writer = threading.Thread(target=append, args=["fast"])
    with store.database.writing() as session:
        changes.append(session, Library(user_id="slow", revision=1))
        writer.start()
        writer.join(0.2)  # long enough to pass, if it did not wait
        order.append("slow")
    writer.join()
    with store.database.reading() as session:
        users = session.scalars(select(LibraryChange.user_id).order_by(LibraryChange.seq)).all()
    store.close()

    assert order == ["slow", "fast"]
    assert users[1:] == ["slow", "fast"]
