"""Favourites, watchlist and history: what each verb does, over the real user service."""

from __future__ import annotations

import json

import jwt
import pytest

from tests.api.conftest import JWT_SECRET, TMDB_TOKEN, USER_TOKEN, MakeClient
from tests.api.openapi import ContractClient
from tests.api.upstreams import Call, Upstream, film

LISTS = [("favorites", "favorite"), ("watchlist", "watchlist_item")]
lists = pytest.mark.parametrize(("name", "item"), LISTS)


def writes(users: Upstream) -> list[Call]:
    """Return the writes that were more than a question whether the entry is there."""
    found = [call for call in users.calls if call.method != "GET"]
    return [call for call in found if "If-Match" not in call.headers]


def as_user(user: str) -> dict[str, str]:
    """Return the headers of a user."""
    return {"Authorization": "Bearer " + jwt.encode({"sub": user}, JWT_SECRET, "HS256")}


def test_favorites_when_the_user_is_the_demo_user_then_the_sample_is_there(
    client: ContractClient,
) -> None:
    """Without a token the sample of the demo user is served."""
    body = client.get("/api/users/favorites").json

    assert {item["movie_id"]: item["rating"] for item in body["favorites"]} == {
        550: 5,
        155: 5,
        13: 4,
    }
    assert body["total"] == 3


@lists
def test_list_when_a_film_is_added_then_it_is_201_and_location_leads_to_it(
    client: ContractClient, name: str, item: str
) -> None:
    """POST answers with the entry, filled in from TMDB, and where it is."""
    response = client.post(f"/api/users/{name}", json={"movie_id": 278})

    assert response.status_code == 201
    entry = response.json[item]
    assert entry["movie_id"] == 278
    assert entry["title"] == "The Shawshank Redemption"
    assert entry["release_date"] == "1994-09-23"
    assert {genre["name"] for genre in entry["genres"]} >= {"Drama"}
    assert entry["poster_path"].startswith("/")
    assert response.headers["Location"] == f"/api/users/{name}/278"
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


@lists
def test_list_when_the_film_is_there_already_then_it_is_409(
    client: ContractClient, name: str, item: str
) -> None:
    """A second POST changes nothing."""
    assert client.post(f"/api/users/{name}", json={"movie_id": 278}).status_code == 201
    before = client.get(f"/api/users/{name}").json

    response = client.post(f"/api/users/{name}", json={"movie_id": 278, "title": "Other"})

    assert response.status_code == 409
    assert response.json["type"] == "/problems/conflict"
    assert client.get(f"/api/users/{name}").json == before


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "favorites", {"movie_id": 999_999_999}),
        ("POST", "watchlist", {"movie_id": 999_999_999}),
        ("PUT", "favorites/999999999", {"rating": 3}),
        ("PUT", "watchlist/999999999", {}),
        ("PUT", "history/999999999", {"progress": 0.5}),
    ],
)
def test_list_when_tmdb_knows_no_such_film_then_it_is_404_and_nothing_is_written(
    client: ContractClient, users: Upstream, method: str, path: str, body: dict[str, object]
) -> None:
    """A film that is none cannot be kept."""
    response = client.open(f"/api/users/{path}", method=method, json=body)

    assert response.status_code == 404
    assert response.json["detail"] == "there is no such film 999999999"
    assert writes(users) == []


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "favorites", {"movie_id": 278}),
        ("PUT", "favorites/278", {"rating": 1}),
        ("PUT", "watchlist/278", {}),
        ("PUT", "history/278", {"progress": 0.5}),
    ],
)
def test_list_when_tmdb_cannot_say_then_nothing_is_written(
    client: ContractClient,
    tmdb: Upstream,
    users: Upstream,
    method: str,
    path: str,
    body: dict[str, object],
) -> None:
    """Without TMDB's word on the film a new entry is refused, not half made."""
    tmdb.answers("/movie/*", 500)

    response = client.open(f"/api/users/{path}", method=method, json=body)

    assert response.status_code == 502
    assert response.json["upstream"] == "tmdb"
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
def test_entry_when_it_is_there_then_it_is_changed_without_tmdb_and_the_rest_stays(
    client: ContractClient,
    tmdb: Upstream,
    users: Upstream,
    path: str,
    body: dict[str, object],
    changed: dict[str, object],
) -> None:
    """What an entry is made of is kept with it: its title, also one that the user gave."""
    address = f"/api/users/{path}/278"
    given = {"progress": 0.1} if path == "history" else {"title": "Mine", "poster_path": "/m.jpg"}
    before = client.put(address, json=given)
    (tmdb.calls.clear(), users.calls.clear())
    tmdb.answers("*", 500)

    after = client.put(address, json=body)

    item = next(name for name in before.json if name != "message")
    assert (before.status_code, after.status_code) == (201, 200)
    was = {**before.json[item], "updated_date": after.json[item].get("updated_date")}
    assert {**was, **changed} == {"updated_date": None, **after.json[item]}
    assert client.get(address).json == after.json[item]
    assert tmdb.calls == []
    assert len(users.asked("/*/278", "PUT")) == 1


def test_entry_when_memory_knows_that_it_is_not_there_then_no_call_asks_for_it(
    client: ContractClient, users: Upstream
) -> None:
    """While the stream of changes lives, adding a film by PUT is one call."""
    libraries = client.application.extensions["bff"].users._libraries
    libraries.beat()
    assert client.get("/api/users/favorites").json["total"] == 3

    for status in (201, 200):
        libraries.beat()
        assert client.put("/api/users/favorites/278", json={"rating": 3}).status_code == status

    sent = [call.headers.get("If-Match") for call in users.asked("/favorites/278", "PUT")]
    assert sent == [None, "*"]


def test_idempotency_key_when_a_put_is_repeated_while_tmdb_fails_then_the_first_answer_comes(
    make_client: MakeClient, tmdb: Upstream
) -> None:
    """What was done needs nobody's word a second time, even if it is gone by now."""
    client = make_client(CACHE_ENABLED="false")
    headers = {"Idempotency-Key": "order-66"}
    first = client.put("/api/users/favorites/278", json={"rating": 3}, headers=headers)
    client.delete("/api/users/favorites/278")
    libraries = client.application.extensions["bff"].users._libraries
    libraries.beat()
    assert client.get("/api/users/favorites").json["total"] == 3  # memory knows that it is gone
    tmdb.answers("*", 500)

    again = client.put("/api/users/favorites/278", json={"rating": 3}, headers=headers)

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json == first.json
    assert client.get("/api/users/favorites/278").status_code == 404


def test_put_when_the_film_is_added_by_another_meanwhile_then_it_is_changed_and_keeps_the_rest(
    client: ContractClient, tmdb: Upstream, users: Upstream
) -> None:
    """Between "it is not there" and "add it" somebody else adds it, under a title of theirs."""

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


def test_favorite_when_it_is_put_then_it_is_set_or_changed(client: ContractClient) -> None:
    """The first PUT makes it (201), the next changes it (200), with the same result each time."""
    first = client.put("/api/users/favorites/278", json={"rating": 3})
    second = client.put("/api/users/favorites/278", json={"rating": 4})
    third = client.put("/api/users/favorites/278", json={"rating": 4})

    assert [first.status_code, second.status_code, third.status_code] == [201, 200, 200]
    assert first.json["favorite"]["rating"] == 3
    assert second.json["favorite"] == third.json["favorite"]
    assert second.json["favorite"]["rating"] == 4
    assert client.get("/api/users/favorites").json["total"] == 4


@pytest.mark.parametrize(("path", "known"), [("favorites", 13), ("watchlist", 680)])
def test_list_when_a_film_is_deleted_then_it_is_answered_and_gone(
    client: ContractClient, path: str, known: int
) -> None:
    """DELETE tells what it removed; a second one finds nothing."""
    response = client.delete(f"/api/users/{path}/{known}")

    assert response.status_code == 200
    assert response.json["removed"]["movie_id"] == known
    assert client.get(f"/api/users/{path}/{known}").status_code == 404
    again = client.delete(f"/api/users/{path}/{known}")
    assert again.status_code == 404
    assert again.json["type"] == "/problems/not-found"


def test_history_when_a_progress_is_set_then_it_is_kept(client: ContractClient) -> None:
    """A film that was begun has a progress and no watched date."""
    response = client.put("/api/users/history/550", json={"progress": 0.4})

    assert response.status_code == 201
    assert client.get("/api/users/history").json["history"] == [response.json["history_item"]]
    item = client.get("/api/users/history/550").json
    assert (item["progress"], item["watched_date"], item["title"]) == (0.4, None, "Fight Club")


@pytest.mark.parametrize(
    ("progress", "watched"), [(0, False), (0.94, False), (0.95, True), (1, True)]
)
def test_history_when_progress_reaches_95_percent_then_it_counts_as_watched(
    client: ContractClient, progress: float, watched: bool
) -> None:
    """The bound is 0.95, and it is where the dashboard counts as well."""
    item = client.put("/api/users/history/550", json={"progress": progress}).json["history_item"]

    assert (item["watched_date"] is not None) is watched
    page = client.get("/api/dashboard/complete").json
    assert page["stats"]["movies_watched"] == int(watched)
    assert len(page["continue_watching"]) == int(0 < progress < 0.95)


def test_history_when_an_entry_is_deleted_then_it_is_gone(client: ContractClient) -> None:
    """DELETE forgets a film of the history."""
    client.put("/api/users/history/550", json={"progress": 0.4})

    assert client.delete("/api/users/history/550").json["removed"]["progress"] == 0.4
    assert client.get("/api/users/history").json == {"history": [], "total": 0}


def test_history_when_it_is_posted_to_then_it_is_405(client: ContractClient) -> None:
    """A progress belongs to a film: there is no POST."""
    assert client.post("/api/users/history", json={"movie_id": 550}).status_code == 405


def test_lists_when_users_differ_then_each_sees_only_their_own(client: ContractClient) -> None:
    """What one user adds, changes or removes is nobody else's."""
    alice, bob = as_user("alice"), as_user("bob")
    client.post("/api/users/favorites", json={"movie_id": 278, "rating": 5}, headers=alice)
    client.put("/api/users/history/278", json={"progress": 0.5}, headers=alice)

    assert client.get("/api/users/favorites", headers=alice).json["total"] == 1
    assert client.get("/api/users/favorites", headers=bob).json["total"] == 0
    assert client.get("/api/users/history", headers=bob).json["total"] == 0
    assert client.get("/api/users/favorites").json["total"] == 3
    assert client.delete("/api/users/favorites/278", headers=bob).status_code == 404
    assert client.get("/api/users/favorites/278", headers=alice).status_code == 200


def test_pages_when_users_differ_then_no_mark_of_one_shows_to_the_other(
    client: ContractClient, tmdb: Upstream
) -> None:
    """The films are shared between users, the marks and the tags are not."""
    client.post(
        "/api/users/favorites", json={"movie_id": 278, "rating": 5}, headers=as_user("alice")
    )
    path = "/api/dashboard/movie/278/enriched"
    alice = client.get(path, headers=as_user("alice"))
    bob = client.get(path, headers={**as_user("bob"), "If-None-Match": alice.headers["ETag"]})

    assert alice.json["user_data"]["is_favorite"] is True
    assert bob.status_code == 200
    assert bob.json["user_data"]["is_favorite"] is False
    assert len(tmdb.asked("/movie/278", "GET")) == 2  # details for the write, one for both pages


def test_lists_when_they_are_read_twice_then_the_user_service_is_asked_twice(
    client: ContractClient, users: Upstream
) -> None:
    """User data is in no cache."""
    for _ in range(2):
        client.get("/api/users/favorites")

    assert len(users.asked("/favorites")) == 2


def test_user_service_when_it_is_asked_then_it_gets_user_token_and_id_and_nothing_else(
    client: ContractClient, users: Upstream
) -> None:
    """The caller's token, cookies and headers stay here."""
    token = as_user("alice")
    client.get("/api/users/favorites", headers={**token, "Cookie": "planted=1", "X-Planted": "1"})

    sent = {name.lower(): value for name, value in users.calls[0].headers.items()}
    assert sent["x-user-id"] == "alice"
    assert sent["authorization"] == f"Bearer {USER_TOKEN}"
    assert "cookie" not in sent
    assert "x-planted" not in sent


def test_tmdb_when_it_is_asked_then_it_learns_nothing_of_the_user(
    client: ContractClient, tmdb: Upstream
) -> None:
    """TMDB gets our credential and the question, not who asks."""
    client.get("/api/dashboard/complete", headers={**as_user("alice"), "Cookie": "planted=1"})

    for call in tmdb.calls:
        sent = {name.lower(): value for name, value in call.headers.items()}
        assert sent["authorization"] == f"Bearer {TMDB_TOKEN}"
        assert "cookie" not in sent
        assert "x-user-id" not in sent


def test_idempotency_key_when_it_is_given_then_the_user_service_gets_it(
    client: ContractClient, users: Upstream
) -> None:
    """The caller's key is handed on, and a repeated write acts once."""
    headers = {"Idempotency-Key": "order-66"}
    first = client.post("/api/users/favorites", json={"movie_id": 278}, headers=headers)
    again = client.post("/api/users/favorites", json={"movie_id": 278}, headers=headers)

    assert {call.headers["Idempotency-Key"] for call in users.calls} == {"order-66"}
    assert first.status_code == again.status_code == 201
    assert again.json == first.json
    assert client.get("/api/users/favorites").json["total"] == 4


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "favorites", {"movie_id": 278, "rating": 5}),
        ("POST", "watchlist", {"movie_id": 278}),
        ("PUT", "favorites/278", {"rating": 5}),
        ("PUT", "history/278", {"progress": 0.5}),
    ],
)
def test_idempotency_key_when_tmdbs_facts_have_changed_then_the_first_answer_comes_again(
    make_client: MakeClient, tmdb: Upstream, method: str, path: str, body: dict[str, object]
) -> None:
    """The caller sent the same twice; what we add to it is not the caller's concern."""
    client = make_client(CACHE_ENABLED="false")
    headers = {"Idempotency-Key": "order-66"}
    first = client.open(f"/api/users/{path}", method=method, json=body, headers=headers)
    tmdb.answers("/movie/278", json=film(278, title="Renamed", release_date="2001-01-01"))
    spelt = json.dumps(dict(reversed(body.items())), indent=2)

    again = client.open(
        f"/api/users/{path}",
        method=method,
        data=spelt,
        content_type="application/json",
        headers=headers,
    )

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json == first.json


def test_idempotency_key_when_it_comes_with_another_body_then_it_is_422(
    client: ContractClient,
) -> None:
    """The user service refuses a key that belongs to another request; the caller learns why."""
    headers = {"Idempotency-Key": "order-66"}
    client.post("/api/users/favorites", json={"movie_id": 278}, headers=headers)

    response = client.post("/api/users/favorites", json={"movie_id": 680}, headers=headers)

    assert response.status_code == 422
    assert response.json["type"] == "/problems/validation"


def test_idempotency_key_when_none_is_given_then_each_write_has_its_own(
    client: ContractClient, users: Upstream
) -> None:
    """Every write to the user service carries a key, made up where the caller has none."""
    client.put("/api/users/favorites/278", json={"rating": 1})
    client.put("/api/users/favorites/278", json={"rating": 2})

    keys = [call.headers["Idempotency-Key"] for call in users.calls]
    assert len(set(keys)) == 2


def test_favorite_when_it_is_added_then_tmdbs_odd_facts_become_null(
    client: ContractClient, tmdb: Upstream, users: Upstream
) -> None:
    """A film without date, poster and genres can be kept as well."""
    odd = film(278, release_date="", poster_path=None, genres=None)
    tmdb.answers("/movie/278", json=odd)

    entry = client.post("/api/users/favorites", json={"movie_id": 278}).json["favorite"]

    assert (entry["release_date"], entry["poster_path"], entry["genres"]) == (None, None, [])
    assert json.loads(users.calls[0].body)["title"] == "Film 278"
