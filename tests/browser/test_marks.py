"""Favourite, watchlist, stars and progress: at once, undone on failure, the same everywhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.conftest import WHOLE_HOME, Tab, bookmark, eventually, heart
from tests.e2e.stack import Stack

pytestmark = pytest.mark.e2e

PRESSED = "(selector) => document.querySelector(selector)?.getAttribute('aria-pressed') === 'true'"
NOT_PRESSED = (
    "(selector) => document.querySelector(selector)?.getAttribute('aria-pressed') === 'false'"
    " && !document.querySelector(selector).hasAttribute('aria-disabled')"
)


def held(stack: Stack, name: str) -> dict[int, Any]:
    """Return what the user service holds of the demo user, by film."""
    answer = stack.http.get(f"{stack.users}/{name}", timeout=10).json()
    return {item["movie_id"]: item for item in answer[name]}


def test_heart_when_pressed_then_shows_at_once_and_after_a_reload(stack: Stack, tab: Tab) -> None:
    """A mark is set before the service has answered, and it lasts."""
    page = tab.open("/movie/680", ".film h1")
    tab.until(NOT_PRESSED, heart(680))
    stack.faults("users", match="/favorites", method="PUT", latency_ms=600_000)
    page.locator(heart(680)).first.click()
    assert page.locator(heart(680)).first.get_attribute("aria-pressed") == "true"
    assert 680 not in held(stack, "favorites")
    stack.faults("users")
    eventually(lambda: 680 in held(stack, "favorites"))
    page.wait_for_selector(".toast")
    page.reload()
    tab.until(PRESSED, heart(680))
    page.locator(heart(680)).first.click()
    eventually(lambda: 680 not in held(stack, "favorites"))


def test_bookmark_when_pressed_on_home_then_the_service_has_it(stack: Stack, tab: Tab) -> None:
    """The watchlist can be changed from a row, and the numbers follow."""
    page = tab.open("/", WHOLE_HOME)
    film = int(page.locator('[data-row="popular"] .card').nth(2).get_attribute("data-film") or "")
    tab.until(NOT_PRESSED, bookmark(film))
    page.locator(f'[data-row="popular"] {bookmark(film)}').click()
    eventually(lambda: film in held(stack, "watchlist"))
    page.wait_for_selector('[data-stat="watchlist"] dd:text-is("3")')


def test_mark_when_it_cannot_be_saved_then_is_undone_with_a_message(stack: Stack, tab: Tab) -> None:
    """After a failure the page shows what holds, says why, and offers to try again."""
    page = tab.open("/movie/13", ".film h1")
    tab.until(PRESSED, heart(13))
    stack.faults("users", match="/favorites", method="DELETE", status=500)
    page.locator(heart(13)).first.click()
    page.wait_for_selector(".toast-failure")
    assert "Forrest Gump" in page.locator(".toast-failure").inner_text()
    assert page.locator("#toasts").get_attribute("aria-live") == "polite"
    tab.until(PRESSED, heart(13))
    assert 13 in held(stack, "favorites")
    stack.faults("users")
    page.locator(".toast-failure").get_by_role("button", name="Try again").click()
    eventually(lambda: 13 not in held(stack, "favorites"))
    tab.until(NOT_PRESSED, heart(13))


def test_write_when_its_answer_was_lost_then_ends_with_what_holds(stack: Stack, tab: Tab) -> None:
    """The service did it, but the answer never came: the page finds out by itself."""
    page = tab.open("/movie/550", ".film h1")
    tab.until(PRESSED, heart(550))
    stack.faults("users", match="/favorites", method="DELETE", status=503, after=True)
    page.locator(heart(550)).first.click()
    page.wait_for_selector(".toast-failure")
    stack.faults("users")
    assert 550 not in held(stack, "favorites")
    tab.until(NOT_PRESSED, heart(550))


def test_heart_when_pressed_many_times_then_ends_as_pressed_last(stack: Stack, tab: Tab) -> None:
    """Quick presses follow each other; nothing overtakes."""
    page = tab.open("/movie/680", ".film h1")
    tab.until(NOT_PRESSED, heart(680))
    stack.faults("users", match="/favorites", latency_ms=100)
    page.evaluate(
        "(selector) => { for (let i = 0; i < 7; i++) document.querySelector(selector).click(); }",
        heart(680),
    )
    assert page.locator(heart(680)).first.get_attribute("aria-pressed") == "true"
    page.wait_for_selector(".toast")
    assert 680 in held(stack, "favorites")
    tab.until(PRESSED, heart(680))


def test_stars_when_set_by_pointer_or_keyboard_then_are_held(stack: Stack, tab: Tab) -> None:
    """A rating makes the film a favourite; arrows change it."""
    page = tab.open("/movie/27205", ".film h1")
    tab.until(NOT_PRESSED, heart(27205))
    page.get_by_role("radio", name="3 stars").check(force=True)
    eventually(lambda: held(stack, "favorites").get(27205, {}).get("rating") == 3)
    tab.until(PRESSED, heart(27205))
    page.get_by_role("radio", name="3 stars").focus()
    page.keyboard.press("ArrowRight")
    eventually(lambda: held(stack, "favorites")[27205]["rating"] == 4)
    page.reload()
    page.wait_for_selector('[data-rating="4"]')


def test_progress_when_set_then_leads_back_from_home(stack: Stack, tab: Tab) -> None:
    """A film that was begun can be continued, finished and forgotten."""
    page = tab.open("/movie/13", ".film h1")
    tab.until("() => document.querySelector('output').textContent === 'Not begun'")
    page.locator("#progress").fill("40")
    eventually(lambda: held(stack, "history").get(13, {}).get("progress") == 0.4)
    page.get_by_role("link", name="Home", exact=True).click()
    page.wait_for_selector('[data-row="history"] [data-film="13"] progress[value="0.4"]')
    page.locator('[data-row="history"] [data-film="13"] h3 a').click()
    page.get_by_role("button", name="Mark as watched").click()
    eventually(lambda: held(stack, "history")[13]["watched_date"] is not None)
    page.wait_for_selector(".lists > .list-dates:has-text('Watched on')")
    page.get_by_role("button", name="Remove from history").click()
    eventually(lambda: 13 not in held(stack, "history"))


def test_second_tab_when_the_first_changes_a_mark_then_follows(
    stack: Stack, make_context: Callable[..., Any], make_tab: Callable[..., Tab]
) -> None:
    """What is changed in one tab shows in the others."""
    context = make_context()
    one, two = make_tab(context), make_tab(context)
    one.open("/movie/680", ".film h1")
    two.open("/library", '[data-list="favorites"] .card:not(.card-skeleton)')
    one.until(NOT_PRESSED, heart(680))
    one.page.locator(heart(680)).first.click()
    two.page.wait_for_selector('[data-list="favorites"] [data-film="680"]')
    two.until(PRESSED, heart(680))
    two.page.locator(f'[data-list="favorites"] {heart(680)}').click()
    one.until(NOT_PRESSED, heart(680))


def test_change_when_made_elsewhere_then_shows_on_focus(stack: Stack, tab: Tab) -> None:
    """Another device changed the list: coming back to the tab is enough."""
    page = tab.open("/movie/680", ".film h1")
    tab.until(NOT_PRESSED, heart(680))
    stack.call("PUT", "/api/users/favorites/680", json={"rating": 2})
    # The page does not ask more often than every two seconds.
    tab.until(
        f"(one) => {{ dispatchEvent(new Event('focus')); return ({PRESSED})(one); }}", heart(680)
    )
    page.wait_for_selector('[data-rating="2"]')
