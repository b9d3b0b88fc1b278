"""Leases in a mapped file: taken by one, given back, run out, left by the dead, too many."""

from __future__ import annotations

import fcntl
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bff.upstream import leases as module
from bff.upstream.leases import PROBES, SLOTS, Leases
from scripts.processes import ROOT, until


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the file is."""
    return tmp_path / "leases"


@pytest.fixture
def leases(path: Path) -> Iterator[Leases]:
    """Return leases that are closed at the end."""
    made = Leases(path)
    yield made
    made.close()


def keys_of_one_spot(count: int) -> list[str]:
    """Return keys that hash to the same slot."""
    found: dict[int, list[str]] = {}
    for number in range(200_000):
        key = f"k{number}"
        spot = found.setdefault(module._hash(key) % SLOTS, [])
        spot.append(key)
        if len(spot) == count:
            return spot
    raise AssertionError("no such spot")


def test_take_when_it_is_held_then_nobody_else_gets_it(leases: Leases, path: Path) -> None:
    """Nor through another mapping of the file, as another worker has one."""
    other = Leases(path)
    end = leases.take("a", 5)
    assert end is not None
    assert leases.take("a", 5) is None
    assert other.take("a", 5) is None
    assert other.take("b", 5) is not None
    assert 4 < other.held_s("a") <= 5
    leases.give_back("a", end)
    assert other.held_s("a") == 0
    assert other.take("a", 5) is not None
    other.close()


def test_give_back_when_it_has_run_out_and_is_anothers_then_it_stays(leases: Leases) -> None:
    """Who worked for too long does not let a third one in."""
    end = leases.take("a", 0.001)
    assert end is not None
    assert until(lambda: leases.held_s("a") == 0, 2)
    assert leases.take("a", 5) is not None
    leases.give_back("a", end)
    assert leases.take("a", 5) is None


def test_hold_when_it_is_held_already_then_the_later_end_counts(leases: Leases) -> None:
    """A pause can be prolonged by anybody and shortened by nobody."""
    for seconds in (0.5, 30, 1):
        leases.hold("pause", seconds)
    assert 28 < leases.held_s("pause") <= 30


@pytest.mark.parametrize(
    "content", [b"", b"\xff" * 2 * 8 * SLOTS, random.Random(1).randbytes(99_999)]
)
def test_leases_when_the_file_has_anything_in_it_then_they_work(path: Path, content: bytes) -> None:
    """What nobody wrote holds nobody up: ends in the far future are void, and NaN is no end."""
    path.write_bytes(content)
    leases = Leases(path)
    for number in range(500):
        key = f"k{number}"
        assert leases.held_s(key) == 0
        assert leases.take(key, 5) is not None
        assert leases.take(key, 5) is None
        leases.hold(key, 30)
        assert 28 < leases.held_s(key) <= 30
    leases.close()


def test_take_when_a_spot_is_full_then_everybody_may_ask(leases: Leases) -> None:
    """One more than there is room for is a call too many, and no page that waits."""
    *held, one_more = keys_of_one_spot(PROBES + 1)
    ends = {key: leases.take(key, 5) for key in held}
    assert [leases.take(key, 5) for key in held] == [None] * PROBES
    assert leases.take(one_more, 5) is not None
    assert leases.take(one_more, 5) is not None
    assert leases.held_s(one_more) == 0
    leases.hold(one_more, 5)
    assert leases.held_s(one_more) == 0
    end = ends[held[0]]
    assert end is not None
    leases.give_back(held[0], end)
    assert leases.take(one_more, 5) is not None
    assert leases.take(one_more, 5) is None
    assert [leases.take(key, 5) for key in held[1:]] == [None] * (PROBES - 1)


def test_clear_then_all_are_free(leases: Leases) -> None:
    """Leases and pauses."""
    leases.hold("pause", 30)
    assert leases.take("a", 5) is not None
    leases.clear()
    assert leases.held_s("pause") == 0
    assert leases.take("a", 5) is not None


def test_take_when_another_process_has_the_table_then_it_gives_up_soon(
    leases: Leases, path: Path
) -> None:
    """A process that was stopped in the middle holds nobody up for long."""
    with path.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        started = time.monotonic()
        with pytest.raises(OSError):
            leases.take("a", 5)
        assert time.monotonic() - started < 0.5
        assert leases.held_s("a") == 0
    assert leases.take("a", 5) is not None


def test_leases_when_made_then_the_room_is_taken(path: Path) -> None:
    """A hole would be filled when a lease is taken: on a full disk that ends the process."""
    Leases(path).close()
    assert path.stat().st_blocks * 512 >= path.stat().st_size == 2 * 8 * SLOTS


# A process, because a limit of file sizes is one of the whole process; what it prints is read.
FULL = """
import os, resource, sys
from pathlib import Path
from bff.upstream.leases import Leases
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
before = len(os.listdir("/proc/self/fd"))
try:
    Leases(Path(sys.argv[1]))
except OSError as error:
    print(len(os.listdir("/proc/self/fd")) - before)
"""


def test_leases_when_there_is_no_room_then_an_error_says_so_and_nothing_stays_open(
    path: Path,
) -> None:
    """The store goes on without them."""
    ran = subprocess.run(
        [sys.executable, "-c", FULL, str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (0, "0\n"), ran.stderr


def test_leases_when_closed_then_nothing_is_done(path: Path) -> None:
    """Not to a file either that has the number of the closed one."""
    leases = Leases(path)
    leases.close()
    with path.open("rb"), pytest.raises(OSError):
        leases.take("a", 5)


HOLDER = """
import sys, time
from pathlib import Path
from bff.upstream.leases import Leases
print(Leases(Path(sys.argv[1])).take("a", float(sys.argv[2])), flush=True)
time.sleep(60)
"""


def test_take_when_its_holder_was_killed_then_it_runs_out(leases: Leases, path: Path) -> None:
    """The others wait as long as a call may take, and no longer."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path), "0.7"], cwd=ROOT, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline().strip() != b"None"
        holder.send_signal(signal.SIGKILL)
    assert until(lambda: leases.take("a", 0.7) is not None, 3)


def test_take_when_threads_and_mappings_compete_then_one_has_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sixteen threads over four mappings: never two holders of a key."""
    monkeypatch.setattr(module, "WAIT_S", 20.0)  # a busy machine is not what this is about
    mappings = [Leases(path) for _ in range(4)]
    inside: dict[str, int] = {"a": 0, "b": 0}
    taken, clashes = [], []

    def run(number: int) -> None:
        for turn in range(200):
            key = "ab"[turn % 2]
            mapping = mappings[number % 4]
            end = mapping.take(key, 30)
            if end is not None:
                inside[key] += 1
                os.sched_yield()
                if inside[key] != 1:
                    clashes.append(key)
                inside[key] -= 1
                taken.append(key)
                mapping.give_back(key, end)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert clashes == []
    assert len(taken) > 100
    for mapping in mappings:
        mapping.close()
