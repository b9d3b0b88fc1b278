"""The store: how a new database is prepared, and the same answers on each kind of database."""

from __future__ import annotations

from typing import Any

from tests.user_stub.conftest import MakeApp, in_parallel, revision
from user_stub.store import Store


def test_workers_when_they_start_together_then_one_prepares(any_database_url: str) -> None:
    """Create tables and sample once where several workers meet on a new database."""
    stores = [Store(any_database_url, busy_timeout_s=30) for _ in range(6)]

    in_parallel(6, lambda number: stores[number].prepare())

    with stores[0].reading("demo-user-123") as lists:
        assert lists.library.revision == 1
    for store in stores:
        store.close()


def test_start_when_the_database_was_used_then_it_keeps_the_data(make_app: MakeApp) -> None:
    """Add no sample to a database that has been used, not even to a cleared one."""
    make_app().test_client().delete("/clear")

    assert make_app().test_client().get("/favorites").json == {"favorites": [], "total": 0}


def test_lists_when_changed_then_databases_agree(make_app: MakeApp, any_database_url: str) -> None:
    """Add, change, read, remove, reset and clear."""
    client = make_app(database_url=any_database_url).test_client()
    film = {"movie_id": 1, "title": "Amélie 🎬", "release_date": "2001-04-25", "genres": []}

    sample: Any = client.get("/favorites").json
    answers = [
        added := client.post("/favorites", json=film),
        client.put("/favorites/1", json={"rating": 4}),
        client.put("/history/1", json={"progress": 0.96}),
        removed := client.delete("/favorites/1"),
        client.delete("/favorites/1"),
        client.post("/reset"),
        client.delete("/clear"),
    ]

    assert [item["movie_id"] for item in sample["favorites"]] == [550, 155, 13]
    favorite = (added.json or {})["favorite"]
    assert film.items() <= favorite.items()
    assert removed.json == {"message": "removed", "removed": {**favorite, "rating": 4}}
    assert [answer.status_code for answer in answers] == [201, 200, 201, 200, 404, 200, 200]
    assert [revision(answer) for answer in answers] == [2, 3, 4, 5, 5, 6, 7]
