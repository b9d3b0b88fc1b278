"""Write the BFF's OpenAPI document to `openapi.json`; `--check` fails where it differs.

`--release` writes it to `docs/contract/openapi-<version>.json` too: the document that later
changes are held against (see `scripts/check_contract_changes.py`).
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import bff
from config import Config

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "openapi.json"
RELEASED = ROOT / "docs" / "contract"
SHOWN_LINES = 40


def text() -> str:
    """Return the document as the code says it, whatever the settings of this machine are."""
    with tempfile.TemporaryDirectory() as directory:
        settings = {
            "ENV_FILE": os.devnull,
            "CACHE_DIR": directory,
            "USER_SERVICE_EVENTS": "false",
            "LOG_LEVEL": "ERROR",
        }
        with mock.patch.dict(os.environ, settings, clear=True):
            app = bff.create_app(Config.from_env())
        try:
            response = app.test_client().get("/openapi.json")
            if response.status_code != 200:
                raise SystemExit(f"/openapi.json answered {response.status_code}")
            return pretty(response.get_json())
        finally:
            app.extensions["bff"].close()


def pretty(document: Any) -> str:
    """Return JSON of which the same document always has the same lines."""
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def difference(written: str, said: str) -> list[str]:
    """Return the lines in which the file and the code differ; none where they do not."""
    lines = difflib.unified_diff(
        written.splitlines(), said.splitlines(), "openapi.json", "the code", lineterm="", n=2
    )
    return list(lines)


def main(arguments: list[str] | None = None) -> int:
    """Write or check."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    parser.add_argument("--release", action="store_true", help="keep it as a released document")
    asked = parser.parse_args(arguments)
    said = text()
    if asked.check:
        written = DOCUMENT.read_text(encoding="utf-8") if DOCUMENT.exists() else ""
        differing = difference(written, said)
        if differing:
            print("\n".join(differing[:SHOWN_LINES]))
            print("openapi.json is not what the code says: run python -m scripts.write_openapi")
        return 1 if differing else 0
    files = [DOCUMENT]
    if asked.release:
        files.append(RELEASED / f"openapi-{bff.VERSION}.json")
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(said, encoding="utf-8")
        print(f"wrote {file.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
