"""For everybody: axe-core on every view, keyboard, small and large screens."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.browser.conftest import WHOLE_HOME, Tab
from tests.e2e.stack import Stack

pytestmark = pytest.mark.e2e

CARDS = ".grid .card:not(.card-skeleton)"
VIEWS = {
    "/": WHOLE_HOME,
    "/feed": CARDS,
    "/search?q=star": CARDS,
    "/search?q=zzqqxxyy": ".empty",
    "/library": CARDS,
    "/movie/550": ".film h1",
    "/movie/999999999": ".empty",
}


def violations(tab: Tab, axe: str) -> list[str]:
    """Return what axe-core finds on the page as it is."""
    tab.page.evaluate(axe)
    found = tab.page.evaluate(
        """async () => (await axe.run(document, {
          runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
        })).violations"""
    )
    return [
        f"{one['id']}: {node['target']} {node['failureSummary']}"
        for one in found
        for node in one["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("state", ["normal", "degraded"])
def test_every_view_when_axe_looks_at_it_then_it_finds_nothing(
    stack: Stack, make_tab: Callable[..., Tab], axe: str, scheme: str, state: str
) -> None:
    """In both colour schemes; greyed hearts, notices and toasts are as good as the rest."""
    if state == "degraded":
        stack.faults("users", profile="down")
    tab = make_tab(color_scheme=scheme, bypass_csp=True)
    found = {}
    for path, ready in VIEWS.items():
        tab.open(path, ".notice" if state == "degraded" and path == "/library" else ready)
        if state == "normal":
            tab.page.wait_for_load_state("networkidle")
        elif path == "/movie/550":
            tab.page.locator("[data-mark]").first.click(force=True)
            tab.page.wait_for_selector(".toast")
        found[path] = violations(tab, axe)
    if state == "normal":
        tab.open("/", ".panel summary").locator(".panel summary").click()
        found["panel"] = violations(tab, axe)
        tab.page.get_by_role("button", name="Sign in").click()
        found["dialog"] = violations(tab, axe)
    else:
        stack.faults("tmdb", profile="garbage")
        tab.open("/search?q=casablanca", ".notice")
        found["failed search"] = violations(tab, axe)
    assert not any(found.values()), found


def test_page_when_used_by_keyboard_alone_then_everything_is_reached(
    stack: Stack, tab: Tab
) -> None:
    """The skip link comes first, focus is seen, and a heart answers to the space bar."""
    page = tab.open("/", WHOLE_HOME)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.locator(".skip").bounding_box()["y"] >= 0
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "About this film"
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineWidth")
    assert float(outline.removesuffix("px")) >= 2
    page.keyboard.press("Tab")
    tab.until("() => !document.activeElement.hasAttribute('aria-disabled')")
    page.keyboard.press("Space")
    tab.until("() => document.activeElement.ariaPressed === 'true'")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "query"


@pytest.mark.parametrize("width", [320, 360, 768, 1000, 3840])
def test_every_view_when_narrow_or_wide_then_it_fits(
    make_tab: Callable[..., Tab], width: int
) -> None:
    """Nothing sticks out sideways, from a small phone to 4K."""
    tab = make_tab(viewport={"width": width, "height": 900})
    for path, ready in VIEWS.items():
        page = tab.open(path, ready)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
    overlaps = page.evaluate(
        """() => {
          const boxes = [...document.querySelector(".header-inner").children]
            .map((one) => one.firstElementChild.getBoundingClientRect());
          return boxes.some((a, i) => boxes.some((b, j) => i < j && a.left < b.right - 1
            && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1));
        }"""
    )
    assert not overlaps
    if width == 360:  # buttons of cards are above WCAG 2.2's 24 pixels
        page = tab.open("/", WHOLE_HOME)
        for box in page.locator(".card-marks .mark").all()[:4]:
            size = box.bounding_box()
            assert min(size["width"], size["height"]) >= 32
    if width == 3840:
        assert page.evaluate("parseFloat(getComputedStyle(document.documentElement).fontSize)") > 20


def test_motion_when_it_is_unwanted_then_nothing_moves(make_tab: Callable[..., Tab]) -> None:
    """Nothing moves for who asked for that; it does for others."""
    running = "() => document.getAnimations().length"
    still = make_tab(reduced_motion="reduce")
    still.page.route("**/api/**", lambda route: None)
    still.open("/", ".card-skeleton")
    assert still.page.evaluate(running) == 0
    moving = make_tab(reduced_motion="no-preference")
    moving.page.route("**/api/**", lambda route: None)
    moving.open("/", ".card-skeleton")
    assert moving.page.evaluate(running) > 0
