"""Lighthouse's judgement of the home screen, of what does not depend on the machine."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.browser.conftest import CHROMIUM
from tests.e2e.stack import Stack

pytestmark = pytest.mark.e2e

LIGHTHOUSE = Path(__file__).parent / "node_modules" / "lighthouse" / "cli" / "index.js"
HANG_GUARD_S = 300
CATEGORIES = ("accessibility", "best-practices", "seo")


def test_home_when_lighthouse_judges_it_then_it_is_flawless(stack: Stack, tmp_path: Path) -> None:
    """100 for accessibility, best practices and SEO, which are the same in every run."""
    node = shutil.which("node")
    if CHROMIUM is None or node is None or not LIGHTHOUSE.is_file():
        pytest.skip("needs chromium, node and lighthouse (npm ci in tests/browser)")
    file = tmp_path / "report.json"
    command = [
        *(node, str(LIGHTHOUSE), f"{stack.bff}/", "--preset=desktop", "--quiet"),
        *("--output=json", f"--output-path={file}", "--disable-full-page-screenshot"),
        f"--only-categories={','.join(CATEGORIES)}",
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
            said, _ = process.communicate(timeout=HANG_GUARD_S)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    assert process.returncode == 0, said
    found = json.loads(file.read_text())
    audits = found["audits"]
    faults = [
        f"{category}: {part['id']}: {audits[part['id']]['title']}"
        for category in CATEGORIES
        for part in found["categories"][category]["auditRefs"]
        if part["weight"] and (audits[part["id"]]["score"] or 0) < 0.9
    ]
    assert faults == []
