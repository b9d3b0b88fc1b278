"""The lists: what each operation does and answers."""

from __future__ import annotations

from typing import Any

import pytest
import time_machine
from flask.testing import FlaskClient

FILM: dict[str, Any] = {
    "title": "Amélie",
    "poster_path": "/oTKduWL2tpIKEmkAqF4mFEAWAsv.jpg",
    "release_date": "2001-04-25",
    "genres": [{"id": 35, "name": "Comedy"}, {"id": 10749, "name": "Romance"}],
}
LISTS = [("/favorites", "favorite", "favorites"), ("/watchlist", "watchlist_item", "watchlist")]


def ids(client: FlaskClient, path: str) -> list[int]:
    """Return the ids of a list in its order."""
    document = client.get(path).json
    assert document is not None
    assert document["total"] == len(document[path[1:]])
    return [item["movie_id"] for item in document[path[1:]]]


def test_new_database_holds_the_sample(client: FlaskClient) -> None:
    """Start with the sample of the demo user, films with their facts."""
    favorites = client.get("/favorites").json
    assert favorites is not None
    found = [(item["movie_id"], item["rating"]) for item in favorites["favorites"]]

    assert found == [(550, 5), (155, 5), (13, 4)]
    assert ids(client, "/watchlist") == [680, 27205]
    assert ids(client, "/history") == []
    fight_club = client.get("/favorites/550").json
    assert fight_club is not None
    assert fight_club["title"] == "Fight Club"
    assert fight_club["release_date"] == "1999-10-15"
    assert fight_club["genres"] == [{"id": 18, "name": "Drama"}]
    assert fight_club["poster_path"].endswith(".jpg")


@pytest.mark.parametrize(("path", "name", "_plural"), LISTS)
@time_machine.travel("2026-11-24T17:30:00Z", tick=False)
def test_post_new_film_is_201_with_location(
    client: FlaskClient, path: str, name: str, _plural: str
) -> None:
    """Add a film, answer 201 with its address and the item."""
    answer = client.post(path, json={"movie_id": 194, **FILM})

    assert answer.status_code == 201
    assert answer.headers["Location"] == f"{path}/194"
    assert answer.json is not None
    assert answer.json["message"] == "added"
    expected = {"movie_id": 194, **FILM, "added_date": "2026-11-24T17:30:00Z"}
    if name == "favorite":
        expected["rating"] = None
    assert answer.json[name] == expected
    assert client.get(f"{path}/194").json == expected


@pytest.mark.parametrize(("path", "name", "_plural"), LISTS)
def test_post_id_alone_leaves_the_rest_empty(
    client: FlaskClient, path: str, name: str, _plural: str
) -> None:
    """Add a film of which only the id is known."""
    answer = client.post(path, json={"movie_id": 194})

    assert answer.status_code == 201
    assert answer.json is not None
    item = answer.json[name]
    assert (item["title"], item["poster_path"], item["release_date"]) == (None, None, None)
    assert item["genres"] == []


def test_post_whole_number_with_a_decimal_point_is_an_integer(client: FlaskClient) -> None:
    """Read 7.0 as the integer that it is in JSON Schema."""
    answer = client.post("/favorites", json={"movie_id": 7.0, "rating": 4.0})

    assert answer.status_code == 201
    assert b'"movie_id":7,' in answer.data


@pytest.mark.parametrize(("path", "_name", "_plural"), LISTS)
def test_post_film_again_is_409_and_keeps_the_first(
    client: FlaskClient, path: str, _name: str, _plural: str
) -> None:
    """Refuse a film that is in the list and leave it as it is."""
    client.post(path, json={"movie_id": 194, "title": "first"})

    answer = client.post(path, json={"movie_id": 194, "title": "second"})

    assert answer.status_code == 409
    assert answer.content_type == "application/problem+json"
    kept = client.get(f"{path}/194").json
    assert kept is not None
    assert kept["title"] == "first"


@pytest.mark.parametrize(("path", "_name", "_plural"), LISTS)
def test_list_is_ordered_newest_first(
    client: FlaskClient, path: str, _name: str, _plural: str
) -> None:
    """Show the latest addition first, also among those of one moment."""
    client.delete("/clear")
    with time_machine.travel("2026-11-24T17:30:00Z", tick=False):
        client.post(path, json={"movie_id": 5})
        client.post(path, json={"movie_id": 9})
        client.post(path, json={"movie_id": 7})
    with time_machine.travel("2026-11-24T17:31:00Z", tick=False):
        client.post(path, json={"movie_id": 1})

    assert ids(client, path) == [1, 7, 9, 5]


@pytest.mark.parametrize(("path", "name", "_plural"), LISTS)
def test_put_new_film_is_201_then_200(
    client: FlaskClient, path: str, name: str, _plural: str
) -> None:
    """Add with the first PUT, change nothing with the same again."""
    first = client.put(f"{path}/194", json=FILM)
    second = client.put(f"{path}/194", json=FILM)

    assert (first.status_code, second.status_code) == (201, 200)
    assert first.headers["Location"] == f"{path}/194"
    assert first.json is not None
    assert second.json is not None
    assert first.json[name] == second.json[name]
    assert first.headers["X-Library-Revision"] == second.headers["X-Library-Revision"]


def test_put_partial_body_keeps_the_rest(client: FlaskClient) -> None:
    """Change what the body names; null empties a value."""
    before = client.get("/favorites/155").json
    assert before is not None

    answer = client.put("/favorites/155", json={"rating": 2, "title": None})

    assert answer.json is not None
    assert answer.json["favorite"] == {**before, "rating": 2, "title": None}
    assert ids(client, "/favorites") == [550, 155, 13]


@pytest.mark.parametrize(
    ("path", "body"), [("/favorites", {}), ("/watchlist", {}), ("/history", {"progress": 0.5})]
)
def test_put_of_a_film_that_must_be_there_changes_it_or_is_412(
    client: FlaskClient, path: str, body: dict[str, Any]
) -> None:
    """Add nothing where the caller asks for a change only."""
    condition = {"If-Match": "*"}
    missing = client.put(f"{path}/194", json={**body, **FILM}, headers=condition)
    client.put(f"{path}/194", json={**body, **FILM})
    there = client.put(f"{path}/194", json={**body, "title": "Other"}, headers=condition)

    assert missing.status_code == 412
    assert missing.content_type == "application/problem+json"
    assert there.status_code == 200
    item = client.get(f"{path}/194").json
    assert item is not None
    assert (item["title"], item["genres"]) == ("Other", FILM["genres"])


def test_put_of_a_film_that_must_not_be_there_adds_it_or_is_412(client: FlaskClient) -> None:
    """Change nothing where the caller asks for a new entry only."""
    condition = {"If-None-Match": "*"}
    new = client.put("/favorites/194", json={"rating": 2, **FILM}, headers=condition)
    there = client.put("/favorites/194", json={"rating": 4, **FILM}, headers=condition)

    assert (new.status_code, there.status_code) == (201, 412)
    item = client.get("/favorites/194").json
    assert item is not None
    assert item["rating"] == 2


@pytest.mark.parametrize("name", ["If-Match", "If-None-Match"])
def test_put_with_a_tag_is_422(client: FlaskClient, name: str) -> None:
    """Refuse a condition that cannot be judged."""
    answer = client.put("/favorites/550", json={}, headers={name: '"a"'})

    assert answer.status_code == 422
    assert answer.json is not None
    assert list(answer.json["errors"]) == [name]


@pytest.mark.parametrize(("path", "_name", "_plural"), LISTS)
def test_delete_answers_what_was_removed_then_404(
    client: FlaskClient, path: str, _name: str, _plural: str
) -> None:
    """Remove a film once; the second time there is nothing to remove."""
    client.post(path, json={"movie_id": 194, **FILM})
    item = client.get(f"{path}/194").json

    first = client.delete(f"{path}/194")
    second = client.delete(f"{path}/194")

    assert first.status_code == 200
    assert first.json == {"message": "removed", "removed": item}
    assert second.status_code == 404
    assert second.content_type == "application/problem+json"
    assert client.get(f"{path}/194").status_code == 404


@time_machine.travel("2026-11-24T17:30:00Z", tick=False)
def test_history_put_sets_progress(client: FlaskClient) -> None:
    """Begin a film: no watched date yet."""
    answer = client.put("/history/194", json={"progress": 0.4, **FILM})

    assert answer.status_code == 201
    assert answer.headers["Location"] == "/history/194"
    assert answer.json is not None
    assert answer.json["history_item"] == {
        "movie_id": 194,
        **FILM,
        "progress": 0.4,
        "watched_date": None,
        "updated_date": "2026-11-24T17:30:00Z",
    }


@pytest.mark.parametrize(
    ("progress", "watched"), [(0, False), (0.949, False), (0.95, True), (1, True)]
)
def test_history_watched_date_is_set_from_095_on(
    client: FlaskClient, progress: float, watched: bool
) -> None:
    """Count a film as watched when progress reaches 0.95."""
    answer = client.put("/history/194", json={"progress": progress})

    assert answer.json is not None
    assert (answer.json["history_item"]["watched_date"] is not None) is watched


def test_history_watched_date_is_kept(client: FlaskClient) -> None:
    """Keep the first watched date when the film is begun again or watched again."""
    dates = []
    for minute, progress in enumerate((0.5, 0.97, 0.2, 1.0)):
        with time_machine.travel(f"2026-11-24T17:{minute:02}:00Z", tick=False):
            answer = client.put("/history/194", json={"progress": progress})
        assert answer.json is not None
        item = answer.json["history_item"]
        dates.append((item["watched_date"], item["updated_date"][14:16]))

    watched = "2026-11-24T17:01:00Z"
    assert dates == [(None, "00"), (watched, "01"), (watched, "02"), (watched, "03")]


def test_history_is_ordered_by_the_latest_update(client: FlaskClient) -> None:
    """Show the film that was watched last first."""
    for second, movie_id in enumerate((1, 2, 3, 1)):
        with time_machine.travel(f"2026-11-24T17:30:{second:02}Z", tick=False):
            client.put(f"/history/{movie_id}", json={"progress": 0.5})

    assert ids(client, "/history") == [1, 3, 2]


def test_history_delete_answers_what_was_removed(client: FlaskClient) -> None:
    """Remove a film from the history once."""
    client.put("/history/194", json={"progress": 0.4})
    item = client.get("/history/194").json

    assert client.delete("/history/194").json == {"message": "removed", "removed": item}
    assert client.get("/history/194").status_code == 404
    assert client.delete("/history/194").status_code == 404


def test_history_post_is_405(client: FlaskClient) -> None:
    """Offer no POST on the history: PUT says which film."""
    answer = client.post("/history", json={"progress": 1})

    assert answer.status_code == 405
    assert answer.headers["Allow"] == "GET, HEAD, OPTIONS"


def test_users_see_only_their_own(client: FlaskClient) -> None:
    """Keep users apart; one without data has empty lists."""
    client.post("/favorites", json={"movie_id": 1}, headers={"X-User-Id": "ada"})

    ada = client.get("/favorites", headers={"X-User-Id": "ada"}).json
    bob = client.get("/favorites", headers={"X-User-Id": "bob"}).json
    removed = client.delete("/favorites/1", headers={"X-User-Id": "bob"})

    assert ada is not None
    assert [item["movie_id"] for item in ada["favorites"]] == [1]
    assert bob == {"favorites": [], "total": 0}
    assert removed.status_code == 404
    assert ids(client, "/favorites") == [550, 155, 13]


def test_clear_removes_the_callers_data_only(client: FlaskClient) -> None:
    """Remove all lists of the calling user, nobody else's."""
    client.put("/history/1", json={"progress": 1})

    answer = client.delete("/clear", headers={"X-User-Id": "bob"})
    untouched = ids(client, "/favorites")
    client.delete("/clear")

    assert answer.status_code == 200
    assert untouched == [550, 155, 13]
    assert [ids(client, path) for path in ("/favorites", "/watchlist", "/history")] == [[], [], []]


def test_reset_brings_the_sample_back_for_the_caller(client: FlaskClient) -> None:
    """Replace the calling user's data with the sample, whoever it is."""
    client.put("/history/1", json={"progress": 1}, headers={"X-User-Id": "ada"})

    answer = client.post("/reset", headers={"X-User-Id": "ada"})
    library = client.get("/library", headers={"X-User-Id": "ada"}).json

    assert answer.status_code == 200
    assert library is not None
    assert [item["movie_id"] for item in library["favorites"]] == [550, 155, 13]
    assert [item["movie_id"] for item in library["watchlist"]] == [680, 27205]
    assert library["history"] == []


@pytest.mark.parametrize("path", ["/favorites", "/favorites/550", "/library", "/health"])
def test_head_answers_as_get_without_a_body(client: FlaskClient, path: str) -> None:
    """Answer HEAD wherever GET is answered."""
    answer = client.head(path)

    assert answer.status_code == 200
    assert answer.data == b""
    assert int(answer.headers["Content-Length"]) > 0
