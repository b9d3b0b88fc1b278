"""The first screen: one call, and everything there."""

from __future__ import annotations

import gzip
from typing import Any

import pytest

from tests.browser.conftest import WHOLE_HOME, Tab
from tests.e2e.stack import Stack

pytestmark = pytest.mark.e2e

NGINX_GZIP_LEVEL = 4  # as in deploy/nginx/site.conf.template
CONTENT = ".spotlight h2"
SHIFTS = """
    window.shifts = [];
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) window.shifts.push({
        value: entry.value, recent: entry.hadRecentInput,
        what: entry.sources.map((source) => source.node?.className ?? source.node?.nodeName),
      });
    }).observe({ type: "layout-shift", buffered: true });
"""


def test_home_when_it_loads_then_its_first_content_needs_one_call(stack: Stack, tab: Tab) -> None:
    """The first screen needs one call of the API; the pictures' address comes after it.

    A later load knows where pictures are, and makes no other call at all.
    """
    stack.call("PUT", "/api/users/history/13", json={"progress": 0.4})
    tab.open("/", CONTENT)
    first = tab.page.evaluate(
        """() => performance.getEntriesByType("resource")
          .filter((entry) => entry.name.includes("/api/"))
          .map((entry) => [new URL(entry.name).pathname, entry.startTime, entry.responseEnd])"""
    )
    answered = first[0][2]
    assert [path for path, start, _ in first if start < answered] == ["/api/dashboard/complete"]
    tab.page.wait_for_load_state("networkidle")
    assert tab.calls == ["GET /api/dashboard/complete", "GET /api/configuration"]
    tab.calls.clear()
    tab.page.reload()
    tab.page.wait_for_selector(".picture.is-loaded")
    tab.page.wait_for_load_state("networkidle")
    assert tab.calls == ["GET /api/dashboard/complete"]


def test_pictures_when_they_have_moved_since_the_last_visit_then_are_found(tab: Tab) -> None:
    """What an earlier page learned of the pictures' address holds until one fails to load."""
    tab.open("/", ".picture.is-loaded")
    tab.page.evaluate(
        """() => {
          const key = "movie-dashboard-configuration";
          const kept = JSON.parse(localStorage.getItem(key));
          kept.answer.images.base_url = `${location.origin}/gone/`;
          localStorage.setItem(key, JSON.stringify(kept));
        }"""
    )
    tab.page.reload()
    tab.page.wait_for_selector(".picture.is-loaded")
    assert "GET /api/configuration" in tab.calls[1:]
    tab.faults[:] = [fault for fault in tab.faults if "/gone/" not in fault]


def test_home_when_all_is_well_then_shows_all_sections(stack: Stack, tab: Tab) -> None:
    """Popular, trending, recommended with its reason, begun films and the user's numbers."""
    stack.call("PUT", "/api/users/history/13", json={"progress": 0.4})
    page = tab.open("/", WHOLE_HOME)
    for name, count in (("popular", 12), ("trending", 12), ("history", 1)):
        assert page.locator(f'[data-row="{name}"] .card').count() == count, name
    assert page.locator('[data-row="recommended"] .card').count() >= 6
    notes = page.locator('[data-row="recommended"] .card-note').all_inner_texts()
    assert set(notes) <= {
        f"Because you like {title}" for title in ("Fight Club", "The Dark Knight", "Forrest Gump")
    }
    assert page.locator('[data-row="history"] progress').get_attribute("value") == "0.4"
    assert page.locator('[data-stat="favorites"] dd').inner_text() == "3"
    assert page.locator('[data-stat="watchlist"] dd').inner_text() == "2"
    assert page.locator('[data-stat="average"] dd').inner_text() == "4.7 ★"
    assert page.locator(".notice, .stale").count() == 0


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("path", ["/", "/feed", "/movie/550", "/search?q=star", "/library"])
def test_page_when_it_loads_then_nothing_shifts(make_tab: Any, path: str, width: int) -> None:
    """Nothing moves by itself while a view and its pictures load."""
    tab = make_tab(viewport={"width": width, "height": 800})
    tab.page.add_init_script(SHIFTS)
    tab.open(path, ".picture.is-loaded")
    tab.page.wait_for_load_state("networkidle")
    shifts = tab.page.evaluate("window.shifts")
    assert sum(shift["value"] for shift in shifts) < 0.02, shifts


def test_home_when_weighed_then_is_less_than_150_kb(stack: Stack, tab: Tab) -> None:
    """Page, style, modules and the first answer, without pictures, packed as nginx packs them."""
    sizes: dict[str, int] = {}

    def note(response: Any) -> None:
        if response.url.startswith(stack.bff):
            name = response.url.removeprefix(stack.bff)
            packed = gzip.compress(response.body(), NGINX_GZIP_LEVEL)
            sizes[name] = len(packed) + response.request.sizes()["responseHeadersSize"]

    tab.page.on("requestfinished", lambda request: note(request.response()))
    tab.open("/", ".picture.is-loaded")
    tab.page.wait_for_load_state("networkidle")
    assert "/api/dashboard/complete" in sizes
    assert sum(sizes.values()) < 150_000, sizes


def test_footer_and_empty_rows_when_home_is_whole_then_sources_are_named(tab: Tab) -> None:
    """TMDB's notice and JustWatch's credit stand on the page; an empty row takes no place."""
    page = tab.open("/", WHOLE_HOME)
    assert page.locator('[data-row="history"]').is_hidden()
    text = page.locator("footer").inner_text()
    assert "uses the TMDB API but is not endorsed or certified by TMDB" in text
    assert "JustWatch" in text
