"""The log of changes: what is in it, what is read from it, and what is dropped."""

from __future__ import annotations

import datetime as dt
import threading

import pytest
import time_machine
from sqlalchemy import delete, select

from tests.user_stub.conftest import MakeApp, assert_problem, execute
from user_stub import changes
from user_stub.models import Library, LibraryChange
from user_stub.store import Store

NOW = dt.datetime(2026, 11, 24, 12, tzinfo=dt.UTC)
OLD, YOUNG = dt.timedelta(hours=2), dt.timedelta(minutes=59)


def fill(store: Store, ages: list[dt.timedelta], first: int = 1) -> None:
    """Let the log hold one change per age, in this order, numbered from `first` on."""
    with store.database.writing() as session:
        session.execute(delete(LibraryChange))
        session.add_all(
            LibraryChange(seq=seq, user_id="ada", revision=seq, at=NOW - age)
            for seq, age in enumerate(ages, first)
        )


@pytest.mark.parametrize(
    ("ages", "first_kept"),
    [
        pytest.param([OLD] * 1099, 101, id="the-last-thousand-stay"),
        pytest.param([OLD] * 3 + [YOUNG] * 1096, 4, id="an-hours-changes-stay"),
        pytest.param([OLD, YOUNG, OLD, *[YOUNG] * 1096], 2, id="no-hole-is-made"),
        pytest.param([OLD] * 1098, 1, id="only-once-in-a-hundred"),
    ],
)
def test_log_when_a_change_is_appended_then_old_ones_are_dropped(
    store: Store, ages: list[dt.timedelta], first_kept: int
) -> None:
    """Keep an hour and the last 1,000; drop at the old end only, though clocks may differ."""
    fill(store, ages)
    with time_machine.travel(NOW, tick=False), store.writing("ada") as lists:
        lists.reset()

    with store.database.reading() as session:
        seqs = session.scalars(select(LibraryChange.seq).order_by(LibraryChange.seq)).all()

    assert seqs == list(range(first_kept, len(ages) + 2))


@pytest.mark.parametrize(("seq", "found"), [(0, None), (2, None), (77, None), (3, [5]), (5, [])])
def test_after_when_one_is_gone_then_none(store: Store, seq: int, found: list[int] | None) -> None:
    """Answer what is whole; a number that a rollback has used up is no loss."""
    fill(store, [YOUNG] * 3, first=3)
    with store.database.writing() as session:
        session.execute(delete(LibraryChange).where(LibraryChange.seq == 4))

    with store.database.reading() as session:
        answer = changes.after(session, seq)

    assert (None if answer is None else [each.seq for each in answer]) == found


def test_write_when_the_log_fails_then_undone(make_app: MakeApp, database_url: str) -> None:
    """Commit the change of a library and its number together, or neither."""
    client = make_app().test_client()
    execute(
        database_url,
        "CREATE TRIGGER broken BEFORE INSERT ON changes BEGIN SELECT RAISE(ABORT, 'broken'); END",
    )
    before = client.get("/library").json

    assert_problem(client.put("/favorites/1", json={}), 500)

    assert client.get("/library").json == before


@pytest.mark.e2e
def test_append_when_another_is_uncommitted_then_it_waits(postgresql_url: str) -> None:
    """Give no number while an earlier one is not visible, or a reader would pass it by."""
    store = Store(postgresql_url, busy_timeout_s=30)
    store.prepare()
    order: list[str] = []

    def append(user: str) -> None:
        with store.database.writing() as session:
            changes.append(session, Library(user_id=user, revision=1))
            order.append(user)

    writer = threading.Thread(target=append, args=["fast"])
    with store.database.writing() as session:
        changes.append(session, Library(user_id="slow", revision=1))
        writer.start()
        writer.join(0.2)  # long enough to pass, if it did not wait
        order.append("slow")
    writer.join()
    store.close()

    assert order == ["slow", "fast"]
