"""The Redis that all workers share: its loss costs one wait, one warning and no request."""

from __future__ import annotations

import threading
from contextlib import ExitStack

import pytest
import redis

from bff.upstream import shared as shared_module
from bff.upstream.shared import try_lock
from tests.bff.upstream.servers import RedisServer
from tests.bff.upstream.tools import until

pytestmark = pytest.mark.e2e


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the events that were logged."""
    return [record.getMessage().split(" ")[0] for record in caplog.records]


def test_client_when_redis_hangs_then_only_the_first_command_waits(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Later ones fail at once, without asking; one warning for all of them."""
    client = redis_server.connect()
    assert client.ping()
    redis_server.stop()
    with pytest.raises(redis.TimeoutError):
        client.ping()
    for _ in range(10):
        with pytest.raises(redis.ConnectionError, match="gone a moment ago"):
            client.ping()
    assert told(caplog) == ["redis.gone"]


def test_client_when_redis_comes_back_then_it_is_used_and_that_is_told_once(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the next loss is told again."""
    monkeypatch.setattr(shared_module, "COOLDOWN_S", 0.0)
    client = redis_server.connect()
    for _ in range(2):
        redis_server.kill()
        for _ in range(3):
            with pytest.raises(redis.ConnectionError):
                client.ping()
        assert client.health()["redis:ping"][0]["status"] == "warn"
        redis_server.start()
        assert client.ping()
        assert client.health()["redis:ping"][0]["status"] == "pass"
    assert told(caplog) == ["redis.gone", "redis.back"] * 2


def test_client_when_redis_has_closed_an_idle_connection_then_nobody_notices(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """The command is sent once more, on a new connection."""
    client = redis_server.connect()
    assert client.set("x", "1")
    redis_server.client().client_kill_filter(_type="normal", skipme=True)
    assert client.get("x") == b"1"
    assert told(caplog) == []


def test_client_when_redis_refuses_a_command_then_it_is_not_taken_for_gone(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """An error that Redis answers is an answer."""
    client = redis_server.connect()
    client.set("x", "word")
    with pytest.raises(redis.ResponseError):
        client.incr("x")
    assert client.get("x") == b"word"
    assert told(caplog) == []


def test_lock_when_somebody_has_it_then_another_one_has_not_until_it_is_given_back(
    redis_server: RedisServer,
) -> None:
    """Without waiting, or after having waited in vain."""
    one, other = redis_server.connect(), redis_server.connect()
    with try_lock(one, "lock", 60) as mine:
        assert mine
        for wait_s in (0.0, 0.05):
            with try_lock(other, "lock", 60, wait_s) as theirs:
                assert not theirs
    with try_lock(other, "lock", 60) as theirs:
        assert theirs


def test_lock_when_it_is_waited_for_then_it_is_had_as_soon_as_it_is_given_back(
    redis_server: RedisServer,
) -> None:
    """Also from another thread than the one that took it."""
    one, other = redis_server.connect(), redis_server.connect()
    got, held = threading.Event(), ExitStack()
    assert held.enter_context(try_lock(one, "lock", 60))

    def wait() -> None:
        with try_lock(other, "lock", 60, 30) as mine:
            if mine:
                got.set()

    thread = threading.Thread(target=wait)
    thread.start()
    held.close()
    assert got.wait(10)
    thread.join(10)


def test_lock_when_its_time_is_over_then_who_comes_late_does_not_end_anothers(
    redis_server: RedisServer,
) -> None:
    """A worker that dies gives its lock back by itself."""
    one, other, third = (redis_server.connect() for _ in range(3))
    with ExitStack() as later, ExitStack() as late:
        assert late.enter_context(try_lock(one, "lock", 0.01))
        assert until(lambda: not third.exists("lock"))
        assert later.enter_context(try_lock(other, "lock", 60))
        late.close()
        with try_lock(third, "lock", 60) as mine:
            assert not mine


def test_lock_when_redis_is_gone_then_everybody_has_it(redis_server: RedisServer) -> None:
    """Also where it goes while somebody holds it."""
    one, other = redis_server.connect(), redis_server.connect()
    with try_lock(one, "lock", 60) as mine:
        redis_server.kill()
        with try_lock(other, "lock", 60) as theirs:
            assert mine
            assert theirs
