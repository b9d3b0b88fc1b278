"""Lighthouse's judgement of the home screen, as a person would ask for it on localhost."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import CHROMIUM
from tests.e2e.stack import Stack

pytestmark = pytest.mark.e2e

LIGHTHOUSE = Path(__file__).parent / "node_modules" / "lighthouse" / "cli" / "index.js"
WITHIN_S = 60
FLAWLESS = ("accessibility", "best-practices", "seo")
RUNS = 3


def report(url: str, file: Path, *categories: str) -> dict[str, Any]:
    """Run Lighthouse with its preset for a desktop and its simulated network; return its report.

    The preset for phones takes the time of this machine's processor times four, other
    processes' share of it included, so that it would judge the machine.
    """
    node = shutil.which("node")
    if CHROMIUM is None or node is None or not LIGHTHOUSE.is_file():
        pytest.skip("needs chromium, node and lighthouse (npm ci in tests/browser)")
    command = [
        *(node, str(LIGHTHOUSE), url, "--preset=desktop", "--quiet"),
        *("--output=json", f"--output-path={file}", "--disable-full-page-screenshot"),
        f"--only-categories={','.join(categories)}",
        "--chrome-flags=--headless=new --no-sandbox --disable-gpu",
    ]
    # In a group of its own: where it takes too long, its browser ends with it.
    with subprocess.Popen(
        command,
        env=os.environ | {"CHROME_PATH": CHROMIUM},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            said, _ = process.communicate(timeout=WITHIN_S)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    assert process.returncode == 0, said
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def score(found: dict[str, Any], category: str) -> int:
    """Return a score as Lighthouse shows it."""
    return round(found["categories"][category]["score"] * 100)


def faults(found: dict[str, Any], category: str) -> list[str]:
    """Return the audits that cost points."""
    audits = found["audits"]
    return [
        f"{part['id']}: {audits[part['id']]['title']} {audits[part['id']].get('displayValue', '')}"
        for part in found["categories"][category]["auditRefs"]
        if part["weight"] and (audits[part["id"]]["score"] or 0) < 0.9
    ]


def test_home_in_lighthouse_is_flawless_and_quick(stack: Stack, tmp_path: Path) -> None:
    """100 for accessibility, best practices and SEO; at least 95 for performance.

    The first three are the same in every run. Performance counts what else the machine does, so
    the best of three runs says what the page can do, and a first run that is good is enough.
    """
    file = tmp_path / "report.json"
    found = report(f"{stack.bff}/", file, *FLAWLESS, "performance")
    for category in FLAWLESS:
        assert score(found, category) == 100, (category, faults(found, category))
    scores = [score(found, "performance")]
    while max(scores) < 95 and len(scores) < RUNS:
        found = report(f"{stack.bff}/", file, "performance")
        scores.append(score(found, "performance"))
    assert max(scores) >= 95, (scores, faults(found, "performance"))
