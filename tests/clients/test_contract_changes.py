"""scripts/check_contract_changes.py: which changes break a client, and when that is allowed."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scripts import check_contract_changes as check

Json = dict[str, Any]
Change = Callable[[Json], object]
FEED, SEARCH = "/api/dashboard/feed", "/api/dashboard/search/enriched"


@pytest.fixture(scope="module")
def released() -> Json:
    """The committed document, as if it had been released."""
    document: Json = json.loads(check.DOCUMENT.read_text(encoding="utf-8"))
    return document


def field(document: Json, component: str, name: str) -> Json:
    """Return the schema of a field of a component."""
    found: Json = document["components"]["schemas"][component]["properties"][name]
    return found


def operation(document: Json, path: str, method: str = "get") -> Json:
    """Return an operation."""
    found: Json = document["paths"][path][method]
    return found


def parameter(document: Json, path: str, name: str) -> Json:
    """Return a parameter of a GET."""
    found: Json = next(p for p in operation(document, path)["parameters"] if p["name"] == name)
    return found


def component(document: Json, name: str) -> Json:
    """Return a component."""
    found: Json = document["components"]["schemas"][name]
    return found


NEW_PARAMETER = {"name": "planted", "in": "query", "schema": {"type": "string"}}
BREAKING: list[tuple[str, Change]] = [
    ("Film.title: the field is gone", lambda d: component(d, "Film")["properties"].pop("title")),
    (
        "Film.title: the field is not always there any more",
        lambda d: component(d, "Film")["required"].remove("title"),
    ),
    (
        "Film.id: the type was integer and is string",
        lambda d: field(d, "Film", "id").update(type="string"),
    ),
    (
        "Film.title: the type was string and is null or string",
        lambda d: field(d, "Film", "title").update(type=["string", "null"]),
    ),
    (
        "Film.release_date: the format was date and is date-time",
        lambda d: field(d, "Film", "release_date").update(format="date-time"),
    ),
    (
        "Film.genre_ids[]: the type was integer and is string",
        lambda d: field(d, "Film", "genre_ids")["items"].update(type="string"),
    ),
    (
        "Section.status: it can have values that it could not have before",
        lambda d: field(d, "Section", "status")["enum"].append("planted"),
    ),
    (
        "MultiResult: it cannot be PersonResult any more",
        lambda d: component(d, "MultiResult")["oneOf"].pop(),
    ),
    (
        "MovieDetails.belongs_to_collection: it can be string, which it could not be before",
        lambda d: field(d, "MovieDetails", "belongs_to_collection")["anyOf"].append(
            {"type": "string"}
        ),
    ),
    (f"GET {FEED}: the operation is gone", lambda d: d["paths"].pop(FEED)),
    (
        f"GET {FEED}: operationId is not getFeed any more",
        lambda d: operation(d, FEED).update(operationId="planted"),
    ),
    (f"GET {FEED}: status 304 is gone", lambda d: operation(d, FEED)["responses"].pop("304")),
    (
        f"GET {FEED}: it needs a token",
        lambda d: operation(d, FEED).update(security=[{"bearer": []}]),
    ),
    (
        f"GET {FEED} 200: application/json is gone",
        lambda d: operation(d, FEED)["responses"]["200"].update(content={}),
    ),
    (
        "POST /api/users/favorites 201: the header Location is gone",
        lambda d: operation(d, "/api/users/favorites", "post")["responses"]["201"]["headers"].pop(
            "Location"
        ),
    ),
    (
        f"GET {FEED} planted: the query parameter is required",
        lambda d: operation(d, FEED)["parameters"].append({**NEW_PARAMETER, "required": True}),
    ),
    (
        f"GET {SEARCH} year: the query parameter is required",
        lambda d: parameter(d, SEARCH, "year").update(required=True),
    ),
    (
        f"GET {FEED} page: the query parameter is gone",
        lambda d: operation(d, FEED)["parameters"].remove(parameter(d, FEED, "page")),
    ),
    (
        f"GET {FEED} page: maximum was 500 and is 100",
        lambda d: parameter(d, FEED, "page")["schema"].update(maximum=100),
    ),
    (
        "GET /api/movies/discover sort_by: fewer values are taken",
        lambda d: parameter(d, "/api/movies/discover", "sort_by")["schema"]["enum"].pop(),
    ),
    (
        "FavoriteEntry.title: the field is required",
        lambda d: component(d, "FavoriteEntry")["required"].append("title"),
    ),
    (
        "FavoriteEntry.rating: the field is gone",
        lambda d: component(d, "FavoriteEntry")["properties"].pop("rating"),
    ),
    (
        "FavoriteEntry.poster_path: the type was null or string and is string",
        lambda d: field(d, "FavoriteEntry", "poster_path").update(type="string"),
    ),
]
HARMLESS: list[tuple[str, Change]] = [
    ("nothing", lambda _: None),
    (
        "a new field of an answer",
        lambda d: component(d, "Film")["properties"].update(planted={"type": "string"}),
    ),
    (
        "an answer that is never null any more",
        lambda d: field(d, "Film", "release_date").update(type="string"),
    ),
    (
        "a new optional parameter",
        lambda d: operation(d, FEED)["parameters"].append(NEW_PARAMETER),
    ),
    ("a wider bound", lambda d: parameter(d, FEED, "page")["schema"].update(maximum=1000)),
    (
        "a new optional field of a body",
        lambda d: component(d, "FavoriteEntry")["properties"].update(planted={"type": "string"}),
    ),
    (
        "a value that is not answered any more",
        lambda d: field(d, "Section", "status")["enum"].remove("stale"),
    ),
    (
        "a new operation",
        lambda d: d["paths"].update({"/planted": {"get": {"responses": {}}}}),
    ),
    (
        "a new status",
        lambda d: operation(d, FEED)["responses"].update({"418": {"description": "planted"}}),
    ),
    ("other words", lambda d: field(d, "Film", "id").update(description="planted")),
]


def breaks(released: Json, change: Change) -> list[check.Break]:
    """Return what breaks where the document is changed."""
    changed = copy.deepcopy(released)
    change(changed)
    return check.Comparison(released, changed).breaks()


@pytest.mark.parametrize(("found", "change"), BREAKING, ids=[found for found, _ in BREAKING])
def test_comparison_when_a_change_breaks_clients_then_it_is_found(
    released: Json, found: str, change: Change
) -> None:
    """The planted change, and no other, is named with its place."""
    assert [str(one) for one in breaks(released, change)] == [found]


@pytest.mark.parametrize("change", [c for _, c in HARMLESS], ids=[name for name, _ in HARMLESS])
def test_comparison_when_a_change_breaks_nobody_then_nothing_is_found(
    released: Json, change: Change
) -> None:
    """The contract may grow."""
    assert breaks(released, change) == []


def changelog(breaking: str) -> str:
    """Return a changelog with this text in the unreleased section."""
    older = "## [1.0.0] - 2026-01-01\n\n### Breaking\n\n- `Film.title` was renamed.\n"
    return f"# Changelog\n\n## [Unreleased]\n\n### Added\n\n- More.\n\n{breaking}\n{older}"


@pytest.mark.parametrize(
    ("breaking", "named"),
    [
        ("### Breaking\n\n- `Film.title` is gone; read `Film.name`.\n", True),
        ("### Breaking (major)\n\n- The title (Film.title) is gone.\n", True),
        ("### Breaking\n\n- `Film.title_old` and MarkedFilm.title are gone.\n", False),
        ("### Breaking\n\n- `Film` is another.\n", False),
        ("### Breaking\n", False),
        ("### Changed\n\n- `Film.title` is gone.\n", False),
        ("", False),
    ],
)
def test_changelog_when_it_is_read_then_only_a_named_break_of_the_unreleased_section_counts(
    breaking: str, named: bool
) -> None:
    """An entry must name the place, under the right heading of the right version."""
    found = [check.Break("Film.title", "the field is gone")]

    missing = check.unnamed(found, check.entries(changelog(breaking)))

    assert missing == ([] if named else found)


def test_check_when_a_field_was_removed_then_it_fails_until_the_changelog_says_so(
    released: Json,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The step of CI, over files: red, and green with the entry."""
    changed = copy.deepcopy(released)
    component(changed, "Film")["properties"].pop("title")
    for name, document in (("0.9.0", {"paths": {}}), ("0.10.0", released)):
        (tmp_path / f"openapi-{name}.json").write_text(json.dumps(document))
    (tmp_path / "openapi.json").write_text(json.dumps(changed))
    (tmp_path / "CHANGELOG.md").write_text(changelog(""))
    files = {"RELEASED": "", "DOCUMENT": "openapi.json", "CHANGELOG": "CHANGELOG.md"}
    for name, path in files.items():
        monkeypatch.setattr(check, name, tmp_path / path)

    assert check.main() == 1
    assert "\nFilm.title: the field is gone\n" in "\n" + capsys.readouterr().out
    (tmp_path / "CHANGELOG.md").write_text(changelog("### Breaking\n\n- `Film.title` is gone.\n"))
    assert check.main() == 0


def test_released_document_when_the_committed_one_is_held_against_it_then_it_holds() -> None:
    """What is in the tree now breaks nobody, or says so."""
    assert check.main() == 0
