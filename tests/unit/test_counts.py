"""bff/api/counts.py: what one process counts, the others see; no limit is exceeded."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bff.api import counts
from bff.api.counts import PROBES, TABLES, SharedCounts

WINDOW_S = 60
Open = Callable[..., SharedCounts]


@pytest.fixture
def opened(tmp_path: Path) -> Open:
    """Open the counts of this test once more, as another process would."""
    return lambda **more: SharedCounts(tmp_path / "counts", **more)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which stands until a test moves it."""
    moment = [1_800_000_000.0]
    monkeypatch.setattr(counts.time, "time", lambda: moment[0])
    return moment


def test_hit_when_processes_take_turns_then_each_counts_on_in_one_window(
    opened: Open, now: list[float]
) -> None:
    """The window begins with the first request, whoever gets it, and ends for all."""
    one, two, three = opened(), opened(), opened()
    assert one.hit("me", WINDOW_S) == (1, now[0] + 60)
    now[0] += 10
    assert two.hit("me", WINDOW_S) == (2, now[0] + 50)
    now[0] += 10
    assert three.hit("me", WINDOW_S, 5) == (7, now[0] + 40)
    assert one.incr("me", WINDOW_S) == 8
    assert one.hit("another", WINDOW_S) == (1, now[0] + 60)
    assert (two.get("me"), two.get_expiry("me")) == (8, now[0] + 40)
    now[0] += 40
    assert two.get("me") == 0
    assert two.hit("me", WINDOW_S) == (1, now[0] + 60)
    assert one.hit("me", WINDOW_S) == (2, now[0] + 60)


def test_hit_when_the_clock_was_set_back_then_a_new_window_begins(
    opened: Open, now: list[float]
) -> None:
    """A window that would end later than one can is none: nobody waits for an hour."""
    one, two = opened(), opened()
    one.hit("me", WINDOW_S)
    now[0] -= 3600
    assert two.hit("me", WINDOW_S) == (1, now[0] + 60)
    assert one.hit("me", WINDOW_S) == (2, now[0] + 60)


def test_counts_when_a_process_ends_then_the_next_one_goes_on_with_its_table(opened: Open) -> None:
    """A worker that is replaced gives its callers nothing; no table is lost."""
    first = opened()
    assert first.hit("me", WINDOW_S)[0] == 1
    first.close()
    for expected in range(2, TABLES + 4):
        again = opened()
        assert again.hit("me", WINDOW_S)[0] == expected
        again.close()


def test_counts_when_too_many_processes_count_then_one_more_is_an_error(opened: Open) -> None:
    """It is told where it begins, and not by a limit that does not hold."""
    held = [opened() for _ in range(TABLES)]
    with pytest.raises(OSError, match="more than 32 processes"):
        opened()
    held[7].close()
    assert opened().hit("me", WINDOW_S)[0] == 1


def test_counts_when_they_are_cleared_then_the_key_or_all_begin_anew(opened: Open) -> None:
    """In the tables of all."""
    one, two = opened(), opened()
    for key in ("me", "you"):
        one.incr(key, WINDOW_S)
        two.incr(key, WINDOW_S)
    one.clear("me")
    assert (two.get("me"), two.get("you")) == (0, 2)
    two.reset()
    assert one.get("you") == 0
    assert one.check()


def test_hit_when_a_spot_is_full_then_the_caller_who_ends_first_is_forgotten(
    opened: Open, now: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All the others keep their counts."""
    monkeypatch.setattr(counts, "_hash", int)
    one = opened(slots=8)
    keys = [str(8 * number) for number in range(1, PROBES + 2)]
    for key in keys[:PROBES]:
        now[0] += 1
        one.incr(key, WINDOW_S)
    assert one.incr(keys[PROBES], WINDOW_S) == 1
    assert [one.get(key) for key in keys] == [0] + [1] * PROBES


def test_hit_when_processes_and_threads_count_at_once_then_nothing_is_lost(
    tmp_path: Path,
) -> None:
    """Two threads in each of two processes; each sees itself grow by itself at the least."""
    begin, per_process = multiprocessing.get_context("fork"), 20_000
    gate = begin.Barrier(2)
    processes = [
        begin.Process(target=_count, args=(tmp_path / "counts", gate, per_process // 2))
        for _ in range(2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
    assert [process.exitcode for process in processes] == [0, 0]
    assert SharedCounts(tmp_path / "counts").get("me") == 2 * per_process


def test_hit_when_processes_race_for_the_last_request_then_the_limit_is_not_exceeded(
    tmp_path: Path,
) -> None:
    """Over many callers; at most the last one or two of a caller are refused in vain."""
    begin, limit = multiprocessing.get_context("fork"), 50
    gate, allowed = begin.Barrier(2), begin.Queue()
    processes = [
        begin.Process(target=_race, args=(tmp_path / "counts", gate, limit, allowed))
        for _ in range(2)
    ]
    for process in processes:
        process.start()
    found = [allowed.get(timeout=30) for _ in processes]
    for process in processes:
        process.join(30)
    both = [sum(pair) for pair in zip(*found, strict=True)]
    assert max(both) <= limit
    assert min(both) >= limit - 2
    assert sum(both) > 0.95 * limit * len(both)


def _count(path: Path, gate: threading.Barrier, times: int) -> None:
    mine = SharedCounts(path)
    gate.wait(10)

    def work() -> None:
        last = 0
        for _ in range(times):
            seen = mine.incr("me", WINDOW_S)
            assert seen > last
            last = seen

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gate.wait(10)


def _race(path: Path, gate: threading.Barrier, limit: int, allowed: multiprocessing.Queue) -> None:  # type: ignore[type-arg]
    mine = SharedCounts(path)
    gate.wait(10)
    until = time.monotonic() + 10
    counted = []
    for caller in range(200):
        gate.wait(max(0.1, until - time.monotonic()))
        hits = [mine.incr(f"caller-{caller}", WINDOW_S) for _ in range(limit)]
        counted.append(sum(hit <= limit for hit in hits))
    allowed.put(counted)
