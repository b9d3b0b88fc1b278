"""Make `docs/screenshots/*.png`: the page in each of its states, from real processes.

    python -m scripts.screenshots

Needs Chromium (Debian: `apt-get install chromium`) and `pip install playwright`.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.processes import ROOT
from tests.e2e.stack import Stack

OUTPUT = ROOT / "docs" / "screenshots"
LARGEST_BYTES = 400_000
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
WITHIN_MS = 20_000
# Answers age at once, so that an outage can be shown without waiting for it.
SETTINGS = {"CACHE_TTL": 1, "CACHE_GRACE": 1, "USER_SERVICE_EVENTS": "false"}


@dataclass(frozen=True)
class Shot:
    """A picture: which address in which state. `ready` is what must stand on the page."""

    name: str
    path: str
    ready: str
    scheme: str = "light"
    viewport: tuple[int, int] = (DESKTOP["width"], DESKTOP["height"])
    scale: float = 1
    prepare: Callable[[Stack], None] = lambda _stack: None
    act: Callable[[Any], None] = lambda _page: None


def _lists_down(stack: Stack) -> None:
    stack.faults("users", profile="down")


def _films_down(stack: Stack) -> None:
    for path in ("/api/dashboard/complete", "/api/configuration"):
        stack.get(path)
    time.sleep(100)
    stack.faults("tmdb", profile="down")


def _open_panel(page: Any) -> None:
    page.locator(".panel summary").click()


HOME = '[data-row="popular"] .card'
SHOTS = (
    Shot("home", "/", HOME),
    Shot("home-dark", "/", HOME, scheme="dark"),
    Shot("home-mobile", "/", HOME, viewport=(PHONE["width"], PHONE["height"]), scale=2),
    Shot("film", "/movie/13", ".film h1"),
    Shot(
        "feed-dark", "/feed", ".grid .card:not(.card-skeleton)", scheme="dark", viewport=(1080, 720)
    ),
    Shot("search-empty", "/search?q=a+film+that+nobody+made", ".empty"),
    Shot("degraded", "/", ".notice", prepare=_lists_down, act=_open_panel),
    Shot("stale", "/", ".stale", prepare=_films_down),
)


def take(browser: Any, stack: Stack, shot: Shot) -> Path:
    """Make one picture; return its file."""
    shot.prepare(stack)
    width, height = shot.viewport
    page = browser.new_page(
        viewport={"width": width, "height": height},
        color_scheme=shot.scheme,
        device_scale_factor=shot.scale,
        reduced_motion="reduce",
    )
    page.set_default_timeout(WITHIN_MS)
    page.goto(stack.bff + shot.path)
    page.wait_for_selector(shot.ready)
    page.wait_for_selector(".panel")
    page.wait_for_load_state("networkidle")
    if shot.name == "stale":
        page.locator('[data-row="trending"]').scroll_into_view_if_needed()
        page.evaluate(
            "scrollTo(0, document.querySelector('[data-row]:not([hidden])').offsetTop - 90)"
        )
    shot.act(page)
    page.wait_for_timeout(500)
    file = OUTPUT / f"{shot.name}.png"
    page.screenshot(path=file)
    page.close()
    for upstream in ("users", "tmdb"):
        stack.faults(upstream)
    return file


def main() -> int:
    """Make all pictures, or those named on the command line; return the exit code."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium")
    if chromium is None:
        print("there is no chromium on this machine")
        return 1
    OUTPUT.mkdir(parents=True, exist_ok=True)
    wanted = set(sys.argv[1:])
    too_large = False
    with (
        tempfile.TemporaryDirectory() as directory,
        Stack(Path(directory), **SETTINGS) as stack,
        sync_playwright() as driver,
    ):
        stack.call("PUT", "/api/users/history/157336", json={"progress": 0.4})
        stack.call("PUT", "/api/users/history/603", json={"progress": 0.75})
        browser = driver.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu", "--disable-quic"]
        )
        for shot in SHOTS:
            if wanted and shot.name not in wanted:
                continue
            file = take(browser, stack, shot)
            size = file.stat().st_size
            too_large |= size > LARGEST_BYTES
            print(f"{file.relative_to(ROOT)}: {size / 1000:.0f} kB")
        browser.close()
    return int(too_large)


if __name__ == "__main__":
    raise SystemExit(main())
