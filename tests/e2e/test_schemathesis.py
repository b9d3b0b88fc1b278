"""Generated requests over the live BFF and the live user service, held against their documents.

Schemathesis runs as its command, because its pytest plugin does not fit pytest 9.2. It makes
requests that keep to the document and requests that break it, and looks at status, content type,
headers and body of every answer. SCHEMATHESIS_PHASES=examples,coverage,fuzzing adds some 2,500
requests at the limits of each parameter, which take a minute.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest

from tests.e2e.conftest import LIVE
from tests.e2e.stack import Stack, clean_environment

pytestmark = pytest.mark.e2e

SECRET = "a-secret-of-enough-bytes-for-HS256"
WITHIN_S = 150
# Never the stateful phase: it turns header values into numbers, which requests refuses to send.
PHASES = os.environ.get("SCHEMATHESIS_PHASES", "examples,fuzzing")
# The same requests in every run, so that a failure can be repeated. A failing request is small
# enough as it is, and shrinking it would take minutes.
OPTIONS = ("--generation-deterministic", "--max-examples=10", "--no-shrink", "--no-color")
USERS_CONFIGURATION = """
# An Idempotency-Key that came before with another request is 422, and a condition that does not
# hold is 412, which no schema can say.
[checks]
positive_data_acceptance.expected-statuses = ["2xx", 401, 403, 404, 409, 412, 422]

# The stream of changes does not end. OpenAPI 3.1 describes it as one text; schemathesis holds
# each event, as an object, against that.
[[operations]]
include-path = "/events"
max-stream-events = 1
checks.response_schema_conformance.enabled = false
"""


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Return a stack without a rate limit, which would answer most of the requests."""
    with Stack(
        tmp_path_factory.mktemp("stack"),
        RATE_LIMIT_ENABLED="false",
        JWT_SECRET=SECRET,
        LOG_LEVEL="WARNING",
    ) as stack:
        LIVE.append(stack)
        yield stack
        LIVE.remove(stack)


class Run:
    """One run of schemathesis against a service, started at once."""

    def __init__(self, directory: Path, base_url: str, configuration: str, *options: str) -> None:
        directory.mkdir()
        (directory / "schemathesis.toml").write_text(configuration)
        self.report = directory / "report.json"
        self.output = directory / "output"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "schemathesis.cli", "run", f"{base_url}/openapi.json"),
                    *(f"--phases={PHASES}", f"--report-json-path={self.report}"),
                    *(*OPTIONS, *options),
                ],
                cwd=directory,
                env=clean_environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def end(self) -> None:
        """Leave no process behind."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)


@pytest.fixture(scope="module")
def runs(live: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Run]]:
    """Start the runs against both services side by side; the BFF's requests carry a token."""
    directory = tmp_path_factory.mktemp("schemathesis")
    token = jwt.encode({"sub": "generated", "exp": time.time() + 600}, SECRET, "HS256")
    as_user = f"--header=Authorization:Bearer {token}"
    made = {
        "bff": Run(directory / "bff", live.bff, "", as_user),
        "users": Run(directory / "users", live.users, USERS_CONFIGURATION),
    }
    yield made
    for run in made.values():
        run.end()


@pytest.mark.parametrize("service", ["users", "bff"])
def test_service_when_it_gets_generated_requests_then_answers_are_as_documented(
    runs: dict[str, Run], service: str
) -> None:
    """No request makes a service fail, or answer with what its document does not describe."""
    run = runs[service]

    assert run.process.wait(WITHIN_S) == 0, run.output.read_text()
    report = json.loads(run.report.read_text())
    operations, cases = report["operations"], report["test_cases"]
    assert operations["tested"] == operations["selected"] == operations["total"] > 0
    assert cases["generated"] >= operations["total"] * 3
    assert cases["without_checks"] == 0
