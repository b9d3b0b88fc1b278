"""bff/api/users.py: what each verb does to favourites, watchlist and history."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.bff.api.test_identity import bearer, token
from tests.bff.app import TMDB_TOKEN, USER_TOKEN, MakeClient
from tests.bff.fake_upstreams import Call, Upstream, film
from tests.contract.client import ContractClient

lists = pytest.mark.parametrize(
    ("name", "item"), [("favorites", "favorite"), ("watchlist", "watchlist_item")]
)
NEW = [
    ("POST", "favorites", {"movie_id": 278, "rating": 5}),
    ("POST", "watchlist", {"movie_id": 278}),
    ("PUT", "favorites/278", {"rating": 5}),
    ("PUT", "watchlist/278", {}),
    ("PUT", "history/278", {"progress": 0.5}),
]
new = pytest.mark.parametrize(("method", "path", "body"), NEW)
KEY = {"Idempotency-Key": "order-66"}


def writes(users: Upstream) -> list[Call]:
    """Return the writes that were more than a question whether the entry is there."""
    found = [call for call in users.calls if call.method != "GET"]
    return [call for call in found if "If-Match" not in call.headers]


def as_user(user: str) -> dict[str, str]:
    """Return the headers of a user."""
    return bearer(token({"sub": user}))


def total(client: ContractClient, name: str = "favorites", **headers: str) -> int:
    """Return how many entries a list has."""
    found: int = client.get(f"/api/users/{name}", headers=headers).json["total"]
    return found


@lists
def test_list_when_a_film_is_added_then_it_is_201_and_location_leads_to_it(
    client: ContractClient, name: str, item: str
) -> None:
    """POST answers with the entry, filled in from TMDB; a second POST changes nothing."""
    response = client.post(f"/api/users/{name}", json={"movie_id": 278})

    assert response.status_code == 201
    entry = response.json[item]
    assert (entry["movie_id"], entry["title"]) == (278, "The Shawshank Redemption")
    assert entry["release_date"] == "1994-09-23"
    assert {genre["name"] for genre in entry["genres"]} >= {"Drama"}
    assert entry["poster_path"].startswith("/")
    assert response.headers["Location"] == f"/api/users/{name}/278"
    assert client.get(response.headers["Location"]).json == entry
    again = client.post(f"/api/users/{name}", json={"movie_id": 278, "title": "Other"})
    assert (again.status_code, again.json["type"]) == (409, "/problems/conflict")
    assert client.get(response.headers["Location"]).json == entry


@lists
def test_list_when_the_body_has_a_title_then_it_wins_over_tmdbs(
    client: ContractClient, name: str, item: str
) -> None:
    """What the caller says is kept; the rest comes from TMDB."""
    body = {"movie_id": 278, "title": "Die Verurteilten 😀", "poster_path": "/mine.jpg"}

    entry = client.post(f"/api/users/{name}", json=body).json[item]

    assert (entry["title"], entry["poster_path"]) == (body["title"], body["poster_path"])
    assert entry["release_date"] == "1994-09-23"


def test_favorite_when_tmdb_lacks_facts_then_they_are_null(
    client: ContractClient, tmdb: Upstream, users: Upstream
) -> None:
    """A film without date, poster and genres can be kept as well."""
    tmdb.answers("/movie/278", json=film(278, release_date="", poster_path=None, genres=None))

    entry = client.post("/api/users/favorites", json={"movie_id": 278}).json["favorite"]

    assert (entry["release_date"], entry["poster_path"], entry["genres"]) == (None, None, [])
    assert json.loads(users.calls[0].body)["title"] == "Film 278"


@new
@pytest.mark.parametrize(("tmdb_status", "status"), [(404, 404), (500, 502)])
def test_write_when_tmdb_does_not_know_the_film_then_nothing_is_written(
    client: ContractClient,
    tmdb: Upstream,
    users: Upstream,
    method: str,
    path: str,
    body: dict[str, Any],
    tmdb_status: int,
    status: int,
) -> None:
    """A film that does not exist, or that TMDB cannot confirm, cannot be added."""
    tmdb.answers("/movie/*", tmdb_status)

    response = client.open(f"/api/users/{path}", method=method, json=body)

    assert response.status_code == status
    if status == 404:
        assert response.json["detail"] == "there is no such film 278"
    assert writes(users) == []


@pytest.mark.parametrize(
    ("path", "body", "changed"),
    [
        ("favorites", {"rating": 1}, {"rating": 1}),
        ("favorites", {"title": "Other"}, {"title": "Other"}),
        ("watchlist", {"poster_path": "/other.jpg"}, {"poster_path": "/other.jpg"}),
        ("watchlist", {"poster_path": None}, {}),
        ("watchlist", {}, {}),
        ("history", {"progress": 0.5}, {"progress": 0.5}),
    ],
)
def test_put_when_the_entry_exists_then_it_is_changed_without_tmdb_and_the_rest_stays(
    client: ContractClient,
    tmdb: Upstream,
    users: Upstream,
    path: str,
    body: dict[str, Any],
    changed: dict[str, Any],
) -> None:
    """201 for a new entry, 200 for one that exists; what the body leaves out is kept."""
    address = f"/api/users/{path}/278"
    given = {"progress": 0.1} if path == "history" else {"title": "Mine", "poster_path": "/m.jpg"}
    before = client.put(address, json=given)
    tmdb.calls.clear()
    tmdb.answers("*", 500)

    after = client.put(address, json=body)

    item = next(name for name in before.json if name != "message")
    assert (before.status_code, after.status_code) == (201, 200)
    was = {**before.json[item], "updated_date": after.json[item].get("updated_date")}
    assert {**was, **changed} == {"updated_date": None, **after.json[item]}
    assert client.get(address).json == after.json[item]
    assert tmdb.calls == []
    assert len(users.asked("/*/278", "PUT")) == 3  # two to learn that it is new, one to change it


def test_put_when_memory_knows_that_the_entry_is_new_then_it_is_one_call(
    fresh: ContractClient, users: Upstream
) -> None:
    """While the stream of changes lives, adding a film by PUT is one call."""
    libraries = fresh.application.extensions["bff"].users._libraries
    libraries.beat()
    assert total(fresh) == 3

    for status in (201, 200):
        libraries.beat()
        assert fresh.put("/api/users/favorites/278", json={"rating": 3}).status_code == status

    sent = [call.headers.get("If-Match") for call in users.asked("/favorites/278", "PUT")]
    assert sent == [None, "*"]


def test_put_when_another_client_adds_the_film_meanwhile_then_it_is_changed(
    client: ContractClient, tmdb: Upstream, users: Upstream
) -> None:
    """Between "it does not exist" and "add it", somebody else adds it under another title."""

    def meanwhile(_: Call) -> None:
        other = users.app.test_client().post(
            "/favorites",
            json={"movie_id": 278, "title": "Mine"},
            headers={"Authorization": f"Bearer {USER_TOKEN}"},
        )
        assert other.status_code == 201

    tmdb.does("/movie/278", meanwhile)

    answer = client.put("/api/users/favorites/278", json={"rating": 3})

    assert answer.status_code == 200
    assert (answer.json["favorite"]["title"], answer.json["favorite"]["rating"]) == ("Mine", 3)


@pytest.mark.parametrize(
    ("path", "known"), [("favorites", 13), ("watchlist", 680), ("history", 550)]
)
def test_delete_when_the_entry_exists_then_it_is_answered_and_gone(
    client: ContractClient, path: str, known: int
) -> None:
    """DELETE answers with what it removed; a second one is 404."""
    client.put("/api/users/history/550", json={"progress": 0.4})
    address = f"/api/users/{path}/{known}"

    response = client.delete(address)

    assert (response.status_code, response.json["removed"]["movie_id"]) == (200, known)
    assert client.get(address).status_code == 404
    assert client.delete(address).json["type"] == "/problems/not-found"


@pytest.mark.parametrize(
    ("progress", "watched"), [(0, False), (0.94, False), (0.95, True), (1, True)]
)
def test_history_when_progress_reaches_95_percent_then_it_counts_as_watched(
    client: ContractClient, progress: float, watched: bool
) -> None:
    """The entry has a watched date from 0.95 on, and the dashboard counts it the same way."""
    response = client.put("/api/users/history/550", json={"progress": progress})

    item = response.json["history_item"]
    assert response.status_code == 201
    assert (item["progress"], item["title"]) == (progress, "Fight Club")
    assert (item["watched_date"] is not None) is watched
    assert client.get("/api/users/history").json == {"history": [item], "total": 1}
    page = client.get("/api/dashboard/complete").json
    assert page["stats"]["movies_watched"] == int(watched)
    assert len(page["continue_watching"]) == int(0 < progress < 0.95)


def test_lists_when_users_differ_then_each_sees_only_their_own(client: ContractClient) -> None:
    """What one user adds, changes or removes does not concern another; nobody is the demo user."""
    alice, bob = as_user("alice"), as_user("bob")
    client.post("/api/users/favorites", json={"movie_id": 278, "rating": 5}, headers=alice)
    client.put("/api/users/history/278", json={"progress": 0.5}, headers=alice)

    assert (total(client, **alice), total(client, **bob)) == (1, 0)
    assert total(client, "history", **bob) == 0
    demo = client.get("/api/users/favorites").json["favorites"]
    assert {item["movie_id"]: item["rating"] for item in demo} == {550: 5, 155: 5, 13: 4}
    assert client.delete("/api/users/favorites/278", headers=bob).status_code == 404
    assert client.get("/api/users/favorites/278", headers=alice).status_code == 200


def test_pages_when_users_differ_then_films_are_shared_and_marks_are_not(
    fresh: ContractClient, tmdb: Upstream
) -> None:
    """One call of TMDB serves both pages; neither the marks nor the tag of one fit the other."""
    alice, bob = as_user("alice"), as_user("bob")
    fresh.post("/api/users/favorites", json={"movie_id": 278}, headers=alice)
    path = "/api/dashboard/movie/278/enriched"
    hers = fresh.get(path, headers=alice)
    his = fresh.get(path, headers={**bob, "If-None-Match": hers.headers["ETag"]})

    assert hers.json["user_data"]["is_favorite"] is True
    assert (his.status_code, his.json["user_data"]["is_favorite"]) == (200, False)
    assert len(tmdb.asked("/movie/278", "GET")) == 2  # one for the write, one for both pages


def test_upstreams_when_they_are_asked_then_they_learn_only_what_they_need(
    fresh: ContractClient, tmdb: Upstream, users: Upstream
) -> None:
    """The caller's token, cookies and headers stay here; TMDB does not learn who asks.

    Without the stream of changes, user data is in no cache.
    """
    headers = {**as_user("alice"), "Cookie": "planted=1", "X-Planted": "1"}
    for _ in range(2):
        fresh.get("/api/dashboard/feed", headers=headers)

    assert (len(tmdb.calls), len(users.asked("/favorites"))) == (1, 2)
    for call, credential in [
        *((call, TMDB_TOKEN) for call in tmdb.calls),
        *((call, USER_TOKEN) for call in users.calls),
    ]:
        sent = {name.lower(): value for name, value in call.headers.items()}
        assert sent["authorization"] == f"Bearer {credential}"
        assert not {"cookie", "x-planted"} & set(sent)
        assert sent.get("x-user-id") == ("alice" if credential == USER_TOKEN else None)


@new
def test_idempotency_key_when_a_write_is_repeated_then_the_first_answer_comes_again(
    client: ContractClient,
    tmdb: Upstream,
    users: Upstream,
    method: str,
    path: str,
    body: dict[str, Any],
) -> None:
    """Even where TMDB's facts have changed since, and the body is spelt in another way."""

    def write(data: str) -> Any:
        return client.open(
            f"/api/users/{path}",
            method=method,
            data=data,
            content_type="application/json",
            headers=KEY,
        )

    first = write(json.dumps(body))
    tmdb.answers("/movie/278", json=film(278, title="Renamed", release_date="2001-01-01"))
    again = write(json.dumps(dict(reversed(body.items())), indent=2))

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json == first.json
    assert {call.headers["Idempotency-Key"] for call in users.calls} == {"order-66"}


def test_idempotency_key_when_a_put_is_repeated_and_the_entry_is_gone_then_tmdb_is_not_asked(
    make_client: MakeClient, tmdb: Upstream
) -> None:
    """What was done needs nobody's word a second time."""
    client = make_client(CACHE_ENABLED="false")
    first = client.put("/api/users/favorites/278", json={"rating": 3}, headers=KEY)
    client.delete("/api/users/favorites/278")
    client.application.extensions["bff"].users._libraries.beat()
    assert total(client) == 3  # memory knows that it is gone
    tmdb.answers("*", 500)

    again = client.put("/api/users/favorites/278", json={"rating": 3}, headers=KEY)

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json == first.json
    assert client.get("/api/users/favorites/278").status_code == 404


def test_idempotency_key_when_it_belongs_to_another_body_then_it_is_422(
    client: ContractClient,
) -> None:
    """The user service refuses the key; the caller learns why."""
    client.post("/api/users/favorites", json={"movie_id": 278}, headers=KEY)

    response = client.post("/api/users/favorites", json={"movie_id": 680}, headers=KEY)

    assert (response.status_code, response.json["type"]) == (422, "/problems/validation")


def test_idempotency_key_when_none_is_given_then_each_write_has_its_own(
    client: ContractClient, users: Upstream
) -> None:
    """Every write to the user service carries a key, made up where the caller has none."""
    for rating in (1, 2):
        client.put("/api/users/favorites/278", json={"rating": rating})

    assert len({call.headers["Idempotency-Key"] for call in users.calls}) == 2


@pytest.mark.parametrize("status", [409, 422])
def test_write_when_the_user_service_refuses_it_then_the_caller_learns_why(
    fresh: ContractClient, users: Upstream, status: int
) -> None:
    """A refusal is about the request: no number of them opens a circuit."""
    users.answers("/favorites", status, {"detail": "no"}, method="POST")
    for _ in range(12):
        response = fresh.post("/api/users/favorites", json={"movie_id": 278})
        assert (response.status_code, response.json["detail"]) == (status, "no")

    assert total(fresh) == 3
