"""scripts/check_contract.sh: which changes of the document break a client, by oasdiff."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(not shutil.which("npm"), reason="npm is not installed")

Json = dict[str, Any]
Change = Callable[[Json], object]
ROOT = Path(__file__).resolve().parents[2]
RELEASED = ROOT / "docs" / "contract" / "openapi-0.1.0.json"
FEED, FAVORITES = "/api/dashboard/feed", "/api/users/favorites"


def check(folder: Path, change: Change, accepted: str = "") -> subprocess.CompletedProcess[str]:
    """Change the released document, and hold it against the released one."""
    document: Json = json.loads(RELEASED.read_text(encoding="utf-8"))
    change(document)
    changed, breaks = folder / "openapi.json", folder / "accepted-breaks.txt"
    changed.write_text(json.dumps(document))
    breaks.write_text(accepted)
    command = [ROOT / "scripts" / "check_contract.sh", changed, breaks]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def film(document: Json) -> Json:
    """Return the schema of a film in a list."""
    found: Json = document["components"]["schemas"]["Film"]
    return found


def feed(document: Json) -> Json:
    """Return the operation of the feed."""
    found: Json = document["paths"][FEED]["get"]
    return found


BREAKING: dict[str, Change] = {
    "response-required-property-removed": lambda d: film(d)["properties"].pop("title"),
    "response-property-became-optional": lambda d: film(d)["required"].remove("title"),
    "response-property-became-nullable": lambda d: film(d)["properties"]["title"].update(
        type=["string", "null"]
    ),
    "response-property-enum-value-added": lambda d: d["components"]["schemas"]["Section"][
        "properties"
    ]["status"]["enum"].append("planted"),
    "response-property-any-of-added": lambda d: d["components"]["schemas"]["MovieDetails"][
        "properties"
    ]["belongs_to_collection"]["anyOf"].append({"type": "string"}),
    "api-path-removed-without-deprecation": lambda d: d["paths"].pop(FEED),
    "api-operation-id-removed": lambda d: feed(d).update(operationId="planted"),
    "api-security-added": lambda d: d["paths"]["/health"]["get"].update(security=[{"bearer": []}]),
    "response-non-success-status-removed": lambda d: feed(d)["responses"].pop("304"),
    "optional-response-header-removed": lambda d: d["paths"][FAVORITES]["post"]["responses"]["201"][
        "headers"
    ].pop("Location"),
    "request-parameter-removed": lambda d: feed(d)["parameters"].pop(0),
    "request-property-became-required": lambda d: d["components"]["schemas"]["FavoriteEntry"][
        "required"
    ].append("title"),
}


@pytest.mark.parametrize(("kind", "change"), BREAKING.items(), ids=BREAKING)
def test_contract_when_a_change_breaks_clients_then_it_is_named(
    tmp_path: Path, kind: str, change: Change
) -> None:
    """What a client relies on is not taken away without a word."""
    done = check(tmp_path, change)

    assert done.returncode != 0
    assert f"[{kind}]" in done.stdout


def test_contract_when_it_only_grows_then_nothing_is_found(tmp_path: Path) -> None:
    """New fields, parameters and operations break nobody."""

    def grow(document: Json) -> None:
        film(document)["properties"]["planted"] = {"type": "string"}
        new = {"name": "planted", "in": "query", "schema": {"type": "string"}}
        feed(document)["parameters"].append(new)
        document["paths"]["/planted"] = {"get": {"responses": {}}}

    done = check(tmp_path, grow)

    assert (done.returncode, done.stderr) == (0, "")


def test_contract_when_a_break_is_accepted_then_it_passes(tmp_path: Path) -> None:
    """A major version may break, where the file of accepted breaks says so."""
    accepted = f"GET {FEED} api path removed without deprecation\n"

    def remove(document: Json) -> None:
        del document["paths"][FEED]

    assert check(tmp_path, remove, accepted).returncode == 0
