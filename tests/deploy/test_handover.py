"""A reload (HUP) of gunicorn: the old workers serve until the new ones can."""

from __future__ import annotations

import http.client
import json
import os
import signal
import time
from collections.abc import Iterator

import pytest

from gunicorn_worker import Handover
from scripts.processes import Server, until
from tests.e2e.stack import clean_environment, free_ports

LOADS_FOR_S = 1.0
APPLICATION = f"""
import os, time
from flask import Flask

time.sleep({LOADS_FOR_S})
app = Flask(__name__)


@app.get("/health")
def health():
    return {{"worker": os.getpid()}}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Return a server whose application takes long to load, with two workers."""
    tmp_path = tmp_path_factory.mktemp("handover")
    (tmp_path / "slow_app.py").write_text(APPLICATION)
    (port,) = free_ports(1)
    options = ["--bind", f"127.0.0.1:{port}", "--pythonpath", str(tmp_path)]
    log = tmp_path / "gunicorn.log"
    server = Server("gunicorn", "slow_app:app", "gunicorn.conf.py", port, log, options)
    server.start(clean_environment(ENV_FILE="/dev/null", WEB_CONCURRENCY="2"))
    try:
        assert until(lambda: len(seen(server, 4)) == 2, 20), server.tail()
        yield server
    finally:
        server.end(10)


def ask(server: Server) -> tuple[int, float]:
    """Return which worker answers on a new connection, and after how long."""
    begun = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=15)
    try:
        connection.request("GET", "/health")
        worker = json.loads(connection.getresponse().read())["worker"]
    except OSError:
        worker = 0
    finally:
        connection.close()
    return worker, time.monotonic() - begun


def seen(server: Server, requests: int) -> set[int]:
    """Return the workers that answer so many requests."""
    return {ask(server)[0] for _ in range(requests)} - {0}


@pytest.mark.e2e
def test_reload_when_the_application_loads_slowly_then_nobody_waits_for_it(server: Server) -> None:
    """While the new workers load, the old ones answer at once; then the new ones do."""
    old = seen(server, 8)
    server.send(signal.SIGHUP)
    begun = time.monotonic()
    answers = []
    while time.monotonic() < begun + LOADS_FOR_S * 8 and not is_renewed(answers, old):
        answers.append(ask(server))
        time.sleep(0.02)

    workers, waits = zip(*answers, strict=True)
    assert 0 not in workers
    assert workers[0] in old
    assert is_renewed(answers, old)
    assert sorted(waits)[-2] < LOADS_FOR_S / 2, max(waits)


def is_renewed(answers: list[tuple[int, float]], old: set[int]) -> bool:
    """Whether the last answers are those of new workers."""
    return len(answers) > 20 and not old & {worker for worker, _ in answers[-20:]}


@pytest.mark.e2e
def test_stop_when_a_reload_is_under_way_then_all_workers_end(server: Server) -> None:
    """SIGTERM ends old and new workers alike, once gunicorn's master is done with the reload."""
    server.send(signal.SIGHUP)
    time.sleep(LOADS_FOR_S / 4)
    server.send(signal.SIGTERM)

    assert until(lambda: server.exit_code() is not None, 14), "twice the graceful timeout"
    assert server.exit_code() == 0
    with pytest.raises(ProcessLookupError):
        os.killpg(server.pid, 0)


def test_handover_when_generations_come_and_go_then_only_a_complete_one_takes_over() -> None:
    """Old workers leave when as many new ones are ready as there are to be, again and again."""
    handover = Handover()
    for number in range(0, 1200, 2):
        old = handover.generation
        assert not handover.is_under_way(old)
        handover.begin(2)
        new = handover.generation
        assert new != old
        handover.ready(number, new)
        handover.ready(number + 1, old)  # one of the generation before, which was late
        assert handover.is_under_way(old)
        handover.ready(number + 1, new)
        assert not handover.is_under_way(old)
