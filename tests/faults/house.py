"""The whole BFF in this process, over real sockets to upstreams that can be made to fail."""

from __future__ import annotations

import logging
import os
import socket
import time
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

import orjson
import requests
from werkzeug.test import TestResponse

import bff
import tmdb_stub
import user_stub
from bff.errors import Saturated
from bff.steps import Steps
from bff.upstream.answers import Answer
from bff.upstream.guard import Guard
from bff.upstream.retry import RetryBudget
from bff.upstream.wire import Wire
from config import Config, UserServiceConfig
from scripts.processes import until
from tests.faults.server import Upstream
from tests.faults.table import OPEN_S, PAGES, Case, Page

# Long enough that a busy machine changes no answer.
DEADLINE_S, TIMEOUT_S = 4.0, 3.0
# What a page, and a call of the upstream that fails, have where it fails by being slow.
SHORT_DEADLINE_S, SHORT_TIMEOUT_S = 0.4, 0.2
SETTINGS = {
    "ENV_FILE": os.devnull,
    "USER_SERVICE_EVENTS": "false",  # no stream of a service that is played in the process
    "PAGE_DEADLINE_MS": str(int(DEADLINE_S * 1000)),
    "TMDB_TIMEOUT_MS": str(int(TIMEOUT_S * 1000)),
    "USER_SERVICE_TIMEOUT_MS": str(int(TIMEOUT_S * 1000)),
    "CIRCUIT_BREAKER_TIMEOUT_SECONDS": str(OPEN_S),
    # Above the failures that a single page can bring about (three recommendations, twice each).
    "CIRCUIT_BREAKER_FAILURE_THRESHOLD": "10",
    "TMDB_CALLS_PER_SECOND": "10000",  # the tests are quicker than any frontend
    "WEB_CONCURRENCY": "1",
    "RATE_LIMIT_ENABLED": "false",
    "LOG_LEVEL": "CRITICAL",
}


class Clock:
    """A wall clock that moves when told to."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        """Return the time."""
        return self.now


class _Refusing(Wire):
    """Sends calls of one path to a port on which nobody listens."""

    def __init__(self, slots: int) -> None:
        super().__init__(slots)
        self.path = ""
        self._nobody = socket.socket()
        self._nobody.bind(("127.0.0.1", 0))  # held and not listened on: the kernel refuses

    def sending(self, request: requests.PreparedRequest, timeout_s: float) -> Steps[Answer]:
        """Send, or be refused."""
        url = str(request.url)
        if self.path and fnmatchcase(urlsplit(url).path, self.path):
            request.url = f"http://127.0.0.1:{self._nobody.getsockname()[1]}/"
        return super().sending(request, timeout_s)

    def close(self) -> None:
        self._nobody.close()
        super().close()


@dataclass
class Seen:
    """What a caller saw."""

    response: TestResponse
    seconds: float
    body: Any = field(init=False)

    def __post_init__(self) -> None:
        self.body = orjson.loads(self.response.data)


class House:
    """The app, its two upstreams and the state between them."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.clock = Clock()
        self.tmdb = Upstream(tmdb_stub.create_app())
        self._users_app = user_stub.create_app(
            UserServiceConfig(3001, "", f"sqlite:///{folder / 'users.sqlite'}", "", "CRITICAL")
        )
        self._fill()
        self.users = Upstream(self._users_app)
        self.upstreams = {"tmdb": self.tmdb, "users": self.users}
        own = {
            "TMDB_BASE_URL": f"{self.tmdb.url}/3",
            "USER_SERVICE_URL": self.users.url,
            "CACHE_FILE": str(folder / "cache.sqlite"),
        }
        with mock.patch.dict(os.environ, {**SETTINGS, **own, **settings}, clear=True):
            config = Config.from_env()
        usual = list(logging.getLogger("bff").handlers)
        self.app = bff.create_app(config)
        logging.getLogger("bff").handlers[:] = usual
        self.parts: Any = self.app.extensions["bff"]
        self.guards = {"tmdb": self.parts.tmdb.guard, "users": self.parts.users.guard}
        assert self.parts.tmdb.cache is not None
        self.cache = self.parts.tmdb.cache
        self.cache._clock = self.clock
        self._policies = {name: guard.policy for name, guard in self.guards.items()}
        self.refusing: dict[str, _Refusing] = {}
        for name, guard in self.guards.items():
            guard._wire.close()
            self.refusing[name] = guard._wire = _Refusing(guard.policy.slots)
        self._http = self.app.test_client(use_cookies=False)
        self._healthy: dict[str, Seen] = {}
        self._warm: dict[str, dict[str, Any]] = {}
        self._stored_at = self.clock.now
        try:
            self._learn()
        except BaseException:
            self.close()
            raise

    def _fill(self) -> None:
        """Give the demo user something in each collection, so that each field can be missed."""
        client = self._users_app.test_client()
        film = {"title": "Fight Club", "genres": [{"id": 18, "name": "Drama"}]}
        for path, progress in (("/history/550", 1), ("/history/603", 0.4)):
            assert client.put(path, json={**film, "progress": progress}).status_code < 300
        assert client.put("/watchlist/550", json=film).status_code < 300

    def _learn(self) -> None:
        """Keep the healthy answer of each page, and what it puts into the cache."""
        # The first calls build the stubs' answers, which takes longer than the BFF would wait.
        for page in PAGES:
            assert until(lambda page=page: self.get(page).response.status_code == 200, 20)
            until(self.is_idle, 5)
        for page in PAGES:
            assert until(lambda page=page: self._is_healthy(page), 20), page.name
            with self.cache._entries_lock:
                self._warm[page.name] = dict(self.cache._entries)

    def _is_healthy(self, page: Page) -> bool:
        self.renew()
        seen = self.get(page)
        parts = seen.body.get("sections", {}).values()
        self._healthy[page.name] = seen
        return seen.response.status_code == 200 and not any(part["reason"] for part in parts)

    def close(self) -> None:
        """End everything."""
        self.parts.close()
        for upstream in self.upstreams.values():
            upstream.close()
        self._users_app.extensions["store"].close()

    def get(self, page: Page, deadline_s: float = DEADLINE_S) -> Seen:
        """Ask for a page that has until `deadline_s` from now."""
        started = time.monotonic()
        arrived = started - (DEADLINE_S - deadline_s)  # as if it had waited for a free worker
        response = self._http.get(page.url, environ_overrides={"bff.arrived": arrived})
        return Seen(response, time.monotonic() - started)

    def healthy(self, page: Page) -> Any:
        """Return the body of a page when nothing fails; a copy."""
        return orjson.loads(self._healthy[page.name].response.data)

    def healthy_bytes(self, page: Page) -> bytes:
        """Return the same as it was sent."""
        return bytes(self._healthy[page.name].response.data)

    def healthy_but(self, page: Page, upstream: str, path: str, body: bytes) -> Any:
        """Return the body of a page when nothing fails, but one call is answered with `body`."""
        self.renew()
        self.upstreams[upstream].says(path, body)
        seen = self.get(page)
        assert seen.response.status_code == 200
        return seen.body

    def prepare(self, case: Case, age_s: float = 0) -> None:
        """Bring the state before a case about: old answers in the cache, and the fault."""
        self.renew()
        if case.cached:
            self.warm(case.page, age_s)
        guard, call = self.guards[case.call.upstream], case.call
        if case.fault.is_slow:
            self.give(call.upstream, SHORT_TIMEOUT_S)
        if case.fault.name == "refused":
            self.refusing[call.upstream].path = call.path
        elif case.fault.name == "open":
            guard._breaker(call.circuit)._circuit.open()  # type: ignore[union-attr]
        elif case.fault.name == "full":
            fill(guard)
        else:
            self.upstreams[call.upstream].fail(call.path, case.fault.name, call.ahead)

    def renew(self) -> None:
        """Forget everything that earlier requests left behind."""
        for upstream in self.upstreams.values():
            upstream.heal()
        for guard in self.guards.values():
            if guard.bulkhead.in_flight >= guard.bulkhead.slots:
                guard.bulkhead.in_flight = 0  # filled by hand
        assert until(self.is_idle, 5, 0.002), "a call did not give its slot back"
        for name, guard in self.guards.items():
            guard.policy = self._policies[name]
            guard._breakers.clear()
            guard._budget = RetryBudget()
            self.refusing[name].path = ""
        self.cache._call_s = TIMEOUT_S
        governor = self.guards["tmdb"]._governor
        assert governor is not None
        turns: Any = governor._turns
        turns._sent.clear()
        turns._paused_until = 0.0
        store: Any = self.cache._store
        with store._opened().connection(commit=True) as db:
            db.execute("DELETE FROM answers")
        if store._leases is not None:
            store._leases.clear()
        with self.cache._entries_lock:
            self.cache._entries.clear()
        self.clock.now = self._stored_at

    def give(self, upstream: str, timeout_s: float) -> None:
        """Set the time that a call of an upstream has, until `renew`."""
        guard = self.guards[upstream]
        guard.policy = replace(guard.policy, timeout_s=timeout_s)
        if upstream == "tmdb":
            self.cache._call_s = timeout_s

    def circuits(self, open_s: float | None) -> None:
        """Open circuits for `open_s` after 5 failures, or have none, until `renew`."""
        for guard in self.guards.values():
            policy = guard.policy.breaker
            assert policy is not None
            breaker = None if open_s is None else replace(policy, failures=5, open_s=open_s)
            guard.policy = replace(guard.policy, breaker=breaker)

    def circuit_states(self, upstream: str) -> dict[str, str]:
        """Return the state of each circuit of an upstream."""
        return {one.operation: one.state for one in self.guards[upstream].breakers()}

    def warm(self, page: Page, age_s: float) -> None:
        """Put into the cache what a healthy page left there `age_s` ago."""
        self.clock.now = self._stored_at + age_s
        with self.cache._entries_lock:
            for key, entry in self._warm[page.name].items():
                self.cache._entries[key] = entry

    def pool_threads(self) -> int:
        """Return how many threads the pool has."""
        return len(self.parts.fan_out._pool._threads)

    def is_idle(self) -> bool:
        """Whether no call is out."""
        return not any(guard.bulkhead.in_flight for guard in self.guards.values())


def fill(guard: Guard) -> None:
    """Take all slots of a bulkhead."""
    try:
        while True:
            guard.bulkhead.take()
    except Saturated:
        pass
