"""The Redis that all workers share: its loss costs one wait, one warning and no request."""

from __future__ import annotations

import pytest
import redis

from bff.upstream import shared as shared_module
from tests.bff.upstream.servers import RedisServer

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
    """And the next loss is told again; an error that Redis answers is no loss."""
    monkeypatch.setattr(shared_module, "COOLDOWN_S", 0.0)
    client = redis_server.connect()
    for _ in range(2):
        redis_server.kill()
        for _ in range(3):
            with pytest.raises(redis.ConnectionError):
                client.ping()
        assert client.health()["redis:ping"][0]["status"] == "warn"
        redis_server.start()
        assert client.set("x", "word")
        assert client.health()["redis:ping"][0]["status"] == "pass"
    with pytest.raises(redis.ResponseError):
        client.incr("x")
    redis_server.client().client_kill_filter(_type="normal", skipme=True)
    assert client.get("x") == b"word"  # once more, on a new connection
    assert told(caplog) == ["redis.gone", "redis.back"] * 2
