"""Fixtures: a deployment behind nginx that the tests of a module share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.deploy.proxy import Deployment


@pytest.fixture(scope="module")
def _deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with Deployment(tmp_path_factory.mktemp("deployment")) as deployment:
        yield deployment


@pytest.fixture
def deployment(_deployment: Deployment) -> Deployment:
    """Return nginx and two instances that both answer, without faults, with the sample data."""
    _deployment.recover()
    return _deployment
