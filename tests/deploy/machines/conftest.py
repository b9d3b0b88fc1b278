"""Throwaway servers that machines share: Redis and PostgreSQL."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bff.upstream.servers import RedisServer
from tests.user_stub.postgresql import Server, programs


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Return a Redis that can be killed and started again; without Redis, skip."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.close()


@pytest.fixture(scope="module")
def postgresql() -> Iterator[Server]:
    """Return a running PostgreSQL; without PostgreSQL, skip."""
    where = programs()
    if where is None:
        pytest.skip("PostgreSQL is not installed (Debian package: postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="machines-pg-"))
    try:
        server = Server(where, folder)
        server.start()
        yield server
        server.stop()
    finally:
        shutil.rmtree(folder)
