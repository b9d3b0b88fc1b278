"""The way to TMDB through a proxy, seen from outside the service."""

from __future__ import annotations

import io
import logging
import os
from contextlib import closing
from pathlib import Path
from unittest import mock

import pytest
from flask.testing import FlaskClient

import bff
from bff.observability import logs
from config import Config
from tests.bff.doctor.servers import IMAGES, HttpServer
from tests.bff.proxy import Proxy

SECRET = "planted-proxy-password"


def client(folder: Path, proxy: str) -> FlaskClient:
    """Return a client of an app that reaches `tmdb.test` through a proxy."""
    settings = {
        "ENV_FILE": os.devnull,
        "CACHE_DIR": str(folder),
        "CACHE_ENABLED": "false",
        "USER_SERVICE_EVENTS": "false",
        "LOG_LEVEL": "DEBUG",
        "TMDB_READ_TOKEN": "t",
        "TMDB_BASE_URL": "http://tmdb.test/3",
        "TMDB_PROXY": proxy,
        "HTTP_PROXY": "http://127.0.0.1:1",
    }
    with mock.patch.dict(os.environ, settings, clear=True):
        return bff.create_app(Config.from_env()).test_client()


def test_proxy_when_it_is_set_then_tmdb_is_reached_through_it_and_nothing_tells_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy gets the name and its password; a password that it refuses shows nowhere."""
    sizes = {f"{kind}_sizes": ["w1"] for kind in ("poster", "profile", "backdrop")}
    answer = (200, {}, {"images": {**IMAGES["images"], **sizes}})
    log, everything = io.StringIO(), logging.getLogger()
    keep = logging.StreamHandler(log)  # what urllib3 and others say
    with (
        closing(HttpServer({"/3/configuration": answer})) as target,
        closing(Proxy({"tmdb.test": target.port}, f"me:{SECRET}")) as via,
    ):
        right = client(tmp_path, f"http://me:{SECRET}@127.0.0.1:{via.port}")
        wrong = client(tmp_path, f"http://me:{SECRET}-wrong@127.0.0.1:{via.port}")
        logs.configure("DEBUG", "json", "", log)
        everything.addHandler(keep)
        monkeypatch.setattr(everything, "level", logging.DEBUG)
        try:
            seen = [one.get("/api/configuration") for one in (right, wrong)]
        finally:
            everything.removeHandler(keep)
            for one in (right, wrong):
                one.application.extensions["bff"].close()

    assert [response.status_code for response in seen] == [200, 502], seen[0].text
    assert via.seen[0].startswith("GET http://tmdb.test/3/configuration")
    assert len(target.seen) == 1
    said = repr([(it.status, it.text, list(it.headers)) for it in seen])
    assert SECRET not in log.getvalue() + said
    assert "upstream.call" in log.getvalue()
