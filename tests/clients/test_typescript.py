"""The TypeScript client: generated from the document, strict, and at work against real processes.

Needs Node 20 and npm. What it is built with is installed into clients/typescript/node_modules when
that is missing or older than package-lock.json.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.e2e.stack import Stack, clean_environment

CLIENT = Path(__file__).resolve().parents[2] / "clients" / "typescript"
STAMP = CLIENT / "node_modules" / ".installed-from"
WITHIN_S = 240
NO_NETWORK = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ETIMEDOUT", "ENETUNREACH")


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the client's directory."""
    quiet = {"npm_config_update_notifier": "false", "npm_config_fund": "false"}
    return subprocess.run(
        command,
        cwd=CLIENT,
        env=clean_environment(**quiet, **environment),
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )


def succeed(*command: str, **environment: str) -> str:
    """Run a command that must succeed; return what it said."""
    done = run(*command, **environment)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="session")
def installed() -> None:
    """What package-lock.json names is in node_modules."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    version = run("node", "--version").stdout.strip()
    if int(version.lstrip("v").split(".")[0]) < 20:
        pytest.skip(f"Node 20 or newer is needed, this is {version}")
    wanted = hashlib.sha256((CLIENT / "package-lock.json").read_bytes()).hexdigest()
    if STAMP.exists() and STAMP.read_text() == wanted:
        return
    done = run("npm", "ci", "--no-audit", "--loglevel=error")
    if done.returncode != 0 and any(sign in done.stderr for sign in NO_NETWORK):
        pytest.skip("npm ci cannot reach the registry")
    assert done.returncode == 0, done.stderr
    STAMP.write_text(wanted)


@pytest.fixture(scope="session")
def built(installed: None) -> None:
    """The client, its example and its tests, compiled under --strict."""
    assert json.loads((CLIENT / "tsconfig.json").read_text())["compilerOptions"]["strict"] is True
    succeed("npm", "run", "--silent", "build")


def test_types_when_they_are_generated_again_then_they_are_the_committed_ones(
    installed: None,
) -> None:
    """src/schema.d.ts is what openapi-typescript makes of openapi.json."""
    succeed("npm", "run", "--silent", "types:check")


def test_document_when_it_is_linted_then_no_rule_is_broken(installed: None) -> None:
    """Redocly's recommended rules hold, but for what redocly.yaml gives reasons for."""
    assert "0 errors, 0 warnings" in succeed("npm", "run", "--silent", "lint")


def test_linter_when_a_document_breaks_a_rule_then_it_fails(
    installed: None, tmp_path: Path
) -> None:
    """The step of CI can go red: an operation without a summary, an example of another type."""
    document = json.loads((CLIENT.parents[1] / "openapi.json").read_text(encoding="utf-8"))
    feed = document["paths"]["/api/dashboard/feed"]["get"]
    del feed["summary"]
    answer = document["components"]["responses"]["NOT_FOUND"]
    answer["content"]["application/problem+json"]["example"]["status"] = "planted"
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps(document))

    done = run("node", "lint.mjs", str(file))

    assert done.returncode == 1
    said = done.stdout + done.stderr
    assert "operation-summary" in said
    assert "no-invalid-media-type-examples" in said


def test_client_when_a_service_answers_anything_then_it_keeps_its_promises(built: None) -> None:
    """The client's own tests: errors, remembered answers, revisions, tokens, aborts."""
    said = succeed("npm", "run", "--silent", "test")

    passed = re.search(r"^# pass (\d+)$", said, re.MULTILINE)
    assert passed is not None, said
    assert int(passed[1]) >= 10


def test_types_when_a_field_is_misused_then_the_compiler_says_so(built: None) -> None:
    """What may be null must be asked for; what does not exist cannot be read or sent."""
    wrong = CLIENT / "dist" / "wrong.ts"
    wrong.write_text(
        """
import { createDashboardClient, dataOf } from "../src/client.js";
const client = createDashboardClient({ baseUrl: "" });
const feed = await dataOf(client.GET("/api/dashboard/feed"));
feed.favorites_count.toFixed();
feed.planted;
await client.GET("/api/planted");
await client.POST("/api/users/favorites", { body: { rating: 5 } });
await client.GET("/api/movies/trending/{window}", { params: { path: { window: "year" } } });
""",
        encoding="utf-8",
    )
    options = ("--strict", "--noEmit", "--module", "nodenext", "--target", "es2022")
    try:
        done = run("npx", "--no-install", "tsc", *options, "--skipLibCheck", str(wrong))
    finally:
        wrong.unlink()

    lines = {int(n) for n in re.findall(r"^dist/wrong\.ts\((\d+),", done.stdout, re.MULTILINE)}
    assert lines == {5, 6, 7, 8, 9}, done.stdout


@pytest.mark.e2e
def test_example_when_it_runs_against_the_stack_then_it_says_what_happened(
    built: None, tmp_path: Path
) -> None:
    """Feed, 304, write and read back, typed errors and an abort, over real processes."""
    with Stack(tmp_path) as stack:
        said = succeed("npm", "run", "--silent", "example", BFF_URL=stack.bff)
        left = stack.get("/api/users/favorites").json()["total"]

    assert left == 3
    lines = said.splitlines()
    assert re.fullmatch(r"feed: 20 films, the first is .+", lines[0])
    assert lines[1:] == [
        "favorites: 3",
        "again: 304 on the wire, 20 films",
        "added to favorites: Inception, 5 stars",
        "read back: favorite true, 148 minutes",
        "a second time: 409 /problems/conflict",
        "six stars: 422 /problems/validation rating",
        "an unknown film: 404 /problems/not-found",
        "overtaken: AbortError",
    ]


@pytest.mark.e2e
def test_example_when_the_user_service_is_down_then_it_says_what_is_not_known(
    built: None, tmp_path: Path
) -> None:
    """A partial page is read as such; the write that fails is an error of the example."""
    with Stack(tmp_path) as stack:
        stack.kill("users")
        done = run("npm", "run", "--silent", "example", BFF_URL=stack.bff)

    assert done.returncode != 0
    assert "favorites: unavailable (unreachable)" in done.stdout
    assert "favorites: not known" in done.stdout
    assert "ProblemError: 502" in done.stderr
    assert "reason: 'unreachable'" in done.stderr
