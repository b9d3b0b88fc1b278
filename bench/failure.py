"""Measure what the BFF does while its upstreams fail, with real processes; print a Markdown table.

.venv/bin/python -m bench.failure               every case, about 15 minutes
.venv/bin/python -m bench.failure hang back     some of them
.venv/bin/python -m bench.failure --quick       shorter rounds, coarser figures
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.load import Answer, Client, at_once, at_rate, in_turn, percentile, statuses
from scripts.processes import Server, until
from tests.e2e.stack import Stack, free_ports

DEADLINE_S = 2.0
SLACK_S = 0.1
FEED, POPULAR = "/api/dashboard/feed", "/api/movies/popular"
# Users' lists are asked for with each request, and not held in memory while a stream says that
# nothing has changed.
ASKED = {"USER_SERVICE_EVENTS": False}
UNHURRIED = {"TMDB_CALLS_PER_SECOND": 10_000}  # where the ceiling is not what is measured


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    case: str
    measured: str
    holds: bool

    def __str__(self) -> str:
        return f"| {self.case} | {self.measured} | {'yes' if self.holds else '**no**'} |"


@contextlib.contextmanager
def stack(**settings: Any) -> Iterator[Stack]:
    """Run BFF, user service and TMDB stub, with the settings a deployment has."""
    usual = {"CIRCUIT_BREAKER_TIMEOUT_SECONDS": 60, "WEB_CONCURRENCY": 2, "LOG_LEVEL": "WARNING"}
    with (
        tempfile.TemporaryDirectory(prefix="bff-bench-") as folder,
        Stack(Path(folder), **usual | settings) as running,
    ):
        warm(running)
        yield running


@contextlib.contextmanager
def redis_server() -> Iterator[str]:
    """Run a Redis of our own and give its address."""
    program = shutil.which("redis-server")
    if program is None:
        raise SystemExit("redis-server is not installed")
    port = free_ports(1)[0]
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with tempfile.TemporaryDirectory(prefix="bff-redis-") as folder:
        process = subprocess.Popen(  # noqa: S603 - a fixed command, no shell
            [program, *options], cwd=folder, stdout=subprocess.DEVNULL
        )
        try:
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.terminate()
            process.wait(10)


def warm(running: Stack) -> None:
    """Have each worker import and connect, and the stub build its lists."""
    in_turn(running.bff, [f"{POPULAR}?page=500"] * 40, 8)
    running.forget_calls("tmdb")


def ready(running: Stack, times: int = 24) -> list[dict[str, Any]]:
    """Return what the workers say of their upstreams; each connection may meet another worker."""
    said = []
    for _ in range(times):
        client = Client(running.bff)
        said.append(client.get("/health/ready").json()["checks"])
        client.close()
    return said


def circuits_of(said: dict[str, Any], upstream: str) -> set[str]:
    """Return the states of an upstream's circuits in one worker."""
    return {check["observedValue"] for check in said[f"{upstream}:circuit"]}


def bypassed(running: Stack) -> str:
    """Tell how often a worker took the shared cache for lost, which costs upstream calls."""
    count = running.servers["bff"].log.read_text().count("cache.bypassed")
    return f"; shared cache bypassed {count} times" if count else ""


def workers(running: Stack) -> list[int]:
    """Return the process ids of the BFF's workers."""
    master = running.servers["bff"].pid
    text = Path(f"/proc/{master}/task/{master}/children").read_text()
    return sorted(int(pid) for pid in text.split())


def threads(running: Stack) -> list[int]:
    """Return the number of threads of each worker."""
    found = []
    for pid in workers(running):
        status = Path(f"/proc/{pid}/status").read_text()
        found.append(int(re.search(r"Threads:\s+(\d+)", status)[1]))  # type: ignore[index]
    return found


def asked(running: Stack, path: str) -> int:
    """Return how many calls TMDB's stub had whose path begins so."""
    calls = running.calls("tmdb").items()
    return sum(count for call, count in calls if call.startswith(f"GET /3{path}"))


# -- the cases


def hang(quick: bool) -> Iterator[Row]:
    """TMDB hangs, nothing is cached."""
    for enabled in (True, False):
        with stack(CIRCUIT_BREAKER_ENABLED=enabled) as running:
            pages = itertools.count(1000)
            grow(running, pages)
            before = threads(running)
            running.faults("tmdb", hang=True)
            wanted = 100 if quick else 500
            paths = [_unknown(next(pages)) for _ in range(wanted)]
            answers = in_turn(running.bff, paths, 16)
            ended = time.monotonic()
            after = until(lambda: _free(running, before), 5)  # noqa: B023 - called here only
            took_s = time.monotonic() - ended
            slowest = max(answer.seconds for answer in answers)
            yield Row(
                f"TMDB hangs, cold cache, {len(answers)} requests from 16 clients"
                + ("" if enabled else ", no circuit breaker"),
                f"slowest {slowest:.2f} s, median "
                f"{statistics.median(answer.seconds for answer in answers) * 1000:.0f} ms; "
                f"{statuses(answers)}; threads per worker {before} before, {threads(running)} "
                f"after; slots free after {took_s:.1f} s",
                slowest <= DEADLINE_S + SLACK_S and after,
            )


def grow(running: Stack, pages: Iterator[int]) -> None:
    """Have each worker start all the threads that it may have; a pool never ends one."""
    for upstream in ("tmdb", "users"):
        running.faults(upstream, latency_ms=300)
    most = 0
    for _ in range(10):
        in_turn(running.bff, [_unknown(next(pages)) for _ in range(240)], 120)
        if sum(threads(running)) <= most:
            break
        most = sum(threads(running))
    for upstream in ("tmdb", "users"):
        running.faults(upstream)
    until(lambda: _idle(running), 10)


def _unknown(number: int) -> str:
    return f"/api/dashboard/movie/{number}/enriched"


def _free(running: Stack, before: list[int]) -> bool:
    """Whether no slot is taken, and no worker has more threads than before."""
    return _idle(running) and sum(threads(running)) <= sum(before)


def _idle(running: Stack) -> bool:
    return not any(check["tmdb:in_flight"][0]["observedValue"] for check in ready(running))


def users_hang(quick: bool) -> Iterator[Row]:
    """The user service hangs under load.

    Two stacks run side by side under the same load, one well and one failing, in turns: what
    other programs do to this machine, they do to both.
    """
    rounds, seconds = (2, 3) if quick else (8, 6)
    for enabled in (True, False):
        settings = {
            "CIRCUIT_BREAKER_ENABLED": enabled,
            "CIRCUIT_BREAKER_TIMEOUT_SECONDS": seconds + 14,
            **ASKED,
        }
        well: dict[str, list[float]] = {POPULAR: [], FEED: []}
        ill: dict[str, list[float]] = {POPULAR: [], FEED: []}
        with stack(**settings) as one, stack(**settings) as other:
            for number in range(rounds):
                good, bad = (one, other) if number % 2 else (other, one)
                for running in (one, other):
                    running.faults("users")
                    until(lambda: _well(running), 60)  # noqa: B023 - called here only
                bad.faults("users", hang=True)
                if enabled:
                    until(lambda: _users_open(bad), 20)  # noqa: B023 - called here only
                both = [
                    threading.Thread(target=_load, args=(running, path, seconds, into[path]))
                    for running, into in ((good, well), (bad, ill))
                    for path in (POPULAR, FEED)
                ]
                for thread in both:
                    thread.start()
                for thread in both:
                    thread.join()
        usual, then = (percentile(seen[POPULAR], 0.99) * 1000 for seen in (well, ill))
        middle = [statistics.median(seen[POPULAR]) * 1000 for seen in (well, ill)]
        yield Row(
            "user service hangs under load: p99 of `/api/movies/popular`"
            + ("" if enabled else ", no circuit breaker"),
            f"healthy {usual:.1f} ms, hanging {then:.1f} ms ({then / usual - 1:+.0%}); median "
            f"{middle[0]:.1f} and {middle[1]:.1f} ms; {len(ill[POPULAR])} requests each",
            then <= usual * 1.1,
        )
        if enabled:
            usual, then = (percentile(seen[FEED], 0.99) * 1000 for seen in (well, ill))
            yield Row(
                "the same: p99 of the feed once the circuit is open",
                f"healthy {usual:.1f} ms, hanging {then:.1f} ms",
                then < 100,
            )


def _well(running: Stack) -> bool:
    """Whether every worker's feed has all sections, which also closes the circuits."""
    answers = in_turn(running.bff, [FEED] * 24, 8)
    parts = [part for one in answers for part in one.json()["sections"].values()]
    return all(part["status"] == "ok" for part in parts)


def _users_open(running: Stack) -> bool:
    """Whether the user service's circuits are open in every worker, after some more feeds."""
    in_turn(running.bff, [FEED] * 24, 24)
    return all(circuits_of(said, "users") == {"open"} for said in ready(running))


def _load(running: Stack, path: str, seconds: int, into: list[float]) -> None:
    """Ask 60 times a second for the films or 10 times for the feed; keep the times."""
    rate, clients = (60, 4) if path == POPULAR else (10, 16)
    answers = at_rate(running.bff, [path] * (rate * seconds), rate, clients)
    into += [answer.seconds for answer in answers]


def cold_key(quick: bool) -> Iterator[Row]:
    """50 concurrent cold requests of one key, 4 workers."""
    keys = 3 if quick else 20
    yield _cold("file", keys)
    with redis_server() as address:
        yield _cold("Redis", keys, REDIS_URL=address)


def _cold(backend: str, keys: int, **settings: Any) -> Row:
    with stack(WEB_CONCURRENCY=4, **settings, **UNHURRIED) as running:
        running.faults("tmdb", latency_ms=200)
        most, answers = 0, []
        for page in range(1, keys + 1):
            running.forget_calls("tmdb")
            answers += at_once(running.bff, [f"{POPULAR}?page={page}"] * 50)
            most = max(most, asked(running, "/movie/popular"))
        good = all(answer.status == 200 for answer in answers)
        return Row(
            f"50 concurrent cold requests of one key, 4 workers, {backend}",
            f"{most} upstream call(s) at the most, {keys} keys; {statuses(answers)}; slowest "
            f"{max(answer.seconds for answer in answers) * 1000:.0f} ms with an upstream of 200 ms"
            + bypassed(running),
            most == 1 and good,
        )


def expired_key(quick: bool) -> Iterator[Row]:
    """50 concurrent requests of a key that has expired."""
    keys = 3 if quick else 10
    with stack(WEB_CONCURRENCY=4, CACHE_TTL=1, CACHE_GRACE=600, **UNHURRIED) as running:
        most, answers = 0, []
        for page in range(1, keys + 1):
            running.faults("tmdb")
            path = f"{POPULAR}?page={page}"
            in_turn(running.bff, [path] * 32, 8)
            time.sleep(1.2)
            # Longer than the test of one key, so that an answer that waited for it would show.
            running.faults("tmdb", latency_ms=700)
            running.forget_calls("tmdb")
            answers += at_once(running.bff, [path] * 50)
            time.sleep(0.9)
            most = max(most, asked(running, "/movie/popular"))
        slowest = max(answer.seconds for answer in answers)
        yield Row(
            "50 concurrent requests of an expired key, 4 workers",
            f"{most} upstream call(s) at the most, {keys} keys; {statuses(answers)}; slowest "
            f"{slowest * 1000:.0f} ms with an upstream of 700 ms" + bypassed(running),
            most == 1 and slowest < 0.5 and all(answer.status == 200 for answer in answers),
        )


def half_open(quick: bool) -> Iterator[Row]:
    """A dead upstream, its circuit half-open, 20 callers."""
    rounds = 2 if quick else 5
    yield _probes("1 worker", rounds, WEB_CONCURRENCY=1)
    with redis_server() as address:
        yield _probes("4 workers, Redis", rounds, WEB_CONCURRENCY=4, REDIS_URL=address)


def _probes(where: str, rounds: int, **settings: Any) -> Row:
    pages = itertools.count(100_000)
    with stack(CIRCUIT_BREAKER_TIMEOUT_SECONDS=1, **settings, **UNHURRIED) as running:
        running.faults("tmdb", status=503)
        in_turn(running.bff, [f"/api/movies/{next(pages)}" for _ in range(60)], 8)
        running.faults("tmdb", status=503, latency_ms=400)
        counts, answers = [], []
        for _ in range(rounds):
            time.sleep(1.6)  # the circuit's second, and what a probe of before may take
            running.forget_calls("tmdb")
            answers += at_once(running.bff, [f"/api/movies/{next(pages)}" for _ in range(20)])
            counts.append(asked(running, "/movie/"))
        return Row(
            f"half-open, dead upstream, 20 threads, {where}",
            f"calls that went out, per round: {counts}; {statuses(answers)}",
            counts == [1] * rounds,
        )


def unknown(quick: bool) -> Iterator[Row]:
    """1,000 look-ups of films that do not exist."""
    look_ups = 200 if quick else 1000
    paths = [f"/api/movies/{900_000_000 + number % 50}" for number in range(look_ups)]
    with stack(WEB_CONCURRENCY=4, **UNHURRIED) as running:
        answers = in_turn(running.bff, paths, 16)
        calls = running.calls("tmdb")
        circuits = {state for said in ready(running) for state in circuits_of(said, "tmdb")}
        most = max(calls.values())
        yield Row(
            f"{look_ups} look-ups of 50 unknown films, 4 workers",
            f"circuits: {', '.join(circuits)}; upstream calls per film: {most} at the most; "
            f"{statuses(answers)}" + bypassed(running),
            circuits == {"closed"} and most == 1 and {one.status for one in answers} == {404},
        )


def retries(quick: bool) -> Iterator[Row]:
    """Everything fails for a minute, at 50 requests a second."""
    seconds = 6 if quick else 60
    for enabled in (False, True):
        with stack(CIRCUIT_BREAKER_ENABLED=enabled, WEB_CONCURRENCY=1, **UNHURRIED) as running:
            running.faults("tmdb", status=503)
            running.forget_calls("tmdb")
            paths = [f"/api/movies/{number}" for number in range(1, 50 * seconds + 1)]
            answers = at_rate(running.bff, paths, 50, 16)
            calls = asked(running, "/movie/")
            extra = calls - len(answers)
            yield Row(
                f"100 % failure for {seconds} s at 50 requests a second, "
                + ("with circuit breaker" if enabled else "no circuit breaker"),
                f"{len(answers)} requests, {calls} calls, {max(0, extra)} of them extra "
                f"({max(0, extra) / len(answers):.1%})",
                extra <= 0.1 * len(answers) + 3,
            )


def rate_limit(quick: bool) -> Iterator[Row]:
    """A TMDB that answers 429 above 40 requests a second, 200 users."""
    seconds = 5 if quick else 30
    scarce = {"STRICT_PER_SECOND": 12}  # below our own ceiling: TMDB does answer 429
    yield _limited("file", seconds)
    yield _limited("file", seconds, **scarce)
    with redis_server() as address:
        yield _limited("Redis", seconds, REDIS_URL=address)
        yield _limited("Redis", seconds, REDIS_URL=address, **scarce)


@contextlib.contextmanager
def strict_stack(**settings: Any) -> Iterator[Stack]:
    """Run four workers before a TMDB that allows 40 calls a second and not one more."""
    # A short ttl: lists go out of date and are asked for anew all the time.
    usual = {"WEB_CONCURRENCY": 4, "LOG_LEVEL": "WARNING", "CACHE_TTL": 5, "CACHE_GRACE": 20}
    with tempfile.TemporaryDirectory(prefix="bff-bench-") as folder:
        running = Stack(Path(folder), **usual | settings)
        strict = running.servers["tmdb"]
        running.servers["tmdb"] = Server(
            "tmdb",
            "bench.strict_tmdb:create_app()",
            "tmdb_stub/gunicorn_conf.py",
            strict.port,
            strict.log,
            ["--bind", f"127.0.0.1:{strict.port}"],
        )
        with running:
            yield running


def _limited(backend: str, seconds: int, **settings: Any) -> Row:
    with strict_stack(**settings) as running:
        return visited(running, backend, seconds)


def visited(running: Stack, backend: str, seconds: int) -> Row:
    """Send 200 users through a strict stack and say what they and TMDB saw."""
    answers = _visit(running, users=200, seconds=seconds)
    client = Client(running.tmdb)
    seen = client.get("/__strict").json()
    client.close()
    limit = running.settings.get("STRICT_PER_SECOND", "40")
    named = sum(b'"reason":"rate_limited"' in answer.body for answer in answers)
    return Row(
        f"TMDB answers 429 above {limit} requests a second, 200 users, 4 workers, {backend}",
        f"{len(answers)} pages in {seconds} s ({statuses(answers)}; {named} name `rate_limited`); "
        f"at TMDB {seen['calls']} calls, {seen['most_in_a_second']} in a second at the most, "
        f"{seen['refused']} refused, {seen['inside_retry_after']} inside a Retry-After; page p99 "
        f"{percentile((answer.seconds for answer in answers), 0.99):.2f} s" + bypassed(running),
        429 not in {answer.status for answer in answers} and seen["inside_retry_after"] == 0,
    )


def _visit(running: Stack, users: int, seconds: float) -> list[Answer]:
    """Have each user look at a page about every two seconds: mostly feeds, films, searches."""
    answers: list[Answer] = []
    end = time.monotonic() + seconds

    def visit(user: int) -> None:
        client = Client(running.bff)
        time.sleep(user % 20 / 10)
        turn = user
        while time.monotonic() < end:
            turn += 7
            number = turn % 400 + 1 if turn % 5 == 0 else turn % 20 + 1  # a fifth is rare
            path = (
                f"{FEED}?page={number}",
                f"/api/dashboard/movie/{_FILMS[number % len(_FILMS)]}/enriched",
                f"/api/dashboard/search/enriched?query={_WORDS[number % len(_WORDS)]}",
                f"/api/dashboard/complete?page={number}",
                f"{POPULAR}?page={number}",
            )[turn % 4 if turn % 3 else 4]
            answers.append(client.get(path))
            time.sleep(1.5 + turn % 10 / 10)
        client.close()

    threads_ = [threading.Thread(target=visit, args=(user,)) for user in range(users)]
    for thread in threads_:
        thread.start()
    for thread in threads_:
        thread.join()
    return answers


_FILMS = (550, 155, 13, 680, 27205, 603, 238, 278, 424, 240, 389, 129, 19404, 496243, 497, 122)
_WORDS = ("fight", "dark", "love", "night", "star", "war", "man", "king", "dead", "girl", "city")


def all_down(quick: bool) -> Iterator[Row]:
    """Every upstream is gone, the cache is warm."""
    with stack(CACHE_TTL=1, CACHE_GRACE=1) as running:
        in_turn(running.bff, [FEED] * 40, 8)
        running.kill("tmdb")
        running.kill("users")
        time.sleep(3)
        answers = in_turn(running.bff, [FEED] * (100 if quick else 400), 8)
        bodies = [answer.json() for answer in answers]
        said = {body["sections"]["movies"]["status"] for body in bodies if "sections" in body}
        lists = {body["sections"]["favorites"]["status"] for body in bodies if "sections" in body}
        slowest = max(answer.seconds for answer in answers)
        yield Row(
            "every upstream down, warm cache (24 hours: `tests/faults/test_figures.py`)",
            f"feed {statuses(answers)}; films {', '.join(said)}, favourites {', '.join(lists)}; "
            f"slowest {slowest * 1000:.0f} ms",
            {answer.status for answer in answers} == {200} and said == {"stale"},
        )


def back(quick: bool) -> Iterator[Row]:
    """An upstream comes back."""
    timeout_s = 2
    rounds = 1 if quick else 5
    for name, path in (("tmdb", f"{POPULAR}?page={{}}"), ("users", FEED)):
        times = []
        with stack(CIRCUIT_BREAKER_TIMEOUT_SECONDS=timeout_s, **UNHURRIED, **ASKED) as running:
            pages = itertools.cycle(range(1, 500))
            for _ in range(rounds):
                running.faults(name, reset=True)
                # The circuits have just opened, so that the whole timeout is still to come.
                until(lambda: _all_open(running, name, path, pages), 30)  # noqa: B023
                running.faults(name)
                began = time.monotonic()
                until(lambda: _ok(running, path, pages), 30, 0.02)  # noqa: B023
                times.append(time.monotonic() - began)
        yield Row(
            f"{'TMDB' if name == 'tmdb' else 'the user service'} is back, "
            f"breaker's timeout {timeout_s} s, 2 workers",
            "all sections of 12 requests in a row `ok` after "
            f"{', '.join(f'{one:.1f}' for one in times)} s",
            max(times) <= timeout_s + 1,
        )


def _all_open(running: Stack, name: str, path: str, pages: Iterator[int]) -> bool:
    in_turn(running.bff, [path.format(next(pages)) for _ in range(32)], 16)
    return all("open" in circuits_of(said, name) for said in ready(running))


def _ok(running: Stack, path: str, pages: Iterator[int]) -> bool:
    """Whether 12 new connections in a row, so both workers, get a whole answer."""
    for _ in range(12):
        client = Client(running.bff)
        answer = client.get(path.format(next(pages)))
        client.close()
        if answer.status != 200:
            return False
        parts = answer.json().get("sections", {}).values()
        if any(part["status"] != "ok" for part in parts):
            return False
    return True


CASES: dict[str, Callable[[bool], Iterator[Row]]] = {
    "hang": hang,
    "users-hang": users_hang,
    "cold-key": cold_key,
    "expired-key": expired_key,
    "half-open": half_open,
    "unknown": unknown,
    "retries": retries,
    "rate-limit": rate_limit,
    "all-down": all_down,
    "back": back,
}


def main(arguments: list[str] | None = None) -> int:
    """Measure, print a table, and return 1 where a row does not hold."""
    parser = argparse.ArgumentParser(
        prog="bench.failure", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("case", nargs="*", help=f"any of: {', '.join(CASES)}")
    parser.add_argument("--quick", action="store_true", help="shorter rounds")
    told = parser.parse_args(arguments)
    wrong = sorted(set(told.case) - set(CASES))
    if wrong:
        parser.error(f"no such case: {', '.join(wrong)}")
    out = sys.stdout
    out.write(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}\n\n")
    out.write("| case | measured | holds |\n|---|---|---|\n")
    holds = True
    for name in told.case or CASES:
        for row in CASES[name](told.quick):
            out.write(f"{row}\n")
            out.flush()
            holds = holds and row.holds
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
