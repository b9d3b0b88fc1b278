"""Stress the cache file as four workers of 16 threads do, in each SQLite mode; print a table.

.venv/bin/python -m bench.store_stress              about a minute
.venv/bin/python -m bench.store_stress --seconds 2
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from bench.load import percentile
from bff.upstream import store as room
from bff.upstream.store import FileStore, Stored

PROCESSES, THREADS = 4, 16
KEYS = 500
BODY = os.urandom(6000).hex().encode()  # 12 kB, as TMDB's list of 20 films
# Journal mode and `synchronous`; the first is what the BFF uses.
MODES = {
    "WAL, OFF": ("WAL", "OFF"),
    "WAL, NORMAL": ("WAL", "NORMAL"),
    "WAL, FULL": ("WAL", "FULL"),
    "DELETE, OFF": ("DELETE", "OFF"),
    "DELETE, FULL": ("DELETE", "FULL"),
}
# What all threads together do, in misses a second: as fast as they can, and ten times of what
# TMDB's ceiling of 40 calls a second lets through.
LOADS = {"closed loop": 0, "400 misses/s": 400}


class Watched(FileStore):
    """A store in a mode of SQLite, whose faults are counted."""

    def __init__(self, path: Path, mode: str) -> None:
        super().__init__(path, 10_000)
        self.faults: Counter[str] = Counter()
        self._journal, self._synchronous = MODES[mode]
        room.BYPASS_S = 0.0  # a fault of one operation hides no other
        note = self._bypass._fault  # noqa: SLF001 - the one place that every fault passes

        def fault(error: Exception) -> None:
            self.faults[str(error)] += 1
            note(error)

        self._bypass._fault = fault  # type: ignore[method-assign]  # noqa: SLF001

    def _create(self) -> Any:
        table = super()._create()
        with table.connection() as connection:
            connection.execute(f"PRAGMA synchronous = {self._synchronous}")
            found = connection.execute("PRAGMA journal_mode").fetchone()[0]
        if found.upper() != self._journal:
            raise SystemExit(f"journal is {found}, wanted {self._journal}")
        return table


def open_as(journal: str) -> None:
    """Have every store of this process open its file with this journal, WAL or DELETE."""
    usual = room._Table  # noqa: SLF001

    def table(path: Path, **settings: Any) -> Any:
        return usual(path, **settings | {"wal": journal == "WAL"})

    room._Table = table  # type: ignore[assignment,misc]  # noqa: SLF001


def work(path: Path, mode: str, per_second: float, seconds: float) -> dict[str, Any]:
    """Be one worker: most reads hit, one in ten asks the upstream; return what was seen."""
    logging.getLogger("bff").setLevel(logging.CRITICAL)
    open_as(MODES[mode][0])
    held = Watched(path, mode)
    spent: dict[str, list[float]] = {"get": [], "held_s": [], "lease": [], "put": [], "release": []}
    end = time.monotonic() + seconds
    gap_s = PROCESSES * THREADS / per_second if per_second else 0.0

    def timed(name: str, operation: Any, *args: Any) -> Any:
        started = time.perf_counter()
        result = operation(*args)
        spent[name].append(time.perf_counter() - started)
        return result

    def thread() -> None:
        time.sleep(random.uniform(0, gap_s))
        while (now := time.monotonic()) < end:
            for _ in range(10):
                timed("get", held.get, f"key {random.randrange(KEYS)}")
            key = f"key {random.randrange(KEYS)}"
            timed("held_s", held.held_s, "pause")
            if timed("lease", held.lease, key, 2.0):
                timed("put", held.put, key, Stored(BODY, time.time(), 300.0), 86_700.0)
                timed("release", held.release, key)
            time.sleep(max(0.0, now + gap_s - time.monotonic()))

    threads = [threading.Thread(target=thread) for _ in range(THREADS)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    held.close()
    return {"spent": spent, "faults": held.faults}


def stress(mode: str, per_second: float, seconds: float) -> str:
    """Run all workers on a new file; return a line of the table."""
    with tempfile.TemporaryDirectory(prefix="bff-store-", dir=_disk()) as folder:
        path = Path(folder) / "cache.sqlite"
        _fill(path, mode)
        command = [sys.executable, "-m", "bench.store_stress", "--worker", str(path)]
        command += ["--mode", mode, "--rate", str(per_second), "--seconds", str(seconds)]
        workers = [
            subprocess.Popen(command, stdout=subprocess.PIPE)  # noqa: S603 - this module
            for _ in range(PROCESSES)
        ]
        seen = [json.loads(worker.communicate()[0]) for worker in workers]
        with sqlite3.connect(path) as check:
            sound = check.execute("PRAGMA integrity_check").fetchone()[0]
        check.close()
    spent = {
        name: [value for one in seen for value in one["spent"][name]] for name in seen[0]["spent"]
    }
    faults = sum((Counter(one["faults"]) for one in seen), Counter())
    reads = spent["get"] + spent["held_s"]
    writes = spent["lease"] + spent["put"] + spent["release"]
    cells = [f"{(len(reads) + len(writes)) / seconds:.0f}", f"{len(writes) / seconds:.0f}"]
    for part in (reads, writes):
        cells += [f"{percentile(part, share) * 1000:.1f}" for share in (0.5, 0.99)]
        cells.append(f"{max(part) * 1000:.0f}")
    told = ", ".join(f"{count} {text}" for text, count in faults.items()) or "none"
    return " | ".join([*cells, told if sound == "ok" else f"{told}; file {sound}"])


def _fill(path: Path, mode: str) -> None:
    packed, expires = Stored(BODY, time.time(), 300.0).pack(), int(time.time()) + 86_700
    filled = FileStore(path, 10_000)
    with filled._opened().connection(commit=True) as connection:  # noqa: SLF001
        rows = [(room._name(f"key {number}"), packed, expires) for number in range(KEYS)]  # noqa: SLF001
        connection.executemany("INSERT INTO answers (key, value, expires) VALUES (?, ?, ?)", rows)
    filled.close()
    with sqlite3.connect(path, isolation_level=None) as connection:
        connection.execute(f"PRAGMA journal_mode = {MODES[mode][0]}")
    connection.close()


def _disk() -> str | None:
    """Return a folder on a disk where the usual one is in memory, which hides what fsync costs."""
    return "/var/tmp" if Path("/var/tmp").is_dir() else None  # noqa: S108


def main(arguments: list[str] | None = None) -> None:
    """Measure every mode and print a Markdown table."""
    parser = argparse.ArgumentParser(prog="bench.store_stress")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--mode", help=argparse.SUPPRESS)
    parser.add_argument("--rate", type=float, help=argparse.SUPPRESS)
    told = parser.parse_args(arguments)
    out = sys.stdout
    if told.worker:
        json.dump(work(told.worker, told.mode, told.rate, told.seconds), out)
        return
    out.write(f"{os.cpu_count()} cores, SQLite {sqlite3.sqlite_version}\n\n")
    out.write(
        "| load | mode, synchronous | operations/s | writes/s | read p50 ms | p99 | most "
        "| write p50 ms | p99 | most | faults |\n" + "|---" * 11 + "|\n"
    )
    for load, per_second in LOADS.items():
        for mode in MODES:
            out.write(f"| {load} | {mode} | {stress(mode, per_second, told.seconds)} |\n")
            out.flush()


if __name__ == "__main__":
    main()
