"""The BFF over upstreams that can be made to fail; one for all fault tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.house import House


@pytest.fixture(scope="session")
def _house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    made = House(tmp_path_factory.mktemp("house"))
    yield made
    made.close()


@pytest.fixture
def house(_house: House, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    """The BFF with nothing cached, every circuit closed and every upstream well."""
    monkeypatch.setattr("bff.upstream.guard.RETRY_PAUSE_S", 0.01)
    _house.renew()
    yield _house
    _house.renew()
