"""The BFF over upstreams that can be made to fail."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.house import House


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """The two upstreams, and apps in front of them."""
    made = House(tmp_path_factory.mktemp("house"))
    yield made
    made.close()
