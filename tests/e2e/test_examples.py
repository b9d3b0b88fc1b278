"""Every example runs: examples/curl-examples.sh, examples/requests.http and the README's curls."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from scripts.processes import ROOT
from tests.e2e.stack import Stack, clean_environment

pytestmark = pytest.mark.e2e

SCRIPT = ROOT / "examples" / "curl-examples.sh"
README = (ROOT / "README.md").read_text()
SHELL_BLOCK = re.compile(r"^```(?:bash|sh|shell)\n(.*?)^```", re.MULTILINE | re.DOTALL)
HANG_GUARD_S = 240


def run(
    command: str | Path, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command with a clean environment."""
    return subprocess.run(
        [command, *arguments],
        env=clean_environment(**environment),
        capture_output=True,
        text=True,
        timeout=HANG_GUARD_S,
        check=False,
    )


def missing(stack: Stack, asked: Iterable[tuple[str, str]]) -> list[str]:
    """Return the operations of the OpenAPI document that no method and path is an example of."""
    asked = list(asked)
    assert len(asked) > 40
    return [
        f"{method.upper()} {path}"
        for path, item in stack.get("/openapi.json").json()["paths"].items()
        for method in item
        if method != "parameters"
        and not any(
            name == method.upper() and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), given)
            for name, given in asked
        )
    ]


def test_http_file_when_sent_from_top_to_bottom_then_each_has_its_status(stack: Stack) -> None:
    """Each request is answered with the status of its title; no operation is missing."""
    _, *blocks = re.split(r"^###", (ROOT / "examples/requests.http").read_text(), flags=re.M)
    wrong, asked = [], []
    for block in blocks:
        title, _, request = block.partition("\n")
        named = re.fullmatch(r" (.+) \((\d{3})\)", title)
        assert named, f"the title names no status: {title}"
        head, _, body = request.partition("\n\n")
        line, *headers = [line for line in head.splitlines() if not line.startswith("#")]
        method, address = line.split()
        response = stack.http.request(
            method,
            address.replace("{{bff}}", stack.bff).replace("{{users}}", stack.users),
            headers=dict(header.split(": ", 1) for header in headers),
            data=body.strip(),
            timeout=HANG_GUARD_S,
        )
        if response.status_code != int(named[2]):
            wrong.append(f"{title}: {response.status_code} {response.text[:200]}")
        elif response.ok:
            asked.append((method, address.removeprefix("{{bff}}").partition("?")[0]))

    assert wrong == []
    assert missing(stack, asked) == []
    assert stack.get("/api/users/favorites").json()["total"] == 3


def test_curl_examples_when_run_twice_then_every_answer_is_as_expected(stack: Stack) -> None:
    """The script asks every operation, leaves nothing behind, and can be repeated."""
    for _ in range(2):
        done = run(SCRIPT, BASE_URL=stack.bff, USER_SERVICE_URL=stack.users)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "every answer was as expected" in done.stdout
        assert "left out" not in done.stdout
    text = SCRIPT.read_text().replace("$film", "603")
    asked = re.findall(r"^show \d+ (?:'[^']*'|\S+) ([A-Z]+) ['\"]?(/[^'\"?\s]+)", text, re.M)

    assert missing(stack, asked) == []
    assert stack.get("/api/users/favorites").json()["total"] == 3


def test_curl_examples_when_nobody_answers_then_they_fail(stack: Stack) -> None:
    """An answer that is not as expected is counted, and the exit code says so."""
    done = run(SCRIPT, BASE_URL=stack.tmdb, USER_SERVICE_URL=stack.tmdb)
    stack.faults("tmdb")

    assert done.returncode == 1
    assert "answers were not as expected" in done.stdout


def test_readme_when_its_curl_lines_are_pasted_then_each_succeeds(stack: Stack) -> None:
    """The curl commands of the README do what they say, from top to bottom."""
    lines = "\n".join(SHELL_BLOCK.findall(README)).replace("\\\n", " ").splitlines()
    commands = [line for line in lines if line.startswith("curl ")]
    assert len(commands) >= 5

    for command in commands:
        command = command.replace("curl ", "curl --fail-with-body ", 1)
        for port, address in ((8000, stack.bff), (3001, stack.users), (3002, stack.tmdb)):
            command = command.replace(f"http://localhost:{port}", address)
        done = run("bash", "-c", command)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        assert done.stdout, command
    assert stack.get("/api/dashboard/feed").headers.get("X-Degraded") is None


def test_readme_when_it_shows_a_page_with_missing_parts_then_the_page_looks_like_that(
    stack: Stack,
) -> None:
    """The JSON of the README is what the feed answers while the user service fails, shortened."""
    (block,) = re.findall(r"^```json\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    shown = json.loads(block)
    stack.faults("users", status=503)

    page = stack.get("/api/dashboard/feed", headers={"X-Library-Revision": "999999"}).json()

    assert shown["sections"] == page["sections"]
    assert shown.keys() <= page.keys()
    (film,) = shown["movies"]
    assert film.items() <= next(item.items() for item in page["movies"] if item["id"] == film["id"])
