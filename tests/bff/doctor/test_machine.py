"""What the doctor finds in the settings and on this machine."""

from __future__ import annotations

import os
import resource
import shutil
from pathlib import Path

import pytest

from bff.doctor import FAIL, OK, WARN, machine
from tests.bff.doctor.conftest import Make, Serve, only
from tests.bff.doctor.servers import BFF


def test_settings_when_they_are_weak_then_it_warns(subject: Make) -> None:
    """A short secret, and a user service elsewhere without a token."""
    weak = subject(secret_is_short=True, users_url="http://users.test", users_headers={})

    only(machine.settings(weak), WARN, "JWT_SECRET")
    only(machine.settings(weak), WARN, "USER_SERVICE_TOKEN")
    assert list(machine.settings(subject(users_headers={}))) == []


def test_cache_when_it_can_be_written_then_nothing_is_left_behind(
    subject: Make, tmp_path: Path
) -> None:
    """The directory is made; where the cache uses none, nothing is said."""
    only(machine.cache_directory(subject()), OK, str(tmp_path / "cache"))

    assert list((tmp_path / "cache").iterdir()) == []
    assert list(machine.cache_directory(subject(cache_dir=None))) == []


def test_cache_when_it_cannot_be_written_then_it_says_where(subject: Make, tmp_path: Path) -> None:
    """A file is in the way; or the directory is there and takes no files."""
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file" / "cache", Path("/proc")):
        found = machine.cache_directory(subject(cache_dir=folder))
        assert "CACHE_DIR" in only(found, FAIL, f"{folder} cannot be written").advice


def test_cache_when_there_is_little_room_then_it_warns(
    subject: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Below 512 MB."""
    usage = shutil.disk_usage(".")._replace(free=511 * 1024 * 1024)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)

    only(machine.cache_directory(subject()), WARN, "511 MB")


def test_port_when_it_is_looked_at_then_it_says_who_has_it(serve: Serve, subject: Make) -> None:
    """This service while it runs, another web server, or nobody."""
    other, own = serve({}), serve(BFF)

    only(machine.port(subject(port=own.port)), OK, "already runs")
    assert f"sport = :{other.port}" in only(machine.port(subject(port=other.port)), FAIL).advice
    other.close()
    only(machine.port(subject(port=other.port)), OK, "is free")


@pytest.mark.parametrize(
    ("limit", "level"),
    [(resource.RLIM_INFINITY, OK), (1224, OK), (1223, WARN), (288, WARN), (287, FAIL)],
)
def test_files_when_the_limit_is_low_then_the_need_is_told(
    subject: Make, monkeypatch: pytest.MonkeyPatch, limit: int, level: str
) -> None:
    """1000 clients, 96 upstream calls and 128 of its own; a failure below 4 clients a thread."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))

    finding = only(machine.open_files(subject()), level, "needs up to 1224")

    assert level == OK or "LimitNOFILE=1224" in finding.advice


@pytest.mark.parametrize(
    ("workers", "threads", "level"),
    [(4, 64, OK), (9, 16, OK), (3, 16, WARN), (10, 16, WARN), (4, 65, WARN)],
)
def test_processors_when_workers_or_threads_do_not_fit_then_it_warns(
    subject: Make, monkeypatch: pytest.MonkeyPatch, workers: int, threads: int, level: str
) -> None:
    """On a machine of four processors."""
    monkeypatch.setattr(os, "cpu_count", lambda: 4)

    only(machine.processors(subject(workers=workers, threads=threads)), level, "4 processors")
