"""Reads what a server's processes cost from /proc, and loads it with wrk. Linux only."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
SCRIPT = Path(__file__).with_name("wrk.lua")


@dataclass(frozen=True)
class Load:
    """What wrk measured; times in milliseconds, `refused` are answers of 400 and above."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    refused: int
    broken: int


@dataclass(frozen=True)
class Memory:
    """Memory of one process in MB; PSS counts a page that n processes share as 1/n."""

    rss_mb: float
    pss_mb: float


def need_wrk() -> str:
    """Return where wrk is, or end with how to get it."""
    program = shutil.which("wrk")
    if program is None:
        raise SystemExit("wrk is not installed. Debian, Ubuntu: apt-get install wrk")
    return program


def load(
    base: str,
    requests: Sequence[str],
    file: Path,
    *,
    seconds: int,
    connections: int,
    pace: float = 0,
    at_random: bool = False,
    headers: Sequence[str] = (),
) -> Load:
    """Send `requests` (`path<TAB>token`) in their order, again from the first where they end.

    `pace`: so many requests a second in place of as many as can be, at even moments or at
    random ones (a Poisson process), as far as there are connections that have their answer.
    """
    file.write_text("\n".join(requests) + "\n")
    command = [need_wrk(), "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "5s"]
    command += [part for header in headers for part in ("-H", header)]
    command += ["-s", str(SCRIPT), base, "--", str(file), f"{pace:g}"]
    command += ["random"] if at_random else []
    ran = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    return Load(**json.loads(ran.stdout.splitlines()[-1]))


def children(pid: int) -> list[int]:
    """Return the children of a process, whichever of its threads started them."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += map(int, (task / "children").read_text().split())
    return found


def tree(pid: int) -> list[int]:
    """Return a process and all below it."""
    found = [pid]
    for child in children(pid):
        found += tree(child)
    return found


def cpu_s(pid: int) -> float:
    """Return the user and system time that a process and all below it have used.

    Children that have ended and were waited for are in it.
    """
    total = 0
    for one in tree(pid):
        # After the name, which may hold spaces: state is field 3, utime 14, stime 15 and those
        # of waited-for children 16 and 17 (proc(5)).
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        total += sum(map(int, fields[11:15]))
    return total * TICK_S


def memory(pids: Iterable[int]) -> Memory:
    """Return the memory of the largest of some processes."""
    return max((_memory(pid) for pid in pids), key=lambda found: found.pss_mb)


def _memory(pid: int) -> Memory:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = {line.split(":")[0]: line.split()[1] for line in text.splitlines()[1:]}
    return Memory(int(found["Rss"]) / 1024, int(found["Pss"]) / 1024)


def threads(pid: int) -> int:
    """Return how many threads a process has."""
    return len(list(Path(f"/proc/{pid}/task").iterdir()))
