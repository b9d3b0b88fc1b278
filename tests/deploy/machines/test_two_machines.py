"""Two instances of the BFF and two user services over one Redis and one PostgreSQL."""

from __future__ import annotations

import itertools
import math
import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from scripts.processes import until
from tests.bff.upstream.servers import RedisServer
from tests.deploy.machines.fleet import (
    Answer,
    Writers,
    as_user,
    ask,
    at_once,
    circuits,
    get_at_once,
    kill,
    pair,
    rows,
    start,
)
from tests.e2e.stack import Stack
from tests.user_stub.postgresql import Server

pytestmark = pytest.mark.e2e

Pair = tuple[Stack, Stack]
FAVORITES = "/api/users/favorites"
# Films that the stub knows.
FILMS = (13, 155, 680, 27205, 603, 238, 278, 424, 122, 157336, 496243, 129)
PER_SECOND = 20
PER_MINUTE = 20
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
    shared = {
        "REDIS_URL": f"redis://127.0.0.1:{redis_server.port}/0",
        "DATABASE_URL": database_url,
    }
    with pair(tmp_path_factory.mktemp("machines"), ("users", "bff"), **shared) as both:
        yield both


@pytest.fixture
def machines(lasting: Pair) -> Iterator[Pair]:
    """Return them, and leave them without faults and with closed circuits after a failure too."""
    yield lasting
    lasting[0].faults("tmdb")
    assert until(lambda: all(ask(cold(one)).status == 200 for one in lasting * 4), 20)


@pytest.fixture(scope="module")
def bounded(redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Return two BFFs with low limits."""
    settings = {
        "REDIS_URL": f"redis://127.0.0.1:{redis_server.port}/1",
        "RATE_LIMIT_PER_MINUTE": PER_MINUTE,
        "TMDB_CALLS_PER_SECOND": PER_SECOND,
        "USER_SERVICE_EVENTS": "false",
    }
    with pair(tmp_path_factory.mktemp("bounded"), ("bff",), **settings) as both:
        yield both


def cold(machine: Stack) -> str:
    """Return the address of a search that nobody has made yet."""
    return f"{machine.bff}/api/movies/search?query={uuid.uuid4().hex}"


def test_limit_when_sixty_ask_both_instances_at_once_then_exactly_twenty_are_served(
    bounded: Pair,
) -> None:
    """One caller has one allowance, whichever instance is asked."""
    urls = [f"{machine.bff}/api/movies/popular" for machine in bounded] * 30

    answers = get_at_once(urls, **as_user(uuid.uuid4().hex))

    assert Counter(answer.status for answer in answers) == {200: PER_MINUTE, 429: 40}
    refused = [answer for answer in answers if answer.status == 429]
    assert all(1 <= int(answer.headers["retry-after"]) <= 60 for answer in refused)


def test_ceiling_when_both_instances_ask_for_cold_keys_then_it_holds_over_both(
    bounded: Pair,
) -> None:
    """Both have the permits of one, all of them; who gets none in time hears why."""
    one, _ = bounded
    one.forget_calls("tmdb")
    begun = time.monotonic()

    answers = at_once(
        [
            lambda m=m: ask(cold(m), **as_user(uuid.uuid4().hex))  # type: ignore[misc]
            for m in bounded * 40
        ]
    )

    windows = math.ceil(time.monotonic() - begun) + 1
    assert 0 < sum(one.calls("tmdb").values()) <= windows * PER_SECOND
    failed = Counter(answer.json["reason"] for answer in answers if answer.status != 200)
    assert set(failed) == {"rate_limited"}, failed


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


def test_circuit_when_one_instance_opens_and_closes_it_then_the_other_follows_within_a_second(
    machines: Pair,
) -> None:
    """The other instance asks TMDB not once while the circuit is open, and at once afterwards."""
    one, two = machines

    def known() -> bool:
        get_at_once([cold(two)] * 8)
        return circuits(two.bff, "search") == {"closed"}

    assert until(known, 10), "a worker was never asked"
    one.faults("tmdb", match="/search", status=500)

    assert until(lambda: '"circuit_open"' in ask(cold(one)).text, 10, every_s=0)
    opened = time.monotonic()
    assert until(lambda: circuits(two.bff, "search") == {"open"}, 1, every_s=0)
    open_after_s = time.monotonic() - opened
    one.forget_calls("tmdb")
    answers = get_at_once([cold(two) for _ in range(20)])

    assert open_after_s < 1
    assert {(answer.status, answer.json["reason"]) for answer in answers} == {(503, "circuit_open")}
    assert one.calls("tmdb") == {}

    one.faults("tmdb")
    recovered = until(
        lambda: ask(cold(one)).status == 200 and "closed" in circuits(one.bff, "search", 1), 15
    )
    closed = time.monotonic()
    assert recovered
    assert until(lambda: circuits(two.bff, "search") == {"closed"}, 1, every_s=0)
    assert time.monotonic() - closed < 1
    assert {answer.status for answer in get_at_once([cold(two) for _ in range(10)])} == {200}


def test_favorites_when_many_add_and_remove_them_through_both_doors_then_rows_are_as_answered(
    machines: Pair, database_url: str
) -> None:
    """Each change is answered once: by film, additions less removals are the row that is there."""
    name = f"busy-{uuid.uuid4().hex}"
    user = as_user(name)
    films = FILMS[:6]
    done: list[tuple[str, int, Answer]] = []

    def write(client: int) -> None:
        order = random.Random(client)
        for number in range(12):
            door, film = machines[(client + number) % 2].bff, order.choice(films)
            if order.random() < 0.6:
                answer = ask(f"{door}{FAVORITES}", "POST", {"movie_id": film}, **user)
            else:
                answer = ask(f"{door}{FAVORITES}/{film}", "DELETE", **user)
            done.append(("add" if answer.status == 201 else "other", film, answer))

    threads = [threading.Thread(target=write, args=(client,)) for client in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    statuses = Counter(answer.status for _, _, answer in done)
    assert set(statuses) <= {200, 201, 404, 409}, statuses
    kept = Counter(film for _, film, answer in done if answer.status == 201)
    kept.subtract(film for _, film, answer in done if answer.status == 200)
    assert rows(database_url, name) == {film: count for film, count in kept.items() if count}
    assert set(kept.values()) <= {0, 1}
    changes = [answer for _, _, answer in done if answer.status in (200, 201)]
    revisions = sorted(int(answer.headers["x-library-revision"]) for answer in changes)
    assert revisions == list(range(1, len(changes) + 1))


def test_favorite_when_fifty_add_it_through_both_doors_then_one_is_made(
    machines: Pair, database_url: str
) -> None:
    """One answer is 201, 49 are 409, and one row is there."""
    name = f"eager-{uuid.uuid4().hex}"
    user = as_user(name)
    tasks: list[Callable[[], Answer]] = [
        lambda m=m: ask(f"{m.bff}{FAVORITES}", "POST", {"movie_id": 603}, **user)  # type: ignore[misc]
        for m in machines * 25
    ]

    answers = at_once(tasks)

    assert Counter(answer.status for answer in answers) == {201: 1, 409: 49}
    assert rows(database_url, name) == {603: 1}


def test_write_when_made_through_one_instance_then_the_other_shows_it_within_a_second(
    machines: Pair,
) -> None:
    """With the revision of the answer every worker shows it at once, without it in a second."""
    user = as_user(f"roaming-{uuid.uuid4().hex}")

    def shown(film: int, machine: Stack, **headers: str) -> set[bool]:
        answers = get_at_once([f"{machine.bff}{FAVORITES}"] * 8, **user, **headers)
        assert {answer.status for answer in answers} == {200}
        return {film in {i["movie_id"] for i in a.json["favorites"]} for a in answers}

    def write_and_look(film: int, here: Stack, there: Stack, *, at_once: bool) -> None:
        shown(film, there)  # its workers hold the list as it was
        made = ask(f"{here.bff}{FAVORITES}", "POST", {"movie_id": film}, **user)
        written = time.monotonic()
        assert made.status == 201, made
        if at_once:
            revision = made.headers["x-library-revision"]
            assert shown(film, there, X_Library_Revision=revision) == {True}
        else:
            assert until(lambda: shown(film, there) == {True}, 1, every_s=0)
            assert time.monotonic() - written < 1

    for turn, film in enumerate(FILMS):
        here, there = machines[:: 1 if turn % 2 else -1]
        write_and_look(film, here, there, at_once=turn % 4 < 2)


def test_user_service_when_killed_while_twenty_write_then_every_answered_write_is_there_once(
    machines: Pair, database_url: str
) -> None:
    """Who had no answer asks again with the same key; the other machine fails for nobody."""
    one, _ = machines
    doors = [f"{machine.bff}{FAVORITES}" for machine in machines]
    writers = Writers(doors, lambda _: FILMS)

    writers.start()
    kill(one)
    start([(one, ("users",))])
    writers.join()

    assert writers.wrong == []
    assert writers.failed[doors[0]] > 0, "nobody noticed"
    assert writers.failed[doors[1]] == 0, writers.failed
    for number, films in writers.added.items():
        assert films == list(FILMS)
        assert rows(database_url, writers.user(number)) == dict.fromkeys(films, 1)


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
