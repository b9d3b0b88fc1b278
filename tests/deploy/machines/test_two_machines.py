"""Two instances of the BFF and two user services over one Redis and one PostgreSQL."""

from __future__ import annotations

import itertools
import random
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from scripts.processes import until
from tests.bff.upstream.servers import RedisServer
from tests.deploy.machines.fleet import (
    Answer,
    Writers,
    as_user,
    ask,
    circuits,
    get_at_once,
    kill,
    pair,
    rows,
)
from tests.e2e.stack import Stack
from tests.user_stub.postgresql import Server

pytestmark = pytest.mark.e2e

Pair = tuple[Stack, Stack]
FAVORITES = "/api/users/favorites"
# Films that the stub knows.
FILMS = (13, 155, 680, 27205, 603, 238, 278, 424, 122, 157336, 496243, 129)
pages = itertools.count(1)


@pytest.fixture(scope="module")
def database_url(postgresql: Server) -> str:
    """Return the address of the one database."""
    return postgresql.new_database()


@pytest.fixture(scope="module")
def lasting(
    redis_server: RedisServer, database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pair]:
    """Return two machines, each with a BFF and the user service that this BFF asks."""
    shared = {"REDIS_URL": redis_server.url, "DATABASE_URL": database_url}
    with pair(tmp_path_factory.mktemp("machines"), ("users", "bff"), **shared) as both:
        yield both


@pytest.fixture
def machines(lasting: Pair) -> Iterator[Pair]:
    """Return them, and leave them without faults and with closed circuits after a failure too."""
    yield lasting
    lasting[0].faults("tmdb")
    assert until(lambda: all(ask(cold(one)).status == 200 for one in lasting * 4), 20)


def cold(machine: Stack) -> str:
    """Return the address of a search that nobody has made yet."""
    return f"{machine.bff}/api/movies/search?query={uuid.uuid4().hex}"


def test_limit_when_sixty_ask_both_instances_at_once_then_exactly_twenty_are_served(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    """One caller has one allowance, whichever instance is asked."""
    settings = {
        "REDIS_URL": f"{redis_server.url[:-1]}1",
        "RATE_LIMIT_PER_MINUTE": 20,
        "USER_SERVICE_EVENTS": "false",
    }
    with pair(tmp_path, ("bff",), **settings) as both:
        urls = [f"{machine.bff}/api/movies/popular" for machine in both] * 30
        answers = get_at_once(urls, **as_user(uuid.uuid4().hex))
    assert Counter(answer.status for answer in answers) == {200: 20, 429: 40}
    refused = [answer for answer in answers if answer.status == 429]
    assert all(1 <= int(answer.headers["retry-after"]) <= 60 for answer in refused)


def test_cold_key_when_fifty_ask_both_instances_then_one_call_goes_out(machines: Pair) -> None:
    """Single flight holds over the workers of both instances."""
    one, _ = machines
    one.faults("tmdb", latency_ms=300)
    one.forget_calls("tmdb")
    page = 100 + next(pages)

    answers = get_at_once([f"{m.bff}/api/movies/popular?page={page}" for m in machines] * 25)
    one.faults("tmdb")

    assert Counter(answer.status for answer in answers) == {200: 50}
    assert len({answer.text for answer in answers}) == 1
    assert one.calls("tmdb") == {"GET /3/movie/popular": 1}


def test_circuit_when_one_instance_opens_and_closes_it_then_the_other_follows(
    machines: Pair,
) -> None:
    """The other instance asks TMDB not once while the circuit is open, and again afterwards."""
    one, two = machines

    def known() -> bool:
        get_at_once([cold(two)] * 8)
        return circuits(two.bff, "search") == {"closed"}

    assert until(known, 10), "a worker was never asked"
    one.faults("tmdb", match="/search", status=500)
    assert until(lambda: '"circuit_open"' in ask(cold(one)).text, 10, every_s=0)
    one.forget_calls("tmdb")
    answers = get_at_once([cold(two) for _ in range(20)])
    assert {(answer.status, answer.json["reason"]) for answer in answers} == {(503, "circuit_open")}
    assert circuits(two.bff, "search") == {"open"}
    assert one.calls("tmdb") == {}

    one.faults("tmdb")
    assert until(lambda: ask(cold(one)).status == 200, 15)
    assert {answer.status for answer in get_at_once([cold(two) for _ in range(10)])} == {200}
    assert circuits(two.bff, "search") == {"closed"}


def test_favorites_when_many_add_and_remove_them_through_both_doors_then_rows_are_as_answered(
    machines: Pair, database_url: str
) -> None:
    """Each change is answered once: by film, additions less removals are the row that is there."""
    name = f"busy-{uuid.uuid4().hex}"
    user = as_user(name)
    films = FILMS[:6]
    done: list[tuple[int, Answer]] = []

    def write(client: int) -> None:
        order = random.Random(client)
        for number in range(12):
            door, film = machines[(client + number) % 2].bff, order.choice(films)
            if order.random() < 0.6:
                answer = ask(f"{door}{FAVORITES}", "POST", {"movie_id": film}, **user)
            else:
                answer = ask(f"{door}{FAVORITES}/{film}", "DELETE", **user)
            done.append((film, answer))

    with ThreadPoolExecutor(20) as pool:
        assert list(pool.map(write, range(20))) == [None] * 20

    statuses = Counter(answer.status for _, answer in done)
    assert set(statuses) <= {200, 201, 404, 409}, statuses
    kept = Counter(film for film, answer in done if answer.status == 201)
    kept.subtract(film for film, answer in done if answer.status == 200)
    assert rows(database_url, name) == {film: count for film, count in kept.items() if count}
    assert set(kept.values()) <= {0, 1}
    changes = [answer for _, answer in done if answer.status in (200, 201)]
    revisions = sorted(int(answer.headers["x-library-revision"]) for answer in changes)
    assert revisions == list(range(1, len(changes) + 1))


@pytest.mark.parametrize("with_revision", [True, False])
def test_write_when_made_through_one_instance_then_the_other_shows_it(
    machines: Pair, with_revision: bool
) -> None:
    """With the revision of the answer every worker shows it at once, without it soon."""
    user = as_user(f"roaming-{uuid.uuid4().hex}")

    def shown(film: int, machine: Stack, **headers: str) -> set[bool]:
        answers = get_at_once([f"{machine.bff}{FAVORITES}"] * 8, **user, **headers)
        assert {answer.status for answer in answers} == {200}
        return {film in {i["movie_id"] for i in a.json["favorites"]} for a in answers}

    for turn, film in enumerate(FILMS[:6]):
        here, there = machines[:: 1 if turn % 2 else -1]
        shown(film, there)  # its workers hold the list as it was
        made = ask(f"{here.bff}{FAVORITES}", "POST", {"movie_id": film}, **user)
        assert made.status == 201, made
        if with_revision:
            revision = made.headers["x-library-revision"]
            assert shown(film, there, X_Library_Revision=revision) == {True}
        else:
            assert until(lambda f=film, t=there: shown(f, t) == {True}, 10, every_s=0)  # type: ignore[misc]


def test_user_service_when_killed_while_twenty_write_then_every_answered_write_is_there_once(
    machines: Pair, database_url: str
) -> None:
    """Who had no answer asks again with the same key; the other machine fails for nobody."""
    one, _ = machines
    doors = [f"{machine.bff}{FAVORITES}" for machine in machines]
    writers = Writers(doors, FILMS)
    with ThreadPoolExecutor(20) as pool:
        done = pool.map(writers.write, range(20))
        assert writers.begun.wait(20)
        kill(one)
        one.start("users")
        assert list(done) == [None] * 20

    assert writers.wrong == []
    assert writers.failed[doors[0]] > 0, "nobody noticed"
    assert writers.failed[doors[1]] == 0, writers.failed
    for user, films in writers.added.items():
        assert films == list(FILMS)
        assert rows(database_url, user) == dict.fromkeys(films, 1)


def test_redis_when_killed_and_started_again_under_load_then_no_request_fails(
    machines: Pair, redis_server: RedisServer
) -> None:
    """Each instance goes on by itself meanwhile; both share again afterwards."""
    one, _ = machines
    stop = threading.Event()
    answers: list[tuple[str, Answer]] = []

    def load(number: int) -> None:
        user, machine = as_user(f"visitor-{number}"), machines[number % 2]
        for turn in itertools.count(number):
            if stop.is_set():
                return
            film = FILMS[turn % len(FILMS)]
            method, url, body = (
                ("GET", f"{machine.bff}/api/dashboard/feed", None),
                ("GET", cold(machine), None),
                ("PUT", f"{machine.bff}/api/users/watchlist/{film}", {}),
                ("GET", f"{machine.bff}{FAVORITES}", None),
                ("GET", f"{machine.bff}/api/movies/top-rated?page={turn % 90 + 1}", None),
            )[turn % 5]
            answers.append((f"{method} {url}", ask(url, method, body, **user)))

    def more(count: int) -> bool:
        now = len(answers)
        return until(lambda: len(answers) > now + count, 10)

    threads = [threading.Thread(target=load, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    try:
        assert more(100)
        redis_server.kill()
        assert more(200)
        redis_server.start()
        assert more(100)
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)

    def shared() -> bool:
        one.forget_calls("tmdb")
        page = 200 + next(pages)
        urls = [f"{m.bff}/api/movies/popular?page={page}" for m in machines] * 6
        assert {answer.status for answer in get_at_once(urls)} == {200}
        return one.calls("tmdb") == {"GET /3/movie/popular": 1}

    bad = [(what, a) for what, a in answers if a.status not in (200, 201)]
    assert bad == []
    assert [what for what, a in answers if "x-degraded" in a.headers] == []
    assert until(lambda: all(shared() for _ in range(5)), 12), "they do not share again"
