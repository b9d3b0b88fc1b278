"""bff/api/services.py: what the views work with, frozen and per app."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from bff.api.services import services
from tests.bff.app import MakeClient


def test_services_when_apps_differ_then_each_view_gets_those_of_its_own(
    make_client: MakeClient,
) -> None:
    """Two apps of one process share nothing; no view can exchange a part."""
    live, stub = make_client().application, make_client(TMDB_READ_TOKEN="").application
    with live.app_context():
        mine: Any = services()
    with stub.app_context():
        other = services()

    assert (mine.tmdb_is_live, other.tmdb_is_live) == (True, False)
    assert mine.fan_out is not other.fan_out
    with pytest.raises(FrozenInstanceError):
        mine.tmdb = other.tmdb
