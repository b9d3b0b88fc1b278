"""The first screen: one call, and everything there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.conftest import WHOLE_HOME, Tab
from tests.e2e.stack import Stack

pytestmark = pytest.mark.e2e

CONTENT = ".spotlight h2"
LOADS = 6
SHIFTS = """
    window.shifts = [];
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) window.shifts.push({
        value: entry.value, recent: entry.hadRecentInput,
        what: entry.sources.map((source) => source.node?.className ?? source.node?.nodeName),
      });
    }).observe({ type: "layout-shift", buffered: true });
"""

PAINTS = """
    new PerformanceObserver((list) => { window.largest = list.getEntries().at(-1).startTime; })
      .observe({ type: "largest-contentful-paint", buffered: true });
"""
# Asks for a press as soon as there is something to press, and notes the paint that follows it.
PRESSES = """
    new MutationObserver((_, observer) => {
      if (!document.querySelector(".spotlight h2")) return;
      observer.disconnect();
      window.press();
    }).observe(document, { childList: true, subtree: true });
    addEventListener("keydown", () => requestAnimationFrame(() => setTimeout(() => {
      window.answer = { at: performance.now(), focus: document.activeElement.id };
    })));
"""
ANSWERED = """() => performance.getEntriesByType("resource")
    .find((entry) => entry.name.includes("/complete")).responseEnd"""


def test_home_before_its_first_content_makes_one_call(stack: Stack, tab: Tab) -> None:
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


def test_pictures_that_have_moved_since_the_last_visit_are_found(tab: Tab) -> None:
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


def test_home_shows_all_sections_when_all_is_well(stack: Stack, tab: Tab) -> None:
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
def test_page_while_it_loads_does_not_shift(make_tab: Any, path: str, width: int) -> None:
    """Nothing moves by itself while a view and its pictures load."""
    tab = make_tab(viewport={"width": width, "height": 800})
    tab.page.add_init_script(SHIFTS)
    tab.open(path, ".picture.is-loaded")
    tab.page.wait_for_load_state("networkidle")
    shifts = tab.page.evaluate("window.shifts")
    assert sum(shift["value"] for shift in shifts) < 0.02, shifts


def test_home_in_all_weighs_less_than_150_kb(stack: Stack, tab: Tab) -> None:
    """Page, style, modules and the first answer, without pictures, as they are on the wire."""
    sizes: dict[str, int] = {}

    def note(response: Any) -> None:
        if response.url.startswith(stack.bff):
            total = response.request.sizes()
            name = response.url.removeprefix(stack.bff)
            sizes[name] = total["responseBodySize"] + total["responseHeadersSize"]

    tab.page.on("requestfinished", lambda request: note(request.response()))
    tab.open("/", ".picture.is-loaded")
    tab.page.wait_for_load_state("networkidle")
    assert "/api/dashboard/complete" in sizes
    assert sum(sizes.values()) < 150_000, sizes


def largest_paint_ms(tab: Tab) -> float:
    """Return how long after the API's answer the browser painted the largest content."""
    tab.page.add_init_script(PAINTS)
    tab.open("/", ".picture.is-loaded")
    tab.page.wait_for_load_state("networkidle")
    assert tab.page.evaluate("scrollY") == 0
    return float(tab.page.evaluate("window.largest") - tab.page.evaluate(ANSWERED))


def answered_key_ms(tab: Tab) -> float:
    """Return how long after the API's answer the effect of a key was painted.

    The key is pressed once the content is in the page, and leads to the search field. A load of
    its own: with the first key the browser stops looking for the largest content.
    """
    wanted: list[bool] = []
    tab.page.expose_function("press", lambda: wanted.append(True))
    tab.page.add_init_script(PRESSES)
    tab.page.goto(f"{tab.stack.bff}/", wait_until="commit")
    while not wanted:
        tab.page.wait_for_timeout(1)
    tab.page.keyboard.press("/")
    answer = tab.until("() => window.answer")
    assert answer["focus"] == "query"
    return float(answer["at"] - tab.page.evaluate(ANSWERED))


@pytest.mark.parametrize("delay", [largest_paint_ms, answered_key_ms])
def test_home_after_the_answer_is_usable_at_once(
    make_context: Callable[..., Any], make_tab: Callable[..., Tab], delay: Callable[[Tab], float]
) -> None:
    """Largest content painted and a key answered within 300 ms of the API's answer.

    Other work of the machine adds to each load, so the best load counts. The first has
    nothing in the browser's cache, the others have what it left.
    """
    context = make_context()
    tries: list[float] = []
    while not any(one < 300 for one in tries):
        assert len(tries) < LOADS, tries
        tries.append(delay(make_tab(context)))


def test_home_when_nothing_is_begun_shows_no_empty_row(tab: Tab) -> None:
    """A row that has nothing to say takes no place."""
    page = tab.open("/", WHOLE_HOME)
    assert page.locator('[data-row="history"]').is_hidden()


def test_footer_always_names_the_sources(tab: Tab) -> None:
    """TMDB's notice and JustWatch's credit stand on the page."""
    page = tab.open("/", CONTENT)
    text = page.locator("footer").inner_text()
    assert "uses the TMDB API but is not endorsed or certified by TMDB" in text
    assert "JustWatch" in text
