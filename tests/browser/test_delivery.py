"""How the page is served: headers, revalidation, and types that hold."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import flask
import pytest
from flask.testing import FlaskClient

from bff.api import web

HERE = Path(__file__).parent


class ReadingClient(FlaskClient):
    """Reads each answer to its end, so that the file behind it is closed."""

    def open(self, *args: Any, **options: Any) -> Any:
        return super().open(*args, buffered=True, **options)


def client(live: bool) -> FlaskClient:
    """Return a client of an app that serves the page alone."""
    app = flask.Flask(__name__, static_folder=None)
    stubs = web.stub_origins("http://127.0.0.1:3002/3", "http://127.0.0.1:3001")
    app.extensions["bff"] = SimpleNamespace(stubs={} if live else stubs)
    app.test_client_class = ReadingClient
    app.register_blueprint(web.blp)
    return app.test_client()


@pytest.mark.parametrize("path", ["/", "/feed", "/search", "/library", "/movie/550", "/movie/x"])
def test_view_when_opened_directly_then_is_the_page_with_a_strict_policy(path: str) -> None:
    """Every view answers the same page, and no script but its own may run in it."""
    answer = client(live=True).get(path)
    policy = answer.headers["Content-Security-Policy"]
    assert answer.status_code == 200
    assert answer.content_type == "text/html; charset=utf-8"
    for part in ("default-src 'none'", "frame-ancestors 'none'", "connect-src 'self';"):
        assert part in policy
    assert "img-src 'self' data: https://image.tmdb.org;" in policy
    assert "unsafe" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "same-origin"


def test_policy_when_beside_the_stubs_then_the_panel_reaches_them() -> None:
    """Only where there are stubs may the page talk to them, and is told where they are."""
    stubs = {"tmdb": "http://127.0.0.1:3002", "users": "http://127.0.0.1:3001"}
    policy = client(live=False).get("/").headers["Content-Security-Policy"]
    assert f"connect-src 'self' {stubs['tmdb']} {stubs['users']};" in policy
    assert f"img-src 'self' data: {stubs['tmdb']};" in policy
    assert client(live=False).get("/web/dev.json").json == stubs
    assert client(live=True).get("/web/dev.json").json == {}


def test_asset_when_asked_for_again_then_304() -> None:
    """A browser that has the file gets no body."""
    one = client(live=True)
    first = one.get("/web/main.js")
    assert first.headers["Cache-Control"] == "no-cache"
    again = one.get("/web/main.js", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


@pytest.mark.parametrize(
    "path",
    ["/web/none.js", "/web/", "/web/../web.py", "/web/views", "/web/%2e%2e/x.js"],
)
def test_asset_when_there_is_none_then_404(path: str) -> None:
    """Nothing but the page's own files is served."""
    assert client(live=True).get(path).status_code == 404


def test_modules_when_listed_then_all_are_preloaded() -> None:
    """Each module stands in the page's head, so that none waits for another."""
    page = (web.FILES / "index.html").read_text()
    modules = {path.relative_to(web.FILES).as_posix() for path in web.FILES.rglob("*.js")}
    assert modules == {
        part.split('"')[0] for part in page.split('="/web/')[1:] if part.split('"')[0][-3:] == ".js"
    }


def test_modules_when_read_then_none_writes_markup() -> None:
    """Data becomes text nodes; nothing in the page parses markup or code."""
    for path in web.FILES.rglob("*.js"):
        text = path.read_text()
        for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
            assert word not in text, path.name


def test_modules_when_checked_then_their_types_hold() -> None:
    """`tsc --strict --checkJs` finds nothing."""
    npx, compiler = shutil.which("npx"), HERE / "node_modules" / "typescript"
    if npx is None or not compiler.is_dir():
        pytest.skip("typescript is not installed (npm ci in tests/browser)")
    done = subprocess.run(
        [npx, "tsc", "-p", "tsconfig.json"], cwd=HERE, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout
