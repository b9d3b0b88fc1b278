"""Where workers share answers and leases: under load, broken, locked and gone."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import logging
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from bff.upstream import bypass as bypass_module
from bff.upstream import store as store_module
from bff.upstream.bypass import Bypass
from bff.upstream.over_redis.store import RedisStore
from bff.upstream.store import FileStore, NoStore, Store, Stored
from tests.upstream.servers import RedisServer
from tests.upstream.tools import until

ANSWER = Stored(b'{"page": 1}', 1_700_000_000.5, 300.0)
MISSING = Stored(None, 1_700_000_000.5, 60.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the file is."""
    return tmp_path / "var" / "cache.sqlite"


@pytest.fixture
def make_file(path: Path) -> Iterator[Callable[..., FileStore]]:
    """Return a maker of stores over one file, as several workers have them."""
    made: list[FileStore] = []

    def make(most: int = 1000, **more: int) -> FileStore:
        made.append(FileStore(path, most, **more))
        return made[-1]

    yield make
    for store in made:
        store.close()


@pytest.fixture(scope="module")
def lasting_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Return a Redis that nobody kills."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.close()


@pytest.fixture(params=["file", pytest.param("redis", marks=pytest.mark.e2e)])
def pair(request: pytest.FixtureRequest) -> tuple[Store, Store]:
    """Return the store of two workers, in a file and in Redis."""
    if request.param == "file":
        make = request.getfixturevalue("make_file")
        return make(), make()
    server = request.getfixturevalue("lasting_redis")
    server.client().flushall()
    return RedisStore(server.client()), RedisStore(server.client())


def warnings(caplog: pytest.LogCaptureFixture, event: str = "cache.bypassed") -> int:
    """Return how often an event was logged."""
    return sum(event in record.getMessage() for record in caplog.records)


def elsewhere(task: Callable[[], object]) -> object:
    """Do something in another thread."""
    results: list[object] = []
    thread = threading.Thread(target=lambda: results.append(task()))
    thread.start()
    thread.join(10)
    return results[0]


# -- what both do


@pytest.mark.parametrize("stored", [ANSWER, MISSING, Stored(b"", 1.0, 1.0), Stored(b"\n{}", 1, 2)])
def test_store_when_one_worker_puts_then_the_other_gets(
    pair: tuple[Store, Store], stored: Stored
) -> None:
    """Bytes, "there is none", nothing at all and line breaks come back as they were."""
    one, other = pair
    assert other.get("key") is None
    one.put("key", stored, 60)
    assert other.get("key") == stored
    one.put("key", MISSING, 60)
    assert other.get("key") == MISSING


def test_store_when_a_key_is_odd_then_it_is_a_key_like_any_other(pair: tuple[Store, Store]) -> None:
    """Quotes, NUL and the language of the store mean nothing in it."""
    keys = ["'; DROP TABLE answers; --", '"', "\x00", "%", "ключ", "x" * 10_000, ""]
    for number, key in enumerate(keys):
        pair[0].put(key, Stored(b"x", float(number), 1.0), 60)
    assert [found and found.stored_at for found in map(pair[1].get, keys)] == list(range(7))


def test_lease_when_one_worker_has_it_then_the_other_has_not(pair: tuple[Store, Store]) -> None:
    """One holder at a time, by key; given back it is free."""
    one, other = pair
    assert one.lease("a", 5)
    assert not other.lease("a", 5)
    assert not elsewhere(lambda: one.lease("a", 5))
    assert other.lease("b", 5)
    assert 4 < other.held_s("a") <= 5
    one.release("a")
    assert other.held_s("a") == 0
    assert other.lease("a", 5)


def test_lease_when_it_has_run_out_then_its_old_holder_cannot_end_the_new_one(
    pair: tuple[Store, Store],
) -> None:
    """Who worked for too long does not let a third one in."""
    one, other = pair
    assert one.lease("a", 0.01)
    assert until(lambda: other.lease("a", 5), 2)
    one.release("a")
    assert not one.lease("a", 5)
    elsewhere(lambda: other.release("a"))  # another thread's is another's as well
    assert not one.lease("a", 5)
    other.release("a")
    assert one.lease("a", 5)


def test_hold_when_a_shorter_time_comes_then_the_longer_one_stays(
    pair: tuple[Store, Store],
) -> None:
    """A pause can be prolonged by anybody and shortened by nobody."""
    one, other = pair
    one.hold("pause", 0.5)
    other.hold("pause", 30)
    one.hold("pause", 1)
    assert 28 < one.held_s("pause") <= 30


def test_no_store_then_a_worker_is_on_its_own() -> None:
    """It keeps nothing, and everybody may ask."""
    store = NoStore()
    store.put("a", ANSWER, 60)
    store.hold("a", 60)
    store.release("a")
    store.close()
    assert store.get("a") is None
    assert store.lease("a", 1)
    assert store.lease("a", 1)
    assert store.held_s("a") == 0


@given(st.binary(max_size=200))
def test_unpack_when_given_anything_then_is_an_answer_or_a_value_error(packed: bytes) -> None:
    """Whatever stands in a store, it is no other error."""
    for data in (packed, b"{}\n" + packed, b"[1]\n", b"5\n", b'{"missing": 1}\n', b'"x"'):
        with contextlib.suppress(ValueError):
            assert isinstance(Stored.unpack(data), Stored)


def test_store_when_one_entry_is_garbage_then_only_that_one_is_lost(
    pair: tuple[Store, Store], caplog: pytest.LogCaptureFixture
) -> None:
    """It is as good as absent; the store is not bypassed for it."""
    one, other = pair
    one.put("good", ANSWER, 60)
    if isinstance(one, FileStore):
        for number, junk in enumerate((b"junk", b"[]\n", None, "text")):
            with one._opened().connection(commit=True) as db:
                name = store_module._name(f"bad{number}")
                db.execute(
                    "INSERT INTO answers (key, value, expires) VALUES (?,?,9e9)", (name, junk)
                )
    else:
        for number, junk in enumerate((b"junk", b"[]\n", b"", b"text")):
            one._client.set(f"bff:tmdb:bad{number}", junk)  # type: ignore[attr-defined]
    assert [other.get(f"bad{number}") for number in range(4)] == [None] * 4
    assert other.get("good") == ANSWER
    assert warnings(caplog) == 0


# -- the bypass


def test_bypass_when_many_threads_fail_at_once_then_warns_once_and_skips(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One warning for an outage; one caller tries again; one line when it is back."""
    monkeypatch.setattr(bypass_module, "BYPASS_S", 0.05)
    run, calls, barrier = Bypass("x", (OSError,)), [], threading.Barrier(16)

    def fails() -> str:
        calls.append(1)
        barrier.wait(5)
        raise OSError

    threads = [threading.Thread(target=run, args=(fails, "else")) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert (len(calls), warnings(caplog)) == (16, 1)

    def still_down() -> str:
        calls.append(1)
        raise OSError

    assert until(lambda: run(still_down, "else") == "else" and len(calls) >= 18, 3)
    assert warnings(caplog) == 1
    assert until(lambda: run(lambda: "works", "else") == "works", 2)
    assert warnings(caplog, "cache.back") == 1


def test_bypass_when_an_old_operation_succeeds_then_it_is_not_taken_for_the_end_of_the_outage() -> (
    None
):
    """An operation that began before the fault says nothing about what comes after it."""
    run = Bypass("x", (OSError,))

    def fails() -> str:
        raise OSError

    assert run(lambda: run(fails, "inner"), "outer") == "inner"
    assert run(lambda: "tried", "skipped") == "skipped"


def test_bypass_when_something_else_is_raised_then_it_is_a_bug() -> None:
    """Only the faults of the store are skipped."""
    with pytest.raises(ZeroDivisionError):
        Bypass("x", (OSError,))(lambda: 1 // 0, 0)


# -- the file


def test_file_when_it_is_no_database_then_is_moved_aside(
    path: Path, make_file: Callable[..., FileStore], caplog: pytest.LogCaptureFixture
) -> None:
    """Its content is kept, a new file takes its place, and the request notices nothing."""
    path.parent.mkdir()
    path.write_bytes(b"this is no database, it is a text of some length " * 100)
    store = make_file()
    store.put("a", ANSWER, 60)
    assert store.get("a") == ANSWER
    aside = list(path.parent.glob("*.corrupt-*"))
    assert len(aside) == 1
    assert aside[0].read_bytes().startswith(b"this is no database")
    assert (warnings(caplog, "cache.moved_aside"), warnings(caplog)) == (1, 0)


def test_file_when_two_workers_find_it_broken_then_they_share_the_new_one(
    path: Path, make_file: Callable[..., FileStore], caplog: pytest.LogCaptureFixture
) -> None:
    """The second one does not move the first one's new file aside."""
    path.parent.mkdir()
    path.write_bytes(b"this is no database" * 100)
    stores = [make_file() for _ in range(4)]
    threads = [threading.Thread(target=store.get, args=("a",)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    stores[0].put("a", ANSWER, 60)
    assert [store.get("a") for store in stores] == [ANSWER] * 4
    assert warnings(caplog, "cache.moved_aside") == 1


def test_file_when_it_breaks_while_it_is_used_then_is_replaced_without_a_restart(
    path: Path,
    make_file: Callable[..., FileStore],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A page that is overwritten: bypassed with a warning, looked at, moved aside."""
    monkeypatch.setattr(bypass_module, "BYPASS_S", 0.05)
    store = make_file()
    for number in range(300):
        store.put(f"k{number}", Stored(b"x" * 2000, 1.0, 1.0), 60)
    with store._opened().connection() as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store._opened().close()  # type: ignore[no-untyped-call]
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 300_000)
    caplog.set_level(logging.INFO)

    def works() -> bool:
        for number in range(300):
            store.get(f"k{number}")
        store.put("new", ANSWER, 60)
        return store.get("new") == ANSWER

    assert until(works, 5)
    assert warnings(caplog, "cache.moved_aside") == 1
    assert warnings(caplog) == 1


def test_file_when_another_process_locks_it_then_is_bypassed_quickly_and_comes_back(
    path: Path,
    make_file: Callable[..., FileStore],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Sixteen threads wait a tenth of a second at most, with one warning; then it works again."""
    monkeypatch.setattr(bypass_module, "BYPASS_S", 0.3)
    store = make_file()
    store.put("a", ANSWER, 60)
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    took: list[float] = []

    def write() -> None:
        started = time.thread_time(), time.monotonic()
        store.put("b", ANSWER, 60)
        took.append(time.monotonic() - started[1])

    threads = [threading.Thread(target=write) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert max(took) < 0.35  # twice the lock's wait, and what a busy machine adds
    started = time.monotonic()
    for _ in range(100):
        store.put("b", ANSWER, 60)
        assert store.lease("b", 5)  # everybody may ask while nobody can be asked
    assert time.monotonic() - started < 0.25  # skipped, not waited for
    assert warnings(caplog) == 1
    other.rollback()
    other.close()
    assert until(lambda: store.put("b", ANSWER, 60) or store.get("b") == ANSWER, 3)
    assert warnings(caplog) == 1
    assert not list(path.parent.glob("*.corrupt-*"))


def test_file_when_it_is_locked_before_it_is_opened_then_is_not_thrown_away(
    path: Path, make_file: Callable[..., FileStore], caplog: pytest.LogCaptureFixture
) -> None:
    """A lock is no damage."""
    path.parent.mkdir()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("CREATE TABLE theirs (a)")
    other.execute("BEGIN EXCLUSIVE")
    started = time.monotonic()
    store = make_file()
    assert store.get("a") is None
    store.put("a", ANSWER, 60)
    assert time.monotonic() - started < 0.5
    other.rollback()
    other.close()
    assert (warnings(caplog), warnings(caplog, "cache.moved_aside")) == (1, 0)


def test_file_when_its_folder_cannot_be_written_then_each_part_is_bypassed_with_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A file stands where the folder should be: every operation goes on without."""
    (tmp_path / "file").write_text("")
    store = FileStore(tmp_path / "file" / "cache.sqlite", 10)
    for _ in range(5):
        store.put("a", ANSWER, 60)
        assert store.get("a") is None
        assert store.lease("a", 1)
        store.release("a")
        store.hold("a", 1)
        assert store.held_s("a") == 0
    store.close()
    told = [record.__dict__["fields"]["store"] for record in caplog.records]
    assert [told.count(part) for part in ("file", "leases")] == [1, 1]
    assert warnings(caplog) == 2


def test_file_when_it_was_closed_then_is_neither_opened_again_nor_warned_of(
    path: Path, make_file: Callable[..., FileStore], caplog: pytest.LogCaptureFixture
) -> None:
    """What a thread still does at the end finds nothing."""
    store = make_file()
    store.put("a", ANSWER, 60)
    store.close()
    store.put("b", ANSWER, 60)
    assert store.get("a") is None
    assert store.lease("a", 1)
    assert store._table is None
    assert caplog.records == []


def rows(path: Path) -> tuple[int, int]:
    """Return how many answers the file holds, and their bytes."""
    db = sqlite3.connect(path)
    try:
        count, size = db.execute("SELECT COUNT(*), SUM(LENGTH(value)) FROM answers").fetchone()
        return count, size or 0
    finally:
        db.close()


def test_file_when_it_is_full_then_those_that_expire_first_go(
    path: Path, make_file: Callable[..., FileStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bounded by entries, with the slack between two prunings."""
    monkeypatch.setattr(FileStore, "PRUNE_EVERY", 10)
    store = make_file(50)
    for number in range(300):
        store.put(f"k{number}", ANSWER, 1000 + number)
        assert number % 50 or rows(path)[0] <= 60
    assert store.get("k299") is not None
    assert store.get("k100") is None
    assert rows(path)[0] >= 45  # and no more than a tenth goes beyond need


def test_file_when_answers_are_large_then_its_bytes_are_bounded(
    path: Path, make_file: Callable[..., FileStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a megabyte, and the slack between two prunings."""
    monkeypatch.setattr(FileStore, "PRUNE_EVERY", 5)
    store = make_file(10_000, most_bytes=500_000)
    for number in range(100):
        store.put(f"k{number}", Stored(b"x" * 50_000, 1.0, 1.0), 1000 + number)
    count, size = rows(path)
    assert size <= 500_000 + 5 * 50_100
    assert count >= 9
    assert store.get("k99") is not None


def test_file_when_its_answers_waste_room_then_not_every_pruning_goes_through_all(
    path: Path, make_file: Callable[..., FileStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer of 4.1 kB takes a page of 4 kB and a part of another."""
    monkeypatch.setattr(FileStore, "PRUNE_EVERY", 1)
    store = make_file(10_000, most_bytes=400_000)
    counts = []
    for number in range(200):
        store.put(f"k{number}", Stored(b"x" * 4100, 1.0, 1.0), 1000 + number)
        counts.append(rows(path)[0])
    fell = sum(after < before for before, after in itertools.pairwise(counts))
    with contextlib.closing(sqlite3.connect(path)) as db:
        held = store_module._bytes_of(db)
    assert 0 < fell <= 40
    assert 300_000 < held <= 400_000
    assert counts[-1] * 4100 < 0.9 * held


def test_file_when_answers_have_expired_then_they_are_forgotten(
    path: Path, make_file: Callable[..., FileStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their rows go, so that the file does not grow."""
    store = make_file()
    store.put("first", ANSWER, -100)
    monkeypatch.setattr(FileStore, "PRUNE_EVERY", 1)
    store.put("second", ANSWER, 60)
    assert rows(path)[0] == 1


def test_lease_when_the_clock_was_set_back_then_an_old_one_does_not_last_for_hours(
    make_file: Callable[..., FileStore],
) -> None:
    """A lease that ends later than it can is void."""
    store = make_file()
    store.hold("a", 3600)
    assert store.lease("a", 1)


def states(store: Store) -> dict[str, str]:
    """Return what readiness tells of the parts of a store."""
    return {one["componentId"]: one["observedValue"] for one in store.health()["cache:store"]}


def test_lease_when_others_lock_the_leases_then_is_given_at_once_and_shared_again_soon(
    path: Path, make_file: Callable[..., FileStore], caplog: pytest.LogCaptureFixture
) -> None:
    """As with a locked file of answers: a quarter of a second without, and answers go on."""
    one, other = make_file(), make_file()
    assert one.lease("a", 5)
    with path.with_name(f"{path.name}.leases").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        started = time.monotonic()
        for _ in range(100):
            assert other.lease("a", 5)
            assert other.held_s("a") > 4  # whoever has it, and without a word of "back"
        assert time.monotonic() - started < 0.2
        other.put("b", ANSWER, 60)
        assert one.get("b") == ANSWER
        assert states(other) == {"file": "in use", "leases": "bypassed"}
    assert until(lambda: not other.lease("a", 5), bypass_module.BYPASS_S / 2)
    assert states(other) == {"file": "in use", "leases": "in use"}
    assert warnings(caplog) == 1


def test_lease_when_the_leases_cannot_be_opened_then_answers_are_shared_all_the_same(
    path: Path, make_file: Callable[..., FileStore], caplog: pytest.LogCaptureFixture
) -> None:
    """One warning, and not a pair of lines for each answer."""
    path.with_name(f"{path.name}.leases").mkdir(parents=True)
    one, other = make_file(), make_file()
    for number in range(5):
        assert one.lease("a", 5)
        one.put(f"k{number}", ANSWER, 60)
        one.release("a")
        assert other.get(f"k{number}") == ANSWER
    assert (warnings(caplog), warnings(caplog, "cache.back")) == (1, 0)


def test_lease_when_the_answers_are_locked_then_releases_and_pauses_are_shared_all_the_same(
    path: Path, make_file: Callable[..., FileStore]
) -> None:
    """A lease ends with its call, and a pause of TMDB is for every worker."""
    one, other = make_file(), make_file()
    one.put("b", ANSWER, 60)
    assert one.lease("a", 60)
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("BEGIN EXCLUSIVE")
    one.put("b", ANSWER, 60)
    assert states(one) == {"file": "bypassed", "leases": "in use"}
    one.release("a")
    one.hold("pause", 60)
    db.rollback()
    db.close()
    assert other.held_s("a") == 0
    assert 59 < other.held_s("pause") <= 60


# Four workers, forked before any of them opens the file as gunicorn forks them. Each has sixteen
# threads that put, get and lease in turn, and notes when it held a lease. They wait
# for the file for longer than the app, so that a busy machine is not taken for a locked file.
LOAD = """
import json, os, sys, threading, time
from pathlib import Path
from bff.upstream import store as module
module.LOCK_WAIT_S = 5
store = module.FileStore(Path(sys.argv[1]), 1000)
worker = next((number for number in range(3) if os.fork() == 0), 3)
held, errors, done = [], [], [0] * 16
def run(number):
    try:
        for turn in range(15):
            key = f"k{turn % 5}"
            if store.lease(key, 60):
                since = time.monotonic()
                store.put(key, module.Stored(b"x" * 20_000, time.time(), 300.0), 1000)
                assert len(store.get(key).body) == 20_000
                held.append((key, since, time.monotonic()))
                store.release(key)
            store.held_s(key)
            done[number] += 1
            time.sleep(0.01)
    except Exception as error:
        errors.append(repr(error))
threads = [threading.Thread(target=run, args=(n,)) for n in range(16)]
for thread in threads: thread.start()
for thread in threads: thread.join()
lost = store._bypass._lost
store.close()
result = {"held": held, "errors": errors, "done": min(done), "lost": lost}
Path(f"{sys.argv[1]}.{worker}.json").write_text(json.dumps(result))
if worker == 3:
    for _ in range(3): os.wait()
"""


@pytest.mark.e2e
def test_file_when_four_workers_with_sixteen_threads_use_it_then_nothing_fails(path: Path) -> None:
    """No exception, no thread left out, and never two holders of one lease."""
    path.parent.mkdir()
    subprocess.run(
        [sys.executable, "-c", LOAD, str(path)], check=True, cwd=Path(__file__).parents[2]
    )
    results = [json.loads(path.with_name(f"{path.name}.{n}.json").read_text()) for n in range(4)]
    assert [result["errors"] for result in results] == [[]] * 4
    assert not any(result["lost"] for result in results)
    assert [result["done"] for result in results] == [15] * 4
    held = sorted(tuple(span) for result in results for span in result["held"])
    assert len(held) > 20
    for (key, _, end), (other, since, _) in itertools.pairwise(held):
        assert key != other or since >= end


# -- Redis


@pytest.mark.e2e
def test_redis_when_killed_then_is_bypassed_with_one_warning_and_comes_back(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every operation goes on without, at once; and with it when it is there again."""
    monkeypatch.setattr(bypass_module, "BYPASS_S", 0.2)
    store = RedisStore(redis_server.client())
    store.put("a", ANSWER, 60)
    assert store.get("a") == ANSWER
    redis_server.kill()
    started = time.monotonic()
    for _ in range(20):
        store.put("a", ANSWER, 60)
        assert store.get("a") is None
        assert store.lease("a", 1)
        store.release("a")
        store.hold("a", 1)
        assert store.held_s("a") == 0
    assert time.monotonic() - started < 1
    assert warnings(caplog) == 1
    redis_server.start()
    assert until(lambda: store.put("a", ANSWER, 60) or store.get("a") == ANSWER, 3)
    assert (warnings(caplog), warnings(caplog, "cache.back")) == (1, 1)


@pytest.mark.e2e
def test_redis_when_it_has_closed_an_idle_connection_then_nothing_is_lost(
    lasting_redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """A connection that ended in the pool is made anew, without a warning."""
    client = lasting_redis.client()
    store = RedisStore(client)
    store.put("a", ANSWER, 60)
    lasting_redis.client().client_kill_filter(skipme=True, _type="normal")
    assert store.get("a") == ANSWER
    assert warnings(caplog) == 0


@pytest.mark.e2e
def test_redis_when_it_hangs_then_an_operation_takes_half_a_second_at_most(
    serve: Callable[..., object], caplog: pytest.LogCaptureFixture
) -> None:
    """A Redis that accepts and says nothing is bypassed like one that is gone."""
    server = serve(lambda connection, this: this.over.wait(10))
    client = redis.Redis(
        port=server.port,  # type: ignore[attr-defined]
        socket_timeout=0.2,
        socket_connect_timeout=0.2,
    )
    store = RedisStore(client)
    started = time.monotonic()
    for _ in range(20):
        assert store.get("a") is None
    assert time.monotonic() - started < 0.7
    assert warnings(caplog) == 1
    client.close()
