"""The tier that workers share, on files and in Redis: what enters it, its locks, its losses."""

from __future__ import annotations

import fcntl
import gzip
import os
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import time_machine

from bff.upstream import shared
from bff.upstream import tier as tier_module
from bff.upstream.tier import FileStorage, Tier, on_files, on_redis
from tests.bff.upstream.servers import RedisServer
from tests.bff.upstream.tools import together
from tests.bff.upstream.workers import (
    JSON_TYPE,
    NEW,
    TTL,
    Upstream,
    Worker,
    question,
    value,
)

KEEP_S = 100_000


class Place:
    """A tier as several workers have it, and the bytes that it holds."""

    def __init__(self, place: Path | RedisServer) -> None:
        self.place = place

    def tier(self) -> Tier:
        """Return the tier of one more worker."""
        if isinstance(self.place, Path):
            return on_files(self.place, KEEP_S, 2**30)
        return on_redis(self.place.connect(), KEEP_S, 5)

    def worker(self) -> Worker:
        """Return one more worker."""
        return Worker(self.tier())

    def held(self) -> dict[str, bytes]:
        """Return the answers by their names, as they are kept."""
        if isinstance(self.place, Path):
            return {file.stem: file.read_bytes() for file in self.place.glob("*.json")}
        client = self.place.client()
        return {key.decode(): client.get(key) for key in client.keys("*:answers:*")}  # type: ignore[misc]

    def damage(self, junk: bytes) -> None:
        """Put this in place of all that is kept."""
        for name in self.held():
            if isinstance(self.place, Path):
                (self.place / f"{name}.json").write_bytes(junk)
            else:
                self.place.client().set(name, junk)


@pytest.fixture(scope="module")
def lasting_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Return a Redis that nobody kills."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.close()


@pytest.fixture(params=["files", pytest.param("redis", marks=pytest.mark.e2e)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Return where workers share answers: a folder that is not there yet, or an empty Redis."""
    if request.param == "files":
        return Place(tmp_path / "var" / "cache")
    server = request.getfixturevalue("lasting_redis")
    server.client().flushall()
    return Place(server)


def warnings(caplog: pytest.LogCaptureFixture) -> int:
    """Return how often somebody was warned."""
    return sum("cache.unusable" in record.getMessage() for record in caplog.records)


# -- what is kept

TEXT = orjson.dumps({"value": "ünïcode ☃"})
GZIPPED = gzip.compress(TEXT)
ODD = b'\n {"value": "\\u00fcn\\u00efcode \\u2603", "large": 123456789012345678901234}'
CDN = {"Vary": "Accept-Encoding, Origin", "Cache-Control": "no-store", "ETag": "1"}
KEPT: dict[str, tuple[bytes, dict[str, str]]] = {
    "JSON": (TEXT, JSON_TYPE),
    "HTML": (TEXT, {"Content-Type": "text/html"}),
    "untyped": (TEXT, {}),
    "odd": (ODD, JSON_TYPE),
    "gzip without a word": (GZIPPED, JSON_TYPE),
    "gzip": (GZIPPED, {**JSON_TYPE, "Content-Encoding": "gzip"}),
    "headers of a CDN": (TEXT, {**JSON_TYPE, **CDN}),
}


@pytest.mark.parametrize(("body", "headers"), KEPT.values(), ids=KEPT.keys())
def test_tier_when_an_answer_comes_then_other_workers_read_the_same(
    upstream: Upstream, place: Place, body: bytes, headers: dict[str, str]
) -> None:
    """Whatever its type, its packing and its headers are, it is kept as it came."""
    upstream.gives(body, headers=headers)
    outcomes = [place.worker().ask(question()) for _ in range(3)]
    assert [value(outcome) for outcome in outcomes] == ["ünïcode ☃"] * 3
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("junk", [b"", b"{}", b"null", b"5", b"\xff\x00", "half", "another"])
def test_tier_when_an_entry_is_torn_then_it_is_a_miss_and_is_put_right(
    upstream: Upstream, place: Place, junk: bytes | str, caplog: pytest.LogCaptureFixture
) -> None:
    """Or of another release. The next worker asks, and the one after it reads what that brought."""
    if junk == "another":
        upstream.gives({"another": "shape"})
        place.worker().ask(question(decode=orjson.loads))
        upstream.gives(NEW)
    else:
        place.worker().ask(question())
    whole = next(iter(place.held().values()))
    if junk != "another":
        place.damage(whole[: len(whole) // 2] if isinstance(junk, str) else junk)
    for _ in range(2):
        assert value(place.worker().ask(question())) == "new"
    assert len(upstream.requests) == 2
    assert warnings(caplog) == 0


def test_tier_when_an_answer_is_kept_then_no_credential_is(
    upstream: Upstream, place: Place
) -> None:
    """Neither the token nor the key stands in an entry or its name, and neither makes the name."""
    upstream.gives(NEW, headers={**JSON_TYPE, "Set-Cookie": "session=planted-cookie"})
    worker = place.worker()
    worker.ask(question())
    request = question().request()
    assert "planted-key" in str(request.url)
    assert "planted-token" in request.headers["Authorization"]
    for name, kept in place.held().items():
        assert b"planted" not in kept.replace(b"planted-cookie", b"")
        assert "planted" not in name
    other = question().request()
    other.url = str(other.url).replace("planted-key", "another-key")
    other.headers["Authorization"] = "Bearer another"
    assert worker.tier.name(other) == worker.tier.name(request)
    other.url = other.url.replace("a=1", "a=2")
    assert worker.tier.name(other) != worker.tier.name(request)


# -- locks


def test_lock_when_sixteen_wait_then_one_after_the_other_has_it(place: Place) -> None:
    """Never two of them, over threads and workers; the lock of another name is free."""
    tiers, inside, most = [place.tier() for _ in range(4)], [0], [0]

    def run(number: int) -> bool:
        with tiers[number % 4].lock("a", 20) as mine:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            with tiers[0].lock("a", 0) as second, tiers[1].lock(f"b{number}", 0) as elsewhere:
                assert (second, elsewhere) == (False, True)
            with tiers[2].lock("a", 0.02) as waited:
                assert waited is False
            inside[0] -= 1
            return mine

    assert together(16, run) == [True] * 16
    assert most == [1]


@pytest.mark.parametrize("error", [OSError(37, "No locks available"), PermissionError()])
def test_lock_when_the_file_system_knows_no_locks_then_nobody_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    """Everybody asks for themselves, at once."""

    def flock(*_: object) -> None:
        raise error

    monkeypatch.setattr(fcntl, "flock", flock)
    tier = on_files(tmp_path, KEEP_S, 2**30)
    with tier.lock("a", 1000) as first, tier.lock("a", 1000) as second:
        assert (first, second) == (True, True)


# -- files


def test_files_when_answers_are_kept_then_only_their_owner_reads_them(
    upstream: Upstream, tmp_path: Path
) -> None:
    """Answers and locks are 0600, in a folder of 0700."""
    folder = tmp_path / "var" / "cache"
    Worker(on_files(folder, KEEP_S, 2**30)).ask(question())
    modes = {path.suffix: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes == {".json": 0o600, ".lock": 0o600}
    storage(tmp_path / "again")["key"] = {}  # an operator has removed the folder meanwhile
    for made in (folder, tmp_path / "again"):
        assert stat.S_IMODE(made.stat().st_mode) == 0o700


def storage(folder: Path, keep_s: float = KEEP_S, most_bytes: int = 2**30) -> FileStorage:
    """Return a storage that holds JSON in place of answers."""
    return FileStorage(folder, keep_s, most_bytes)


def test_files_when_they_are_too_old_or_too_much_then_the_oldest_go(tmp_path: Path) -> None:
    """Answers, locks, and what a worker that was killed has left half written; none is free."""
    files = storage(tmp_path, keep_s=100, most_bytes=100_000)
    for number in range(10):
        files[f"aa{number}"] = {"n": "x" * 20_000}
        os.utime(tmp_path / f"aa{number}.json", (number, time.time() - 50 + number))
    for name in ("a.lock", "bb.x_1.new", "aa9.json", "users.sqlite"):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (1, time.time() - 101))
    files.prune()
    left = [f"aa{n}" for n in (5, 6, 7, 8)]
    assert sorted(path.stem for path in tmp_path.iterdir()) == [*left, "users"]  # is not ours
    for number in range(100):
        (tmp_path / f"{number}.lock").touch()
    files.prune()
    assert len(list(tmp_path.iterdir())) == 1 + 100_000 // tier_module.LEAST_BYTES


def test_files_when_many_are_written_then_they_are_pruned_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the first write and every so many; between two prunings it may grow."""
    monkeypatch.setattr(tier_module, "PRUNE_EVERY", 10)
    files = storage(tmp_path, most_bytes=10 * 4096)
    counts = []
    for number in range(50):
        files[f"{number}"] = {"n": number}
        counts.append(len(files))
    assert max(counts) <= 20
    assert counts[-1] >= 10


# -- losses


def ask_all(worker: Worker, count: int = 5) -> list[Any]:
    """Ask for as many different answers."""
    return [value(worker.ask(question(f"{number}"))) for number in range(count)]


def said(tier: Tier) -> tuple[str, str]:
    """Return what readiness tells."""
    (check,) = tier.health()["cache:store"]
    return check["observedValue"], check["status"]


def test_files_when_the_folder_cannot_be_made_then_every_worker_asks_with_one_warning(
    upstream: Upstream, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A file stands where the folder should be: pages as before, straight from TMDB."""
    (tmp_path / "file").touch()
    tier = on_files(tmp_path / "file" / "cache", KEEP_S, 2**30)
    worker = Worker(tier)
    assert together(4, lambda _: ask_all(worker)) == [["new"] * 5] * 4
    assert warnings(caplog) == 1
    assert said(tier) == ("read: NotADirectoryError write: NotADirectoryError", "warn")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Return a file system of 64 kB."""
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(path)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("a file system cannot be mounted here")
    yield path
    subprocess.run(["umount", str(path)], check=True)


@pytest.mark.parametrize("fault", ["full", "read-only"])
def test_files_when_the_disk_takes_nothing_then_pages_come_from_tmdb_with_one_warning(
    moment: time_machine.Traveller,
    upstream: Upstream,
    disk: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
) -> None:
    """What is there can still be read, and each new answer is asked for once by each worker."""
    monkeypatch.setattr(tier_module, "WARN_EVERY_S", 1e9)  # it is asked for once in that time
    tier = on_files(disk / "cache", KEEP_S, 2**30)
    first = Worker(tier)
    assert ask_all(first, 2) == ["new"] * 2
    if fault == "full":
        with (disk / "other").open("wb", 0) as file:
            assert file.write(b"x" * 65_536) < 65_536
    else:
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    for _ in range(3):
        worker = Worker(tier)
        upstream.forget()
        assert ask_all(worker, 5) == ["new"] * 5
        assert ask_all(worker, 5) == ["new"] * 5
        assert len(upstream.requests) == 3
    assert warnings(caplog) == 1
    assert said(tier) == ("write: OSError", "warn")
    assert not list((disk / "cache").glob("tmp*"))
    subprocess.run(["mount", "-o", "remount,rw,size=1m", str(disk)], check=True)
    assert ask_all(Worker(tier), 5) == ["new"] * 5
    assert said(tier) == ("usable", "pass")
    assert ask_all(Worker(tier), 5) == ["new"] * 5
    assert len(upstream.requests) == 6
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    assert value(Worker(tier).ask(question("another"))) == "new"
    assert said(tier) == ("write: OSError", "warn")
    assert warnings(caplog) == 1  # a disk that is nearly full fails now and then


@pytest.fixture
def redis_tier(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Tier:
    """Return a tier over a Redis that can be killed; it is tried again at once."""
    monkeypatch.setattr(shared, "COOLDOWN_S", 0.0)
    return on_redis(redis_server.connect(), KEEP_S, 5)


LOSSES = {
    "gone": (RedisServer.kill, RedisServer.start),
    "hanging": (RedisServer.stop, RedisServer.go_on),
}


@pytest.mark.e2e
@pytest.mark.parametrize(("lose", "restore"), LOSSES.values(), ids=LOSSES.keys())
def test_redis_when_it_is_lost_then_no_call_fails_and_it_is_used_again_when_it_is_back(
    upstream: Upstream,
    redis_server: RedisServer,
    redis_tier: Tier,
    caplog: pytest.LogCaptureFixture,
    lose: Callable[[RedisServer], None],
    restore: Callable[[RedisServer], None],
) -> None:
    """Each worker asks TMDB for itself, with one warning; its memory goes on as before."""
    worker = Worker(redis_tier)
    assert ask_all(worker, 1) == ["new"]
    lose(redis_server)
    assert ask_all(worker, 2) == ["new"] * 2
    assert ask_all(Worker(redis_tier), 1) == ["new"]
    assert len(upstream.requests) == 3
    assert warnings(caplog) == 1
    assert said(redis_tier)[1] == "warn"
    restore(redis_server)
    assert value(worker.ask(question("another"))) == "new"
    assert said(redis_tier) == ("usable", "pass")
    assert value(Worker(redis_tier).ask(question("another"))) == "new"
    assert len(upstream.requests) == 4


@pytest.mark.e2e
def test_redis_when_it_goes_while_a_call_is_out_then_the_answer_comes(
    upstream: Upstream, redis_server: RedisServer, redis_tier: Tier
) -> None:
    """The lock cannot be given back, and the answer not be kept; neither is the caller's."""
    upstream.meanwhile = redis_server.kill
    assert ask_all(Worker(redis_tier), 1) == ["new"]


@pytest.mark.e2e
def test_redis_when_answers_are_kept_then_everything_in_it_ends_by_itself(
    upstream: Upstream, lasting_redis: RedisServer
) -> None:
    """An answer after its time and that of stale answers; no lock is left."""
    client = lasting_redis.client()
    client.flushall()
    place = Place(lasting_redis)
    place.worker().ask(question())
    (key,) = client.keys("*")
    assert KEEP_S < client.ttl(key) <= KEEP_S + TTL
