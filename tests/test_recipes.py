"""The recipes of the README, carried out to the letter on a copy of the project."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from scripts.processes import ROOT
from scripts.tree import tracked

Json = dict[str, Any]
STEP = re.compile(
    r"(?:(?P<create>[Cc]reate)|(?P<append>[Aa]ppend to)|[Ii]n) `(?P<file>[^`]+)`"
    r"(?:, (?P<how>after|replace) the line `(?P<line>.+?)`(?:, add| with))?"
    r":\n\n```\w+\n(?P<block>.*?)^```",
    re.MULTILINE | re.DOTALL,
)
TMDB, USERS, NEWS = "http://tmdb.test/3", "http://users.test", "http://news.test"
FILMS = {
    "page": 1,
    "results": [{"id": 550, "title": "Fight Club"}],
    "total_pages": 1,
    "total_results": 1,
}
SETTINGS = {
    "ENV_FILE": os.devnull,
    "TMDB_BASE_URL": TMDB,
    "USER_SERVICE_URL": USERS,
    "NEWS_URL": NEWS,
    "USER_SERVICE_EVENTS": "false",
    "PAGE_DEADLINE_MS": "20000",
}
# Runs in the copy: answers upstream calls as told, asks the paths of standard input one after
# the other, and prints each status, body and number of upstream calls.
DRIVER = """
import json, sys
import responses
import bff
from config import Config

told = json.load(sys.stdin)
app = bff.create_app(Config.from_env())
services = app.extensions["bff"]
client = app.test_client()


@app.get("/api/news/<int:movie_id>")
def news(movie_id):
    call = services.clients["news"].articles(movie_id)
    return services.encoder.read(services.fan_out.one(call))


seen = []
with responses.RequestsMock(assert_all_requests_are_fired=False) as upstreams:
    for address, answer in told["answers"].items():
        status, body = (answer, {}) if isinstance(answer, int) else (200, answer)
        upstreams.get(address, json=body, status=status)
    for path in told["asked"]:
        before = len(upstreams.calls)
        answer = client.get(path)
        calls = len(upstreams.calls) - before
        seen.append([answer.status_code, answer.content_type, answer.json, calls])
services.close()
json.dump(seen, sys.stdout)
"""


@dataclass(frozen=True)
class Step:
    """Where the lines of a block go: to a new file, to the end of one, or to a line of it."""

    file: str
    block: str
    create: bool
    append: bool
    how: str
    line: str

    def apply(self, root: Path) -> None:
        """Change the file as the step says."""
        file = root / self.file
        if self.create:
            assert not file.exists()
            file.write_text(self.block)
            return
        text = file.read_text()
        if self.append:
            gap = "\n\n" if self.file.endswith(".py") else "\n"
            file.write_text(text + gap + self.block)
            return
        lines = text.splitlines(keepends=True)
        (at,) = [number for number, one in enumerate(lines) if one.strip() == self.line]
        lines[at : at + 1] = [*([lines[at]] if self.how == "after" else []), self.block]
        file.write_text("".join(lines))


@dataclass(frozen=True)
class Answer:
    """What a path was answered with, and how many upstream calls that took."""

    status: int
    content_type: str
    body: Any
    calls: int


@dataclass(frozen=True)
class Copy:
    """A copy of the project in which a recipe was carried out."""

    root: Path
    steps: list[Step]

    def ask(self, answers: Json, *paths: str) -> list[Answer]:
        """Start the app in a process of its own; return its answers to the paths, in order."""
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(self.root), **SETTINGS}
        environment["CACHE_DIR"] = str(self.root / "var" / "cache")
        run = subprocess.run(
            [sys.executable, "-c", DRIVER],
            input=json.dumps({"answers": answers, "asked": paths}),
            cwd=self.root,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert run.returncode == 0, run.stderr
        return [Answer(*one) for one in json.loads(run.stdout)]

    def takes(self) -> dict[str, int]:
        """Return the lines that the recipe adds to each file, imports left out."""
        lines: dict[str, int] = {}
        for step in self.steps:
            added = [line for line in step.block.splitlines() if line and "import " not in line]
            lines[step.file] = lines.get(step.file, 0) + len(added)
        return lines


@pytest.fixture
def carry_out(tmp_path: Path) -> Any:
    """Return a function that carries out the recipe under a heading of the README."""

    def carry_out(heading: str) -> Copy:
        readme = (ROOT / "README.md").read_text()
        (recipe,) = re.findall(rf"^### {heading}\n(.*?)(?=^##)", readme, re.MULTILINE | re.DOTALL)
        steps = [
            Step(
                step["file"],
                step["block"],
                bool(step["create"]),
                bool(step["append"]),
                step["how"] or "",
                step["line"] or "",
            )
            for step in STEP.finditer(recipe)
        ]
        assert len(steps) == recipe.count("```") // 2, "a step that is not understood"
        for name in tracked(ROOT):
            if name.endswith((".py", ".md", ".json", ".toml", ".example")) or "/web/" in name:
                (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, tmp_path / name)
        for step in steps:
            step.apply(tmp_path)
        for command in (["check"], ["format", "--check"]):
            files = [step.file for step in steps if step.file.endswith(".py")]
            subprocess.run(
                [sys.executable, "-m", "ruff", *command, "-q", "--no-cache", *files],
                cwd=tmp_path,
                check=True,
            )
        return Copy(tmp_path, steps)

    return carry_out


def operation(document: Json, path: str) -> str:
    """Return the operation id of a path in an OpenAPI document."""
    return str(document["paths"][path]["get"]["operationId"])


def schema(document: Json, name: str) -> Json:
    """Return the properties of a component of an OpenAPI document."""
    properties: Json = document["components"]["schemas"][name]["properties"]
    return properties


def is_problem(answer: Answer, status: int) -> bool:
    """Whether an answer is a problem document with this status."""
    return (answer.status, answer.content_type) == (status, "application/problem+json")


def test_read_when_its_row_is_added_then_it_is_a_documented_cached_and_guarded_route(
    carry_out: Any,
) -> None:
    """One row is all that a read takes."""
    copy = carry_out("Add a TMDB read")

    film = {"media_type": "movie", "id": 550, "title": "Fight Club"}
    answers = {
        f"{TMDB}/trending/all/day": {**FILMS, "results": [film]},
        f"{TMDB}/trending/all/week": 500,
    }
    route = "/api/trending/{}"
    document, first, second, failed, wrong = copy.ask(
        answers,
        "/openapi.json",
        *(route.format(window) for window in ("day", "day", "week", "month")),
    )

    assert copy.takes().keys() == {"bff/reads.py"}
    assert copy.steps[0].block.count("Read(") == 1
    assert operation(document.body, route.format("{window}")) == "listTrending"
    assert (first.status, first.calls) == (200, 1)
    assert [film["title"] for film in first.body["results"]] == ["Fight Club"]
    assert (second.status, second.calls, second.body) == (200, 0, first.body)
    assert is_problem(failed, 502)
    assert is_problem(wrong, 422)


def test_section_when_its_lines_are_added_then_the_page_shows_it_or_says_why_not(
    carry_out: Any,
) -> None:
    """A line in plan, one in assemble and one field make a section."""
    copy = carry_out("Add a section to a page")
    film = {"id": 550, "title": "Fight Club"}
    page = "/api/dashboard/movie/550/enriched"
    answers = {
        f"{TMDB}/movie/550": film,
        f"{USERS}/favorites": {"favorites": [], "total": 0},
        f"{USERS}/watchlist": {"watchlist": [], "total": 0},
        f"{USERS}/history": {"history": [], "total": 0},
    }

    (shown,) = copy.ask(answers | {f"{TMDB}/trending/movie/week": FILMS}, page)
    answers[f"{TMDB}/trending/movie/week"] = 500
    shutil.rmtree(copy.root / "var")
    failed, document = copy.ask(answers, page, "/openapi.json")

    assert copy.takes() == {"bff/pages/movie.py": 2, "bff/schemas/pages.py": 1}
    assert shown.status == failed.status == 200
    assert shown.body["sections"]["trending"]["status"] == "ok"
    (marked,) = shown.body["trending_movies"]
    assert (marked["title"], marked["is_favorite"]) == ("Fight Club", False)
    assert failed.body["sections"]["trending"]["status"] == "unavailable"
    assert failed.body["sections"]["trending"]["reason"] == "upstream_error"
    assert failed.body["trending_movies"] is None
    assert "trending_movies" in schema(document.body, "EnrichedMovie")
    sections = schema(document.body, "EnrichedMovieSections")
    assert sections.keys() == failed.body["sections"].keys()


def test_page_when_it_is_added_then_it_answers_with_sections_and_is_documented(
    carry_out: Any,
) -> None:
    """A module, a view of three lines and a schema make a page."""
    copy = carry_out("Add a page")
    page = "/api/dashboard/upcoming"
    answers = {
        f"{TMDB}/movie/upcoming": FILMS,
        f"{USERS}/favorites": {"favorites": [{"movie_id": 550, "rating": 5}], "total": 1},
        f"{USERS}/watchlist": 503,
    }

    shown, document = copy.ask(answers, page, "/openapi.json")
    answers[f"{TMDB}/movie/upcoming"] = 500
    shutil.rmtree(copy.root / "var")
    (failed,) = copy.ask(answers, page)

    view = copy.steps[-1].block
    assert copy.takes().keys() == {
        "bff/pages/upcoming.py",
        "bff/schemas/pages.py",
        "bff/api/dashboard.py",
    }
    assert len(view.split('"""')[2].strip().splitlines()) == 3
    assert shown.status == 200
    (film,) = shown.body["movies"]
    assert (film["is_favorite"], film["user_rating"], film["is_in_watchlist"]) == (True, 5, None)
    states = {name: part["status"] for name, part in shown.body["sections"].items()}
    assert states == {"movies": "ok", "favorites": "ok", "watchlist": "unavailable"}
    assert is_problem(failed, 502)
    assert operation(document.body, page) == "getUpcoming"
    assert schema(document.body, "Upcoming").keys() == shown.body.keys()
    assert schema(document.body, "UpcomingSections").keys() == states.keys()


def test_upstream_when_it_is_added_then_it_has_a_guard_and_stands_in_readiness(
    carry_out: Any,
) -> None:
    """A settings entry, a client and a line in the composition root make an upstream."""
    copy = carry_out("Add an upstream")
    answers = {
        f"{NEWS}/articles/550": {"articles": [{"title": "Twenty years", "url": "http://a.test"}]},
        f"{NEWS}/articles/551": 503,
        f"{NEWS}/articles/552": {"articles": "none"},
    }

    shown, failed, malformed, ready, document = copy.ask(
        answers,
        *(f"/api/news/{number}" for number in (550, 551, 552)),
        "/health/ready",
        "/openapi.json",
    )

    lines = copy.takes()
    assert lines.pop(".env.example")  # the settings, for people
    assert lines.keys() == {"config.py", "bff/upstream/news.py", "bff/__init__.py"}
    assert (lines["config.py"], lines["bff/__init__.py"]) == (1, 1)
    assert (shown.body, shown.calls) == (answers[f"{NEWS}/articles/550"], 1)
    assert is_problem(failed, 502)
    assert (failed.body["upstream"], failed.calls) == ("news", 2)  # a GET is tried once more
    assert malformed.body["reason"] == "bad_response"
    checks = ready.body["checks"]
    assert [circuit["componentId"] for circuit in checks["news:circuit"]] == ["articles"]
    assert checks["news:last_success"][0]["observedValue"]
    assert checks["news:in_flight"][0]["observedValue"] == 0
    assert "news" in schema(document.body, "UpstreamProblem")["upstream"]["enum"]
