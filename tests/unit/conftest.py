"""An app for tests that look at its structure."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from unittest import mock

import pytest

# What takes time to import is imported where it is used, see tests/api/conftest.py.
if TYPE_CHECKING:
    from flask import Flask


@pytest.fixture(scope="session")
def app(tmp_path_factory: pytest.TempPathFactory) -> Flask:
    """Return an app with the contract's defaults; no request of these tests leaves it."""
    import bff
    from config import Config

    cache = str(tmp_path_factory.mktemp("var") / "cache.sqlite")
    settings = {"ENV_FILE": os.devnull, "CACHE_DIR": cache, "USER_SERVICE_EVENTS": "false"}
    with mock.patch.dict(os.environ, settings, clear=True):
        made = bff.create_app(Config.from_env())
    made.extensions["bff"].close()
    return made
