"""Fixtures of the browser tests: real processes, and Debian's Chromium driven by Playwright."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.stack import SECRET, Stack

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
WITHIN_MS = 60_000  # a guard against a hang
# The last row of the home screen: it stands when all of them do.
WHOLE_HOME = '[data-row="popular"] .card'
SETTINGS = {
    "JWT_SECRET": SECRET,
    # TMDB's answers age at once, so that a fault shows as soon as it is set.
    "CACHE_TTL": 1,
    "CACHE_GRACE": 1,
    # Without the stream of changes the user service is asked each time.
    "USER_SERVICE_EVENTS": "false",
}
# What a browser writes by itself where a fetch got an error status; the page cannot prevent it.
EXPECTED = re.compile(r"Failed to load resource: the server responded with a status of [45]\d\d ")


class Tab:
    """A page of the browser, with everything that went wrong in it."""

    def __init__(self, page: Any, stack: Stack) -> None:
        self.page = page
        self.stack = stack
        self.faults: list[str] = []
        self.calls: list[str] = []
        page.set_default_timeout(WITHIN_MS)
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.faults.append(f"uncaught: {error}"))
        page.on("request", self._request)

    def _console(self, message: Any) -> None:
        if message.type not in ("error", "warning"):
            return
        if EXPECTED.match(message.text) and "/api/" in message.location["url"]:
            return
        self.faults.append(f"{message.type}: {message.text} ({message.location['url']})")

    def _request(self, request: Any) -> None:
        if request.url.startswith(f"{self.stack.bff}/api/"):
            self.calls.append(f"{request.method} {request.url.removeprefix(self.stack.bff)}")

    def open(self, path: str, ready: str = "") -> Any:
        """Load an address as somebody who types it; return the Playwright page."""
        self.page.goto(self.stack.bff + path)
        if ready:
            self.page.wait_for_selector(ready)
        return self.page

    def until(self, script: str, argument: Any = None, within_ms: int = WITHIN_MS) -> Any:
        """Wait until a function of the page returns something true; return it."""
        return self.page.wait_for_function(script, arg=argument, timeout=within_ms).json_value()


def heart(movie_id: int) -> str:
    """Return the selector of a film's heart."""
    return f'[data-mark="favorites"][data-id="{movie_id}"]'


def bookmark(movie_id: int) -> str:
    """Return the selector of a film's bookmark."""
    return f'[data-mark="watchlist"][data-id="{movie_id}"]'


def eventually(check: Callable[[], Any], within_s: float = 60.0) -> None:
    """Wait until `check` returns something true."""
    end = time.monotonic() + within_s
    while not check():
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.05)


@pytest.fixture(scope="session")
def _browser_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("browser-stack"), **SETTINGS) as stack:
        yield stack


@pytest.fixture
def stack(_browser_stack: Stack) -> Stack:
    """Return the processes that the browser tests share, without faults and with the sample."""
    _browser_stack.reset()
    # A breaker that an earlier test opened closes with the first answer.
    eventually(lambda: not _degraded(_browser_stack))
    return _browser_stack


def _degraded(stack: Stack) -> bool:
    answer = stack.get("/api/dashboard/complete")
    return answer.status_code != 200 or any(
        part["reason"] for part in answer.json()["sections"].values()
    )


# Not for the whole session: Playwright keeps an event loop in this thread, which would be in the
# way of other tests.
@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Return Chromium."""
    if CHROMIUM is None:
        pytest.skip("there is no chromium on this machine (Debian: apt-get install chromium)")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def make_context(browser: Any, stack: Stack) -> Iterator[Callable[..., Any]]:
    """Return a function that makes a browser context, with Playwright's options."""
    made: list[Any] = []

    def make(**options: Any) -> Any:
        context = browser.new_context(
            **{"viewport": {"width": 1280, "height": 800}, "reduced_motion": "reduce"} | options
        )
        made.append(context)
        return context

    yield make
    for context in made:
        context.close()


@pytest.fixture
def make_tab(make_context: Callable[..., Any], stack: Stack) -> Iterator[Callable[..., Tab]]:
    """Return a function that opens a tab; the test fails if anything went wrong in one."""
    tabs: list[Tab] = []

    def make(context: Any = None, **options: Any) -> Tab:
        tab = Tab((context or make_context(**options)).new_page(), stack)
        tabs.append(tab)
        return tab

    yield make
    assert [fault for tab in tabs for fault in tab.faults] == []


@pytest.fixture
def tab(make_tab: Callable[..., Tab]) -> Tab:
    """Return one tab."""
    return make_tab()


@pytest.fixture
def axe() -> str:
    """Return the source of axe-core; skip where it is not installed."""
    path = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
    if not path.is_file():
        pytest.skip("axe-core is not installed (npm ci in tests/browser)")
    return path.read_text()
