"""The store: how a new database is prepared, and the same answers on each kind of database."""

from __future__ import annotations

import pytest

from tests.user_stub.conftest import MakeApp, in_parallel, revision
from user_stub.store import Store


@pytest.fixture
def database_url(any_database_url: str) -> str:
    """The address of a new database."""
    return any_database_url


def test_workers_when_they_start_together_then_one_makes_schema_and_sample(
    database_url: str,
) -> None:
    """Create tables and sample once where several workers meet on a new database."""
    stores = [Store(database_url, busy_timeout_s=30) for _ in range(6)]

    in_parallel(6, lambda number: stores[number].prepare())
    with stores[0].reading("demo-user-123") as lists:
        revision = lists.library.revision
    for store in stores:
        store.close()

    assert revision == 1


def test_start_when_the_database_was_used_then_it_keeps_the_data(make_app: MakeApp) -> None:
    """Add no sample to a database that has been used, not even to a cleared one."""
    make_app().test_client().delete("/clear")

    answer = make_app().test_client().get("/favorites")

    assert answer.json == {"favorites": [], "total": 0}


def test_lists_when_changed_then_each_database_answers_alike(make_app: MakeApp) -> None:
    """Add, change, read, remove, reset and clear."""
    client = make_app().test_client()
    film = {"movie_id": 1, "title": "Amélie 🎬", "release_date": "2001-04-25", "genres": []}

    sample = client.get("/favorites").json
    added = client.post("/favorites", json=film)
    changed = client.put("/favorites/1", json={"rating": 4})
    read = client.get("/favorites/1")
    watched = client.put("/history/1", json={"progress": 0.96})
    removed = client.delete("/favorites/1")
    missing = client.delete("/favorites/1")
    reset = client.post("/reset")
    cleared = client.delete("/clear")

    assert sample is not None
    assert [item["movie_id"] for item in sample["favorites"]] == [550, 155, 13]
    assert added.json is not None
    assert {**film, "rating": None}.items() <= added.json["favorite"].items()
    assert changed.json is not None
    assert changed.json["favorite"] == read.json == {**added.json["favorite"], "rating": 4}
    assert removed.json == {"message": "removed", "removed": read.json}
    assert watched.json is not None
    assert watched.json["history_item"]["watched_date"].endswith("Z")
    answers = [added, changed, watched, removed, missing, reset, cleared]
    assert [answer.status_code for answer in answers] == [201, 200, 201, 200, 404, 200, 200]
    assert [revision(answer) for answer in answers] == [2, 3, 4, 5, 5, 6, 7]
