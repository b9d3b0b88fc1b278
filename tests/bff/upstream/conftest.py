"""Clocks, pools and throwaway servers for the tests of the upstream room."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import pytest
import responses
import time_machine

from bff import context
from bff.context import Deadline, RequestContext
from tests.bff.upstream.servers import RawServer, RedisServer, Script
from tests.bff.upstream.tools import Clock
from tests.bff.upstream.workers import Moment, Upstream


@pytest.fixture(autouse=True)
def _own_request() -> Iterator[None]:
    """Give each test a request of its own, with time enough."""
    before = context.current()
    context.enter(RequestContext("test", Deadline.after(30)))
    yield
    context.enter(before)


@pytest.fixture(autouse=True)
def _logs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let pytest see what is logged, whatever an app of another test has set up."""
    root = logging.getLogger("bff")
    monkeypatch.setattr(root, "propagate", True)
    before = root.level
    root.setLevel(logging.INFO)  # not as an attribute: loggers below remember what they may say
    yield
    root.setLevel(before)


@pytest.fixture
def clock() -> Clock:
    """Return a clock that stands until it is moved."""
    return Clock()


@pytest.fixture
def serve() -> Iterator[Callable[..., RawServer]]:
    """Return a maker of servers that do to each connection what a script says."""
    made: list[RawServer] = []

    def make(script: Script) -> RawServer:
        server = RawServer(script)
        made.append(server)
        return server

    yield make
    for server in made:
        server.close()


@pytest.fixture
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Return a Redis of its own that can be killed and started again."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.close()


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """Return an upstream that is played in this process."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield Upstream(mock)


@pytest.fixture
def moment() -> Iterator[Moment]:
    """Stop the clock until it is moved; the monotonic one, which deadlines go by, runs on."""
    with time_machine.travel(1_700_000_000.0, tick=False) as traveller:
        yield traveller
