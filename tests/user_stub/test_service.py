"""The service as it runs: gunicorn, real HTTP, kill -9, and a property-based run."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest

from tests.user_stub.conftest import Service

pytestmark = pytest.mark.e2e
StartService = Callable[..., Service]


def favorites(service: Service) -> list[int]:
    """Return the ids of the favourites."""
    answer: Any = service.call("GET", "/favorites")
    return [item["movie_id"] for item in json.loads(answer.answer)["favorites"]]


def test_fifty_parallel_posts_over_http_make_one_row(start_service: StartService) -> None:
    """Answer 1 times 201 and 49 times 409, also over two workers."""
    service = start_service("--workers", "2")
    together = threading.Barrier(50)
    statuses: list[int] = []

    def post() -> None:
        together.wait()
        statuses.append(service.call("POST", "/favorites", b'{"movie_id": 7}').status)

    threads = [threading.Thread(target=post) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert sorted(statuses) == [201] + [409] * 49
    assert favorites(service) == [7, 550, 155, 13]


def test_kill_while_clients_write_loses_no_acknowledged_write(
    start_service: StartService,
) -> None:
    """Keep every write that was acknowledged before a kill -9, none of them twice."""
    service = start_service("--workers", "2")
    acknowledged: list[int] = []
    enough = threading.Event()

    def write(client: int) -> None:
        for number in range(1, 1000):
            movie_id = client * 1000 + number
            try:
                answer = service.call("POST", "/favorites", b'{"movie_id": %d}' % movie_id)
            except (OSError, HTTPException):  # no answer, or the head of one without its body
                return
            if answer.status == 201:
                acknowledged.append(movie_id)
            if len(acknowledged) >= 40:
                enough.set()

    threads = [threading.Thread(target=write, args=[client]) for client in range(1, 5)]
    for thread in threads:
        thread.start()
    assert enough.wait(30)
    service.kill(signal.SIGKILL)
    for thread in threads:
        thread.join(30)
    service.start()

    found = favorites(service)
    assert set(acknowledged) <= set(found)
    assert len(found) == len(set(found))


def test_lost_answer_and_retry_with_the_key_act_once(start_service: StartService) -> None:
    """Let a client whose answer was lost repeat its request; it gets the stored answer."""
    service = start_service()
    service.call("PUT", "/__faults", b'{"reset": true, "after": true, "times": 1}')
    key = {"Idempotency_Key": "once"}

    with pytest.raises(ConnectionResetError):
        service.call("POST", "/favorites", b'{"movie_id": 7}', **key)
    again = service.call("POST", "/favorites", b'{"movie_id": 7}', **key)

    assert again.status == 201
    assert again.headers["Idempotency-Replayed"] == "true"


def test_term_finishes_the_call_and_a_restart_keeps_the_data(start_service: StartService) -> None:
    """Finish what is being served on SIGTERM, exit, and have everything after a new start."""
    service = start_service()
    service.call("PUT", "/__faults", b'{"latency_ms": 500}')
    statuses: list[int] = []
    call = threading.Thread(
        target=lambda: statuses.append(
            service.call("POST", "/favorites", b'{"movie_id": 7}', X_User_Id="ada").status
        )
    )
    call.start()
    while b"favorites" not in service.call("GET", "/__calls").answer:  # type: ignore[attr-defined]
        pass
    service.kill(signal.SIGTERM)
    call.join(10)
    service.start()

    assert statuses == [201]
    assert service.call("GET", "/favorites/7", X_User_Id="ada").status == 200
    assert favorites(service) == [550, 155, 13]


def test_properties_hold_for_generated_requests(
    start_service: StartService, tmp_path: Path
) -> None:
    """Find no 5xx, no undocumented answer and no answer that breaks its schema."""
    service = start_service(LOG_LEVEL="WARNING")
    # A generated key may meet another request of the run, which is rightly refused (422), so
    # "valid data is accepted" cannot be asserted.
    command = [sys.executable, "-m", "schemathesis.cli", "run", "--seed", "1"]
    command += ["--phases", "examples,fuzzing", "--max-examples", "2", "--no-shrink"]
    command += ["--exclude-checks", "positive_data_acceptance"]
    # An event stream does not end by itself: test_events.py has its tests.
    command += ["--exclude-path", "/events"]
    command += [f"http://127.0.0.1:{service.port}/openapi.json"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=90)

    assert run.returncode == 0, run.stdout[-6000:]
    tested = re.search(r"Tested: (\d+)", run.stdout)
    assert tested is not None
    assert int(tested[1]) == 18
