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
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.stack import SECRET, Stack, as_user, clean_environment

pytestmark = pytest.mark.e2e

Run = tuple[subprocess.Popen[bytes], Path]

HANG_GUARD_S = 600
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
        yield stack


@pytest.fixture(scope="module")
def runs(live: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Run]]:
    """Start the runs against both services side by side; the BFF's requests carry a token."""
    directory = tmp_path_factory.mktemp("schemathesis")
    token = f"--header=Authorization:{as_user('generated')['Authorization']}"
    made = {
        name: (started(directory / name, url, configuration, *options), directory / name)
        for name, url, configuration, options in (
            ("bff", live.bff, "", [token]),
            ("users", live.users, USERS_CONFIGURATION, []),
        )
    }
    yield made
    for process, _ in made.values():
        if process.poll() is None:
            process.kill()
        process.wait(HANG_GUARD_S)


def started(
    directory: Path, url: str, configuration: str, *options: str
) -> subprocess.Popen[bytes]:
    """Start schemathesis against a service, in a directory with its configuration and output."""
    directory.mkdir()
    (directory / "schemathesis.toml").write_text(configuration)
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json"]
    command += [f"--phases={PHASES}", "--report-json-path=report.json", *OPTIONS, *options]
    with (directory / "output").open("wb") as output:
        return subprocess.Popen(
            command,
            cwd=directory,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


@pytest.mark.parametrize("service", ["users", "bff"])
def test_service_when_it_gets_generated_requests_then_answers_are_as_documented(
    runs: dict[str, Run], service: str
) -> None:
    """No request makes a service fail, or answer with what its document does not describe."""
    process, directory = runs[service]

    assert process.wait(HANG_GUARD_S) == 0, (directory / "output").read_text()
    report = json.loads((directory / "report.json").read_text())
    operations, cases = report["operations"], report["test_cases"]
    assert operations["tested"] == operations["selected"] == operations["total"] > 0
    assert cases["generated"] >= operations["total"] * 3
    assert cases["without_checks"] == 0
