"""Every example runs: examples/curl-examples.sh, examples/requests.http and the README's curls."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass

import pytest

from bff.reads import READS
from scripts.processes import ROOT
from tests.e2e.stack import Stack, clean_environment

pytestmark = pytest.mark.e2e

SCRIPT = ROOT / "examples" / "curl-examples.sh"
HTTP_FILE = ROOT / "examples" / "requests.http"
README = ROOT / "README.md"
# A row of the table of reads needs no example of its own.
TABLE = {row.route for row in READS}
SHELL_BLOCK = re.compile(r"^```(?:bash|sh|shell)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Example:
    """One request of the .http file: what it is called, and the status that it names."""

    title: str
    status: int
    method: str
    address: str
    headers: dict[str, str]
    body: str

    @property
    def path(self) -> str:
        """The path, without the query."""
        return self.address.removeprefix("{{bff}}").partition("?")[0]


def examples() -> list[Example]:
    """Read the .http file: requests begin at ###, headers end at an empty line."""
    _, *blocks = re.split(r"^###", HTTP_FILE.read_text(), flags=re.MULTILINE)
    return [example(block) for block in blocks]


def example(block: str) -> Example:
    """Read one request."""
    title, _, request = block.partition("\n")
    named = re.fullmatch(r" (.+) \((\d{3})\)", title)
    assert named, f"the title names no status: {title}"
    head, _, body = request.partition("\n\n")
    line, *header_lines = [line for line in head.splitlines() if not line.startswith("#")]
    method, address = line.split()
    headers = dict(header.split(": ", 1) for header in header_lines)
    return Example(named[1], int(named[2]), method, address, headers, body.strip())


def curls() -> list[str]:
    """Return the curl commands of the README, each with its continued lines."""
    blocks = SHELL_BLOCK.findall(README.read_text())
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line for line in lines if line.startswith("curl ")]


def here(stack: Stack, text: str) -> str:
    """Return `text` with the addresses of the stack in place of the usual ones."""
    for port, address in ((8000, stack.bff), (3001, stack.users), (3002, stack.tmdb)):
        text = text.replace(f"http://localhost:{port}", address)
    return text


def test_requests_when_sent_from_top_to_bottom_then_each_has_its_status(stack: Stack) -> None:
    """Each request of the .http file is answered with the status that its title names."""
    addresses = {"{{bff}}": stack.bff, "{{users}}": stack.users}
    wrong = []
    for request in examples():
        address = request.address
        for name, base in addresses.items():
            address = address.replace(name, base)
        response = stack.http.request(
            request.method, address, headers=request.headers, data=request.body, timeout=30
        )
        if response.status_code != request.status:
            wrong.append(f"{request.title}: {response.status_code} {response.text[:200]}")

    assert wrong == []
    assert stack.get("/api/users/favorites").json()["total"] == 3


def test_requests_when_held_against_the_document_then_no_operation_is_missing(
    stack: Stack,
) -> None:
    """Every operation of the document, but for the table of reads, has a request that succeeds."""
    document = stack.get("/openapi.json").json()
    shown = [request for request in examples() if request.status < 400]

    missing = [
        f"{method.upper()} {path}"
        for path, item in document["paths"].items()
        for method in item
        if method != "parameters"
        and path not in TABLE
        and not any(
            request.method == method.upper()
            and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), request.path)
            for request in shown
        )
    ]

    assert missing == []


def test_curl_examples_when_run_twice_then_every_answer_is_as_expected(stack: Stack) -> None:
    """The script succeeds against another address, leaves nothing behind, and can be repeated."""
    environment = clean_environment(BASE_URL=stack.bff, USER_SERVICE_URL=stack.users)
    for _ in range(2):
        run = subprocess.run(
            [SCRIPT], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert run.returncode == 0, run.stdout + run.stderr
        assert "every answer was as expected" in run.stdout
        assert "left out" not in run.stdout
    assert stack.get("/api/users/favorites").json()["total"] == 3
    assert stack.get("/api/dashboard/feed").headers.get("X-Degraded") is None


def test_curl_examples_when_compared_with_the_document_then_no_operation_is_missing(
    stack: Stack,
) -> None:
    """The script asks every operation of the document, but for the table of reads."""
    text = SCRIPT.read_text().replace("$film", "603")
    asked = re.findall(
        r"^show \d+ (?:'[^']*'|\S+) ([A-Z]+) ['\"]?(/[^'\"?\s]+)", text, re.MULTILINE
    )
    assert len(asked) > 50

    missing = [
        f"{method.upper()} {path}"
        for path, item in stack.get("/openapi.json").json()["paths"].items()
        for method in item
        if method != "parameters"
        and path not in TABLE
        and not any(
            name == method.upper() and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), given)
            for name, given in asked
        )
    ]

    assert missing == []


def test_curl_examples_when_nobody_answers_then_they_fail(stack: Stack) -> None:
    """An answer that is not as expected is counted, and the exit code says so."""
    run = subprocess.run(
        [SCRIPT],
        env=clean_environment(BASE_URL=stack.tmdb, USER_SERVICE_URL=stack.tmdb),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    stack.faults("tmdb")

    assert run.returncode == 1
    assert "answers were not as expected" in run.stdout


def test_readme_when_its_curl_lines_are_pasted_then_each_succeeds(stack: Stack) -> None:
    """The curl commands of the README do what they say, from top to bottom."""
    commands = curls()
    assert len(commands) >= 5

    for command in commands:
        command = here(stack, command.replace("curl ", "curl --fail-with-body --max-time 30 ", 1))
        run = subprocess.run(
            ["bash", "-c", command],
            env=clean_environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert run.returncode == 0, f"{command}\n{run.stdout}{run.stderr}"
        assert run.stdout, command
    assert stack.get("/api/dashboard/feed").headers.get("X-Degraded") is None


def test_readme_when_it_shows_a_page_with_missing_parts_then_the_page_looks_like_that(
    stack: Stack,
) -> None:
    """The JSON of the README is what the feed answers while the user service fails, shortened."""
    (block,) = re.findall(r"^```json\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
    shown = json.loads(block)
    stack.faults("users", status=503)

    page = stack.get("/api/dashboard/feed", headers={"X-Library-Revision": "999999"}).json()

    assert shown["sections"] == page["sections"]
    assert shown.keys() <= page.keys()
    (film,) = shown["movies"]
    assert film.items() <= next(item.items() for item in page["movies"] if item["id"] == film["id"])
