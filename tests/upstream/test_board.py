"""Circuits that workers share through Redis, and what is left of it when Redis is gone."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bff.errors import CircuitOpen, Unreachable
from bff.upstream import bypass as bypass_module
from bff.upstream.board import NoBoard
from bff.upstream.breaker import Breaker, BreakerPolicy
from bff.upstream.over_redis import board as board_module
from bff.upstream.over_redis.board import RedisBoard
from tests.upstream.servers import RedisServer
from tests.upstream.tools import until

pytestmark = pytest.mark.e2e

POLICY = BreakerPolicy(failures=2, open_s=0.3, slow_s=1.0, successes=1)
LONG = BreakerPolicy(failures=2, open_s=60, slow_s=1.0, successes=1)
DOWN = Unreachable("tmdb")

# Another worker: a process of its own that does what it is told, a line at a time.
WORKER = """
import sys, time
import redis
from bff.errors import CircuitOpen
from bff.upstream.over_redis.board import RedisBoard
from bff.upstream.breaker import Breaker, BreakerPolicy
client = redis.Redis(port=int(sys.argv[1]), socket_timeout=0.2, socket_connect_timeout=0.2)
policy = BreakerPolicy(failures=2, open_s=float(sys.argv[2]), slow_s=1.0, successes=1)
breaker = Breaker("tmdb", "popular", policy, RedisBoard(client))
print("ready", flush=True)
for line in sys.stdin:
    word = line.strip()
    if word == "state":
        print(breaker.state, flush=True)
        continue
    try:
        with breaker.calling():
            if word == "fail":
                raise ValueError
        print("ok", flush=True)
    except ValueError:
        print("failed", flush=True)
    except CircuitOpen:
        print("refused", flush=True)
"""


class Worker:
    """The other process."""

    def __init__(self, port: int, open_s: float) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(port), str(open_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        assert self._line() == "ready"

    def __call__(self, word: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()
        return self._line()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def close(self) -> None:
        self._process.communicate(timeout=10)


@pytest.fixture(scope="module")
def lasting_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Return a Redis that nobody kills."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.close()


@pytest.fixture(scope="module")
def process(lasting_redis: RedisServer) -> Iterator[Worker]:
    """Return another worker whose circuits stay open for a minute; it takes a while to start."""
    other = Worker(lasting_redis.port, 60)
    yield other
    other.close()


@pytest.fixture
def worker(lasting_redis: RedisServer, process: Worker) -> Worker:
    """Return the other worker with its circuit closed."""
    lasting_redis.client().flushall()
    assert until(lambda: process("state") == "closed", 1)
    return process


def shared(server: RedisServer, policy: BreakerPolicy = POLICY) -> Breaker:
    """Return the same circuit as another worker has it."""
    return Breaker("tmdb", "popular", policy, RedisBoard(server.client()))


def fail(breaker: Breaker, times: int = 2) -> None:
    """Make calls that fail."""
    for _ in range(times):
        with pytest.raises(Unreachable), breaker.calling():
            raise DOWN


def succeed(breaker: Breaker) -> None:
    """Make a call."""
    with breaker.calling():
        pass


def test_board_when_one_process_opens_a_circuit_then_it_is_open_in_the_other(
    lasting_redis: RedisServer, worker: Worker
) -> None:
    """Within a second, and with what is left of the time."""
    mine = shared(lasting_redis, LONG)
    succeed(mine)
    assert worker("ok") == "ok"
    assert [worker("fail"), worker("fail"), worker("state")] == ["failed", "failed", "open"]
    assert until(lambda: mine.state == "open", 1)
    with pytest.raises(CircuitOpen) as caught:
        mine.check()
    assert 55 < (caught.value.retry_after_s or 0) <= 60


def test_board_when_one_process_closes_a_circuit_then_it_is_closed_in_the_other(
    lasting_redis: RedisServer, worker: Worker
) -> None:
    """The good probe of one worker serves all of them, within a second."""
    mine = shared(lasting_redis, POLICY)
    fail(mine)
    assert until(lambda: worker("state") == "open", 1)
    assert until(lambda: time.monotonic() > mine._opened + POLICY.open_s)
    succeed(mine)
    assert mine.state == "closed"
    assert until(lambda: worker("state") == "closed", 1)
    assert worker("ok") == "ok"


def test_board_when_half_open_then_one_probe_goes_out_over_all_workers(
    redis_server: RedisServer,
) -> None:
    """While one worker's probe is out, another worker's call is refused."""
    one, other = shared(redis_server), shared(redis_server)
    fail(one)
    assert until(lambda: other.state == "open", 1)
    assert until(lambda: time.monotonic() > max(one._opened, other._opened) + POLICY.open_s)
    with one.calling(), pytest.raises(CircuitOpen, match="another worker's probe"):
        succeed(other)
    assert until(lambda: other.state == "closed", 1)


def test_board_when_a_probe_fails_then_no_other_worker_probes_at_once(
    redis_server: RedisServer,
) -> None:
    """The circuit is open for its whole time again, for all of them."""
    one, other = shared(redis_server), shared(redis_server)
    fail(one)
    assert until(lambda: other.state == "open", 1)
    assert until(lambda: time.monotonic() > max(one._opened, other._opened) + POLICY.open_s)
    fail(one, 1)
    with pytest.raises(CircuitOpen):
        one.check()
    assert until(lambda: time.monotonic() > other._board._seen["tmdb.popular"][0] + 0.25)
    with pytest.raises(CircuitOpen) as caught:  # the failed probe counts for both
        other.check()
    assert (caught.value.retry_after_s or 9) <= POLICY.open_s


def test_board_when_a_circuit_is_taken_over_then_its_time_is_not_moved_on(
    redis_server: RedisServer,
) -> None:
    """Who follows does not tell the others its own news again."""
    client = redis_server.client()
    one, other = shared(redis_server, LONG), shared(redis_server, LONG)
    fail(one)
    told = client.get("bff:circuit:tmdb.popular")
    assert until(lambda: other.state == "open", 1)
    assert client.get("bff:circuit:tmdb.popular") == told


def test_board_when_a_probe_outlives_its_time_then_it_does_not_end_anothers(
    redis_server: RedisServer,
) -> None:
    """Who comes back late leaves the probe of another worker alone."""
    one, other = (RedisBoard(redis_server.client()) for _ in range(2))
    assert one.probe("x", 0.001)
    assert until(lambda: other.probe("x", 60))
    one.probed("x")
    assert not one.probe("x", 60)
    other.probed("x")
    assert one.probe("x", 60)


def test_board_when_redis_is_killed_then_each_worker_keeps_what_it_knows_with_one_warning(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """No error, one warning: an open circuit stays open, and a closed one still opens."""
    board = RedisBoard(redis_server.client())
    known = Breaker("tmdb", "known", LONG, board)
    new = Breaker("tmdb", "new", LONG, board)
    fail(known)
    redis_server.kill()
    fail(new)
    looked = time.monotonic() + 1.5 * board_module.LOOK_EVERY_S
    while time.monotonic() < looked:
        assert (known.state, new.state) == ("open", "open")
    assert sum("cache.bypassed" in record.getMessage() for record in caplog.records) == 1


def test_board_when_redis_is_back_then_circuits_are_shared_again(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What a worker found out meanwhile is told when Redis is back."""
    monkeypatch.setattr(bypass_module, "BYPASS_S", 0.2)
    one, other = shared(redis_server, LONG), shared(redis_server, LONG)
    redis_server.kill()
    fail(one)
    assert other.state == "closed"
    redis_server.start()
    assert until(lambda: one.state == "open" and other.state == "open", 2)
    assert sum("cache.back" in record.getMessage() for record in caplog.records) == 2


def test_board_when_redis_holds_garbage_then_the_circuit_is_the_workers_own(
    redis_server: RedisServer,
) -> None:
    """A value that is no moment is as good as none."""
    redis_server.client().set("bff:circuit:tmdb.popular", b"garbage")
    breaker = shared(redis_server)
    succeed(breaker)
    assert breaker.state == "closed"


def test_board_when_told_while_looking_then_the_look_does_not_undo_it(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow look that saw "closed" does not close what was opened meanwhile."""
    client = redis_server.client()
    board = RedisBoard(client)
    looking, go_on = threading.Event(), threading.Event()
    get = client.get

    def slow(name: str) -> object:
        found = get(name)
        looking.set()
        assert go_on.wait(5)
        return found

    monkeypatch.setattr(client, "get", slow)
    thread = threading.Thread(target=board.opened_at, args=("x",))
    thread.start()
    assert looking.wait(5)
    board.open("x", 5.0, 60)
    go_on.set()
    thread.join(5)
    assert board.opened_at("x") == 5.0


@pytest.mark.parametrize("skew_s", [-3600, 3600])
def test_board_when_another_machines_clock_is_wrong_then_the_circuit_is_open_at_most_its_time(
    redis_server: RedisServer, skew_s: float
) -> None:
    """A moment of another clock counts as now at the latest, and as one whole time ago at most."""
    RedisBoard(redis_server.client()).open("tmdb.popular", time.time() + skew_s, 600)
    breaker = shared(redis_server, LONG)
    assert breaker.state == "open"
    assert 0 <= time.monotonic() - breaker._opened <= LONG.open_s + 1


def test_no_board_then_a_worker_is_on_its_own() -> None:
    """It knows nothing, and lets the worker's own gate decide."""
    board = NoBoard()
    board.open("x", 1.0, 60)
    board.close("x")
    assert board.opened_at("x") is None
    assert board.probe("x", 1)
    board.probed("x")
    assert not board.shared
