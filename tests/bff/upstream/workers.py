"""Workers that share a tier: in this process over a played TMDB, and real processes."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson
import requests
import responses
import time_machine

from bff.errors import BadResponse, NotFound, UpstreamError
from bff.model import Ok
from bff.upstream.breaker import Breakers
from bff.upstream.cache import Cache, CachePolicy, Query
from bff.upstream.guard import Guard
from bff.upstream.rate import Pause
from bff.upstream.session import configure, prepared
from bff.upstream.tier import Tier
from tests.bff.upstream.tools import permits

Moment = time_machine.Traveller
ROOT = Path(__file__).resolve().parents[3]
BASE = "http://tmdb.test/3"
TTL, GRACE, STALE = 100, 600, 86_400
JSON_TYPE = {"Content-Type": "application/json;charset=utf-8"}
FILMS = {"page": 1, "results": [{"id": 550, "title": "Fight Club"}], "total_pages": 1}
OLD, NEW = {"value": "old"}, {"value": "new"}
SECRETS = {"Authorization": "Bearer planted-token", "X-Request-ID": "test"}


class Upstream:
    """TMDB, played by `responses`: gives what it was told to give, and keeps the requests."""

    def __init__(self, mock: responses.RequestsMock) -> None:
        self.requests: list[requests.PreparedRequest] = []
        self.meanwhile: Callable[[], None] = lambda: None
        self._mock = mock
        self.gives({"value": "new", **FILMS})
        self.forget()

    def gives(
        self,
        answer: Any = None,
        status: int = 200,
        headers: Mapping[str, str] = JSON_TYPE,
    ) -> None:
        """Answer with this from now on: an exception, bytes, or what becomes JSON."""
        body = answer if isinstance(answer, bytes | Exception) else orjson.dumps(answer)
        self._answer = body if isinstance(body, Exception) else (status, dict(headers), body)

    def forget(self) -> None:
        """Forget what was asked."""
        self.requests.clear()
        self._mock.reset()
        for method in ("GET", "POST", "PUT", "DELETE"):
            self._mock.add_callback(method, re.compile(".*"), self._called)

    def _called(self, request: requests.PreparedRequest) -> Any:
        self.requests.append(request)
        self.meanwhile()
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def decode(body: bytes) -> dict[str, Any]:
    """Read an answer, which has a `value`."""
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadResponse("tmdb", "not JSON") from error
    if not isinstance(answer, dict) or "value" not in answer:
        raise BadResponse("tmdb", "no value")
    return answer


def question(
    key: str = "film",
    *,
    ttl_s: int = TTL,
    names_a_thing: bool = True,
    decode: Callable[[bytes], Any] = decode,
) -> Query:
    """Return what is asked for, as the client plans it."""
    return Query(
        key=key,
        operation="details",
        what=key,
        thing=key,
        ttl_s=ttl_s,
        names_a_thing=names_a_thing,
        request=lambda: prepared("GET", f"{BASE}/{key}?a=1&api_key=planted-key", SECRETS),
        decode=decode,
    )


def value(outcome: object) -> Any:
    """Return the value of an answer."""
    assert isinstance(outcome, Ok), outcome
    return outcome.value["value"]


class Worker:
    """A cache, its guard and its session over a tier."""

    def __init__(
        self, tier: Tier, timeout_s: float = 20, most_bytes: int = 2**20, stale_s: int = STALE
    ) -> None:
        session = configure(tier.session, 8)
        self.tier = tier
        breakers, pause = Breakers("tmdb", None), Pause("tmdb")
        self.guard = Guard("tmdb", session, timeout_s, breakers, permits(), pause)
        self.cache = Cache(CachePolicy(GRACE, stale_s, most_bytes), tier, self.guard)

    def ask(self, query: Query) -> Ok[Any] | UpstreamError | NotFound:
        """Ask as the fan-out does: memory, a call, an old answer."""
        known = self.cache.cached(query)
        if known is not None:
            return known
        try:
            try:
                return self.cache.load(query)
            except UpstreamError as error:
                return self.cache.fallback(query, error)
        except (UpstreamError, NotFound) as error:
            return error


# Workers forked from one process, as gunicorn forks them. Each has threads that ask for the same
# list at once, and tells when it begins and how many answers it has got.
PROGRAM = """
import os, sys, threading
from pathlib import Path
from bff.fan_out import FanOut
from bff import context
from bff.context import Deadline, RequestContext
from bff.upstream.breaker import Breakers
from bff.upstream.cache import Cache, CachePolicy
from bff.upstream.guard import Guard
from bff.upstream.rate import Pause
from bff.upstream.session import configure
from bff.upstream.shared import connect
from bff.upstream.tier import on_files, on_redis
from bff.upstream.tmdb import Credential, TmdbClient
from tests.bff.upstream.tools import permits

url, place, lock_s, *workers = sys.argv[1:]
threads = next((int(count) for count in workers[1:] if os.fork() == 0), int(workers[0]))
shared = place.startswith("redis:")
tier = (
    on_redis(connect(place), 9000, float(lock_s)) if shared else on_files(Path(place), 9e9, 2**30)
)
guard = Guard(
    "tmdb", configure(tier.session, 64), 25, Breakers("tmdb", None), permits(), Pause("tmdb")
)
client = TmdbClient(url, Credential("key"), guard, Cache(CachePolicy(), tier, guard), 300)
fan_out, got, barrier = FanOut(64, {"tmdb": 64}), [], threading.Barrier(threads)

def ask():
    context.enter(RequestContext("test", Deadline.after(25)))
    barrier.wait()
    got.append(fan_out.one(client.popular({"page": "1"})).value["results"][0]["id"])

asking = [threading.Thread(target=ask) for _ in range(threads)]
os.write(1, b"asking\\n")
for thread in asking: thread.start()
for thread in asking: thread.join()
os.write(1, b"got %d\\n" % got.count(550))
os._exit(0)
"""


class Workers:
    """Processes that run `PROGRAM`; the lines that they write can be waited for."""

    def __init__(self, url: str, place: str, *threads: int, lock_s: float = 60) -> None:
        arguments = [url, place, str(lock_s), *map(str, threads)]
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *arguments], stdout=subprocess.PIPE, cwd=ROOT
        )

    def lines(self, count: int) -> list[str]:
        """Return the next lines."""
        assert self.process.stdout is not None
        return [self.process.stdout.readline().decode().strip() for _ in range(count)]

    def end(self) -> None:
        """End the first process; the others end by themselves."""
        with self.process:
            self.process.kill()
