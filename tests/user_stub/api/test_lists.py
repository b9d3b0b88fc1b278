"""The operations on a user's lists: what each does and answers."""

from __future__ import annotations

from typing import Any

import pytest
import time_machine
from flask.testing import FlaskClient

from tests.user_stub.conftest import assert_problem, revision

FILM: dict[str, Any] = {
    "title": "Amélie",
    "poster_path": "/oTKduWL2tpIKEmkAqF4mFEAWAsv.jpg",
    "release_date": "2001-04-25",
    "genres": [{"id": 35, "name": "Comedy"}, {"id": 10749, "name": "Romance"}],
}
UNKNOWN = {"title": None, "poster_path": None, "release_date": None, "genres": []}
NOW = "2026-11-24T17:30:00Z"
# Per list: the name of an item, what a PUT needs, and what only its items have.
LISTS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "/favorites": ("favorite", {}, {"rating": None, "added_date": NOW}),
    "/watchlist": ("watchlist_item", {}, {"added_date": NOW}),
    "/history": (
        "history_item",
        {"progress": 0.5},
        {"progress": 0.5, "watched_date": None, "updated_date": NOW},
    ),
}
each_list = pytest.mark.parametrize("path", LISTS)


def ids(client: FlaskClient, path: str) -> list[int]:
    """Return the ids of a list in its order."""
    document: Any = client.get(path).json
    assert document["total"] == len(document[path[1:]])
    return [item["movie_id"] for item in document[path[1:]]]


@pytest.mark.parametrize(("given", "rest"), [(FILM, {}), ({}, UNKNOWN)])
@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/favorites"), ("POST", "/watchlist"), *(("PUT", path) for path in LISTS)],
)
@time_machine.travel(NOW, tick=False)
def test_film_when_it_is_new_then_201_with_its_address(
    client: FlaskClient, method: str, path: str, given: Any, rest: Any
) -> None:
    """Add a film with the facts that are given, and answer it as a later read does."""
    name, body, own = LISTS[path]
    if method == "POST":
        answer = client.post(path, json={"movie_id": 194, **given})
    else:
        answer = client.put(f"{path}/194", json={**body, **given})

    expected = {"movie_id": 194, **given, **rest, **own}
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"{path}/194"
    assert answer.json == {"message": "added", name: expected}
    assert client.get(f"{path}/194").json == expected


@pytest.mark.parametrize("path", ["/favorites", "/watchlist"])
def test_post_when_the_film_is_there_then_409_and_it_stays(client: FlaskClient, path: str) -> None:
    """Refuse a film that is in the list and leave it as it is."""
    client.post(path, json={"movie_id": 194, "title": "first"})

    answer = client.post(path, json={"movie_id": 194, "title": "second"})

    assert assert_problem(answer, 409)["detail"] == "film 194 is in the list already"
    kept: Any = client.get(f"{path}/194").json
    assert kept["title"] == "first"


@each_list
def test_list_when_films_were_added_then_newest_first(client: FlaskClient, path: str) -> None:
    """Show what was added or watched last first, also among those of one moment."""
    client.delete("/clear")
    for second, movie_id in ((10, 5), (10, 9), (10, 7), (20, 1), (30, 9)):
        with time_machine.travel(f"2026-11-24T17:30:{second}Z", tick=False):
            client.put(f"{path}/{movie_id}", json=LISTS[path][1])

    assert ids(client, path) == ([9, 1, 7, 5] if path == "/history" else [1, 7, 9, 5])


def test_put_when_the_body_is_partial_then_the_rest_stays(client: FlaskClient) -> None:
    """Change what the body names, in its place; null empties a value."""
    before: Any = client.get("/favorites/155").json

    answer = client.put("/favorites/155", json={"rating": 2, "title": None})

    changed = {**before, "rating": 2, "title": None}
    assert answer.json == {"message": "changed", "favorite": changed}
    assert ids(client, "/favorites") == [550, 155, 13]


@each_list
def test_put_when_it_has_a_condition_then_it_holds_or_412(client: FlaskClient, path: str) -> None:
    """Only change with `If-Match: *`, only add with `If-None-Match: *`."""
    address, body = f"{path}/194", LISTS[path][1]
    calls = [
        ("If-Match", "first", 412),
        ("If-None-Match", "second", 201),
        ("If-None-Match", "third", 412),
        ("If-Match", "fourth", 200),
    ]
    for header, title, status in calls:
        answer = client.put(address, json={**body, "title": title}, headers={header: "*"})
        assert answer.status_code == status
        if status == 412:
            assert_problem(answer, 412)
        else:
            kept: Any = client.get(address).json
            assert kept["title"] == title


@each_list
def test_delete_when_the_film_is_there_then_once(client: FlaskClient, path: str) -> None:
    """Remove a film and answer it; the second time there is nothing to remove."""
    client.put(f"{path}/194", json={**LISTS[path][1], **FILM})
    item = client.get(f"{path}/194").json

    first = client.delete(f"{path}/194")

    assert (first.status_code, first.json) == (200, {"message": "removed", "removed": item})
    for again in (client.delete(f"{path}/194"), client.get(f"{path}/194")):
        assert assert_problem(again, 404)["detail"] == "film 194 is not in the list"


def test_history_when_progress_reaches_095_then_watched(client: FlaskClient) -> None:
    """Keep the date at which progress first was 0.95 or more; the update's is always today's."""
    dates = []
    for minute, progress in enumerate((0, 0.949, 0.95, 0.2, 1)):
        with time_machine.travel(f"2026-11-24T17:{minute:02}:00Z", tick=False):
            item: Any = client.put("/history/194", json={"progress": progress}).json
        dates.append((item["history_item"]["watched_date"], item["history_item"]["updated_date"]))

    watched = "2026-11-24T17:02:00Z"
    assert [date for date, _ in dates] == [None, None, watched, watched, watched]
    assert [date for _, date in dates] == [f"2026-11-24T17:0{minute}:00Z" for minute in range(5)]


def test_users_when_one_writes_then_the_others_see_nothing_of_it(client: FlaskClient) -> None:
    """Keep users apart; one without data has empty lists and revision 0."""
    ada, bob = {"X-User-Id": "ada"}, {"X-User-Id": "bob"}
    client.post("/favorites", json={"movie_id": 1}, headers=ada)

    assert client.delete("/favorites/1", headers=bob).status_code == 404
    client.delete("/clear", headers=bob)

    read: Any = client.get("/favorites", headers=ada).json
    empty = client.get("/favorites", headers=bob)
    assert [item["movie_id"] for item in read["favorites"]] == [1]
    assert (empty.json, revision(empty)) == ({"favorites": [], "total": 0}, 0)
    assert ids(client, "/favorites") == [550, 155, 13]


def test_clear_and_reset_when_called_then_all_is_replaced(client: FlaskClient) -> None:
    """Remove all lists of the calling user; replace them with the sample, whoever it is."""
    client.environ_base["HTTP_X_USER_ID"] = "ada"
    for path, (_, body, _) in LISTS.items():
        client.put(f"{path}/550", json={**body, "title": "other"})

    reset = client.post("/reset")
    library: Any = client.get("/library").json
    clear = client.delete("/clear")

    assert reset.json == {"message": "the sample data is back"}
    ratings = [(item["movie_id"], item["rating"]) for item in library["favorites"]]
    assert ratings == [(550, 5), (155, 5), (13, 4)]
    assert library["favorites"][0]["title"] == "Fight Club"
    assert [item["movie_id"] for item in library["watchlist"]] == [680, 27205]
    assert library["history"] == []
    assert clear.json == {"message": "all data removed"}
    assert [ids(client, path) for path in LISTS] == [[], [], []]


def test_library_when_read_then_it_has_all_lists_and_their_revision(client: FlaskClient) -> None:
    """Answer the lists as their own addresses do, with the revision in body and header."""
    client.put("/history/1", json={"progress": 0.5})

    answer = client.get("/library")

    lists = {path[1:]: (client.get(path).json or {})[path[1:]] for path in LISTS}
    assert answer.json == {**lists, "revision": revision(answer)}


def test_head_when_get_is_answered_then_it_is_too(client: FlaskClient) -> None:
    """Answer HEAD wherever GET is answered, without a body."""
    for path in ("/favorites", "/favorites/550", "/library", "/health"):
        answer = client.head(path)

        assert (answer.status_code, answer.data) == (200, b"")
        assert int(answer.headers["Content-Length"]) > 0


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "changes"),
    [
        ("POST", "/favorites", {"movie_id": 1}, 201, 1),
        ("PUT", "/favorites/550", {"rating": 3}, 200, 1),
        ("PUT", "/history/1", {"progress": 0.3}, 201, 1),
        ("DELETE", "/favorites/550", None, 200, 1),
        ("POST", "/reset", None, 200, 1),
        ("DELETE", "/clear", None, 200, 1),
        ("POST", "/favorites", {"movie_id": 550}, 409, 0),
        ("PUT", "/favorites/550", {"rating": 5, "release_date": "1999-10-15"}, 200, 0),
        ("PUT", "/favorites/550", {"genres": [{"id": 18, "name": "Drama"}]}, 200, 0),
        ("PUT", "/watchlist/680", {}, 200, 0),
        ("DELETE", "/favorites/1", None, 404, 0),
        ("GET", "/favorites/1", None, 404, 0),
    ],
)
def test_revision_when_something_changes_then_it_rises_by_one(
    client: FlaskClient, method: str, path: str, body: object, status: int, changes: int
) -> None:
    """Count one up per change, in its answer and in every read after it."""
    before = revision(client.get("/library"))

    answer = client.open(path, method=method, json=body)

    assert answer.status_code == status
    assert revision(answer) == before + changes
    for read in ("/library", *LISTS):
        assert revision(client.get(read)) == before + changes


def test_revision_when_a_film_is_watched_as_before_then_it_rises(client: FlaskClient) -> None:
    """Take a repeated PUT of the history for a change: the film was watched just now."""
    revisions = [revision(client.put("/history/1", json={"progress": 0.3})) for _ in range(2)]

    assert revisions[1] == revisions[0] + 1


@each_list
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_id_when_it_is_wrong_then_422(client: FlaskClient, method: str, path: str) -> None:
    """Refuse an id that is not an integer in range."""
    body = LISTS[path][1] if method == "PUT" else None
    wrong = ["0", "-1", str(2**31), str(2**63), "abc", "1.0", "05", "+5"]
    for movie_id in [*wrong, "%205", "%D9%A5", "a%00b"]:
        answer = client.open(f"{path}/{movie_id}", method=method, json=body)

        assert list(assert_problem(answer, 422)["errors"]) == ["movie_id"]
