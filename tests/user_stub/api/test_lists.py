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
# The lists that take a POST, with the name of an item and what only their items have.
LISTS = [("/favorites", "favorite", {"rating": None}), ("/watchlist", "watchlist_item", {})]
BODIES: list[tuple[str, dict[str, Any]]] = [
    ("/favorites", {}),
    ("/watchlist", {}),
    ("/history", {"progress": 0.5}),
]


def ids(client: FlaskClient, path: str) -> list[int]:
    """Return the ids of a list in its order."""
    document = client.get(path).json
    assert document is not None
    assert document["total"] == len(document[path[1:]])
    return [item["movie_id"] for item in document[path[1:]]]


@pytest.mark.parametrize(("path", "name", "own"), LISTS)
@pytest.mark.parametrize(("given", "rest"), [(FILM, {}), ({}, UNKNOWN)])
@time_machine.travel("2026-11-24T17:30:00Z", tick=False)
def test_post_when_the_film_is_new_then_201_with_its_address(
    client: FlaskClient, path: str, name: str, own: Any, given: Any, rest: Any
) -> None:
    """Add a film, with the facts that are given, and answer it as a later read does."""
    answer = client.post(path, json={"movie_id": 194, **given})

    expected = {"movie_id": 194, **given, **rest, **own, "added_date": "2026-11-24T17:30:00Z"}
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"{path}/194"
    assert answer.json == {"message": "added", name: expected}
    assert client.get(f"{path}/194").json == expected


@pytest.mark.parametrize(("path", "_name", "_own"), LISTS)
def test_post_when_the_film_is_there_then_409_and_it_stays(
    client: FlaskClient, path: str, _name: str, _own: Any
) -> None:
    """Refuse a film that is in the list and leave it as it is."""
    client.post(path, json={"movie_id": 194, "title": "first"})

    answer = client.post(path, json={"movie_id": 194, "title": "second"})

    assert assert_problem(answer, 409)["detail"] == "film 194 is in the list already"
    kept = client.get(f"{path}/194").json
    assert kept is not None
    assert kept["title"] == "first"


@pytest.mark.parametrize(("path", "_name", "_own"), LISTS)
def test_list_when_films_were_added_then_the_newest_is_first(
    client: FlaskClient, path: str, _name: str, _own: Any
) -> None:
    """Show the latest addition first, also among those of one moment."""
    client.delete("/clear")
    with time_machine.travel("2026-11-24T17:30:00Z", tick=False):
        for movie_id in (5, 9, 7):
            client.post(path, json={"movie_id": movie_id})
    with time_machine.travel("2026-11-24T17:31:00Z", tick=False):
        client.post(path, json={"movie_id": 1})

    assert ids(client, path) == [1, 7, 9, 5]


@pytest.mark.parametrize(("path", "name", "_own"), LISTS)
def test_put_when_repeated_then_201_and_200_without_a_change(
    client: FlaskClient, path: str, name: str, _own: Any
) -> None:
    """Add with the first PUT, change nothing with the same again."""
    first = client.put(f"{path}/194", json=FILM)
    second = client.put(f"{path}/194", json=FILM)

    assert (first.status_code, second.status_code) == (201, 200)
    assert first.headers["Location"] == f"{path}/194"
    assert first.json is not None
    assert second.json == {"message": "changed", name: first.json[name]}
    assert revision(second) == revision(first)


def test_put_when_the_body_is_partial_then_the_rest_stays(client: FlaskClient) -> None:
    """Change what the body names, in its place; null empties a value."""
    before = client.get("/favorites/155").json
    assert before is not None

    answer = client.put("/favorites/155", json={"rating": 2, "title": None})

    assert answer.json is not None
    assert answer.json["favorite"] == {**before, "rating": 2, "title": None}
    assert ids(client, "/favorites") == [550, 155, 13]


@pytest.mark.parametrize(("path", "body"), BODIES)
def test_put_when_the_film_must_be_there_then_it_is_changed_or_412(
    client: FlaskClient, path: str, body: dict[str, Any]
) -> None:
    """Add nothing where the caller asks for a change only (`If-Match: *`)."""
    condition = {"If-Match": "*"}
    missing = client.put(f"{path}/194", json={**body, **FILM}, headers=condition)
    client.put(f"{path}/194", json={**body, **FILM})
    there = client.put(f"{path}/194", json={**body, "title": "Other"}, headers=condition)

    assert_problem(missing, 412)
    assert there.status_code == 200
    item = client.get(f"{path}/194").json
    assert item is not None
    assert (item["title"], item["genres"]) == ("Other", FILM["genres"])


@pytest.mark.parametrize(("path", "body"), BODIES)
def test_put_when_the_film_must_not_be_there_then_it_is_added_or_412(
    client: FlaskClient, path: str, body: dict[str, Any]
) -> None:
    """Change nothing where the caller asks for an addition only (`If-None-Match: *`)."""
    condition = {"If-None-Match": "*"}
    new = client.put(f"{path}/194", json={**body, "title": "first"}, headers=condition)
    there = client.put(f"{path}/194", json={**body, "title": "second"}, headers=condition)

    assert new.status_code == 201
    assert_problem(there, 412)
    item = client.get(f"{path}/194").json
    assert item is not None
    assert item["title"] == "first"


@pytest.mark.parametrize(("path", "body"), BODIES)
def test_delete_when_the_film_is_there_then_it_is_answered_once(
    client: FlaskClient, path: str, body: dict[str, Any]
) -> None:
    """Remove a film and answer it; the second time there is nothing to remove."""
    client.put(f"{path}/194", json={**body, **FILM})
    item = client.get(f"{path}/194").json

    first = client.delete(f"{path}/194")
    second = client.delete(f"{path}/194")

    assert (first.status_code, first.json) == (200, {"message": "removed", "removed": item})
    assert assert_problem(second, 404)["detail"] == "film 194 is not in the list"
    assert_problem(client.get(f"{path}/194"), 404)


@time_machine.travel("2026-11-24T17:30:00Z", tick=False)
def test_history_put_when_a_film_is_begun_then_201_without_a_watched_date(
    client: FlaskClient,
) -> None:
    """Begin a film: it has progress and has not been watched yet."""
    answer = client.put("/history/194", json={"progress": 0.4, **FILM})

    dates = {"watched_date": None, "updated_date": "2026-11-24T17:30:00Z"}
    assert answer.status_code == 201
    assert answer.headers["Location"] == "/history/194"
    assert answer.json is not None
    assert answer.json["history_item"] == {"movie_id": 194, **FILM, "progress": 0.4, **dates}


@pytest.mark.parametrize(
    ("progress", "watched"), [(0, False), (0.949, False), (0.95, True), (1, True)]
)
def test_history_put_when_progress_reaches_095_then_the_film_is_watched(
    client: FlaskClient, progress: float, watched: bool
) -> None:
    """Count a film as watched from 0.95 on."""
    answer = client.put("/history/194", json={"progress": progress})

    assert answer.json is not None
    assert (answer.json["history_item"]["watched_date"] is not None) is watched


def test_history_put_when_a_film_is_begun_again_then_the_watched_date_stays(
    client: FlaskClient,
) -> None:
    """Keep the first watched date; the date of the update is always today's."""
    dates = []
    for minute, progress in enumerate((0.5, 0.97, 0.2, 1.0)):
        with time_machine.travel(f"2026-11-24T17:{minute:02}:00Z", tick=False):
            answer = client.put("/history/194", json={"progress": progress})
        assert answer.json is not None
        item = answer.json["history_item"]
        dates.append((item["watched_date"], item["updated_date"][14:16]))

    watched = "2026-11-24T17:01:00Z"
    assert dates == [(None, "00"), (watched, "01"), (watched, "02"), (watched, "03")]


def test_history_when_films_were_watched_then_the_latest_is_first(client: FlaskClient) -> None:
    """Order the history by the latest update."""
    for second, movie_id in enumerate((1, 2, 3, 1)):
        with time_machine.travel(f"2026-11-24T17:30:{second:02}Z", tick=False):
            client.put(f"/history/{movie_id}", json={"progress": 0.5})

    assert ids(client, "/history") == [1, 3, 2]


def test_users_when_one_writes_then_the_others_see_nothing_of_it(client: FlaskClient) -> None:
    """Keep users apart; one without data has empty lists."""
    ada, bob = {"X-User-Id": "ada"}, {"X-User-Id": "bob"}
    client.post("/favorites", json={"movie_id": 1}, headers=ada)

    read = client.get("/favorites", headers=ada).json

    assert read is not None
    assert [item["movie_id"] for item in read["favorites"]] == [1]
    assert client.get("/favorites", headers=bob).json == {"favorites": [], "total": 0}
    assert client.delete("/favorites/1", headers=bob).status_code == 404
    assert ids(client, "/favorites") == [550, 155, 13]


def test_clear_when_called_then_only_the_callers_data_goes(client: FlaskClient) -> None:
    """Remove all lists of the calling user, nobody else's."""
    client.put("/history/1", json={"progress": 1})

    client.delete("/clear", headers={"X-User-Id": "bob"})
    untouched = ids(client, "/favorites")
    answer = client.delete("/clear")

    assert answer.json == {"message": "all data removed"}
    assert untouched == [550, 155, 13]
    assert [ids(client, path) for path, _ in BODIES] == [[], [], []]


def test_reset_when_called_then_the_caller_has_the_sample(client: FlaskClient) -> None:
    """Replace the calling user's data with the sample, whoever it is."""
    ada = {"X-User-Id": "ada"}
    for path, body in BODIES:
        client.put(f"{path}/550", json={**body, "title": "other"}, headers=ada)

    answer = client.post("/reset", headers=ada)
    library = client.get("/library", headers=ada).json

    assert answer.json == {"message": "the sample data is back"}
    assert library is not None
    assert [(item["movie_id"], item["rating"]) for item in library["favorites"]] == [
        (550, 5),
        (155, 5),
        (13, 4),
    ]
    assert library["favorites"][0]["title"] == "Fight Club"
    assert [item["movie_id"] for item in library["watchlist"]] == [680, 27205]
    assert library["history"] == []


def test_library_when_read_then_it_has_all_lists_and_their_revision(client: FlaskClient) -> None:
    """Answer the lists as their own addresses do, with the revision in body and header."""
    client.put("/history/1", json={"progress": 0.5})

    answer = client.get("/library")

    lists = {path[1:]: (client.get(path).json or {})[path[1:]] for path, _ in BODIES}
    assert answer.json == {**lists, "revision": revision(answer)}


@pytest.mark.parametrize("path", ["/favorites", "/favorites/550", "/library", "/health"])
def test_head_when_get_is_answered_then_it_is_too_without_a_body(
    client: FlaskClient, path: str
) -> None:
    """Answer HEAD wherever GET is answered."""
    answer = client.head(path)

    assert (answer.status_code, answer.data) == (200, b"")
    assert int(answer.headers["Content-Length"]) > 0


def test_revision_when_something_changes_then_it_rises_by_one(client: FlaskClient) -> None:
    """Count one up per change, in the answer of the change and of every read after it."""
    seen = [revision(client.get("/favorites"))]
    changes: list[tuple[str, str, object]] = [
        ("POST", "/favorites", {"movie_id": 1}),
        ("PUT", "/favorites/1", {"rating": 3}),
        ("PUT", "/history/1", {"progress": 0.3}),
        ("PUT", "/history/1", {"progress": 0.3}),  # watched once more
        ("DELETE", "/favorites/1", None),
        ("POST", "/reset", None),
        ("DELETE", "/clear", None),
    ]
    for method, path, body in changes:
        seen.append(revision(client.open(path, method=method, json=body)))
        for read in ("/favorites", "/watchlist", "/history", "/library"):
            assert revision(client.get(read)) == seen[-1]

    assert seen == list(range(seen[0], seen[0] + 8))
    assert revision(client.get("/library", headers={"X-User-Id": "ada"})) == 0


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/favorites", {"movie_id": 550}, 409),
        ("PUT", "/favorites/550", {"rating": 5, "release_date": "1999-10-15"}, 200),
        ("PUT", "/favorites/550", {"genres": [{"id": 18, "name": "Drama"}]}, 200),
        ("PUT", "/watchlist/680", {}, 200),
        ("DELETE", "/favorites/1", None, 404),
        ("GET", "/favorites/1", None, 404),
    ],
)
def test_revision_when_nothing_changes_then_it_stays(
    client: FlaskClient, method: str, path: str, body: object, status: int
) -> None:
    """Answer the same revision where nothing has changed."""
    before = revision(client.get("/library"))

    answer = client.open(path, method=method, json=body)

    assert answer.status_code == status
    assert revision(answer) == before
    assert revision(client.get("/library")) == before


@pytest.mark.parametrize(
    "movie_id",
    ["0", "-1", str(2**31), str(2**63), "abc", "1.0", "05", "+5", "%205", "%D9%A5", "a%00b"],
)
@pytest.mark.parametrize(("path", "body"), BODIES)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_id_when_it_is_no_integer_in_range_then_422(
    client: FlaskClient, method: str, path: str, body: Any, movie_id: str
) -> None:
    """Refuse an id that is not an integer in range."""
    answer = client.open(
        f"{path}/{movie_id}", method=method, json=body if method == "PUT" else None
    )

    assert list(assert_problem(answer, 422)["errors"]) == ["movie_id"]
