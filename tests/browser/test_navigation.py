"""Addresses, history, scrolling and the search field."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.browser.conftest import WHOLE_HOME, Tab
from tests.e2e.stack import Stack

pytestmark = pytest.mark.e2e

CARDS = ".grid .card:not(.card-skeleton)"


def path_of(page: Any) -> str:
    """Return path and query of a page's address."""
    parts = urlsplit(page.url)
    return parts.path + (f"?{parts.query}" if parts.query else "")


@pytest.mark.parametrize(
    ("path", "ready", "title"),
    [
        ("/", ".spotlight", "Movie Dashboard"),
        ("/feed", CARDS, "Feed · Movie Dashboard"),
        ("/search?q=fight+club", CARDS, "fight club · Search · Movie Dashboard"),
        ("/library", CARDS, "Library · Movie Dashboard"),
        ("/movie/550", ".film h1", "Fight Club · Movie Dashboard"),
    ],
)
def test_address_when_opened_directly_then_shows_its_view(
    tab: Tab, path: str, ready: str, title: str
) -> None:
    """Each view has an address of its own that can be opened, reloaded and shared."""
    page = tab.open(path, ready)
    assert page.title() == title
    page.reload()
    page.wait_for_selector(ready)
    assert page.title() == title
    assert page.locator("h1").count() == 1


def test_feed_when_scrolled_to_its_end_then_loads_the_next_page(tab: Tab) -> None:
    """The next films come before the end is reached, and the address follows."""
    page = tab.open("/feed", CARDS)
    page.keyboard.press("End")
    tab.until(f"() => document.querySelectorAll('{CARDS}').length >= 60")
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    tab.until("() => /page=[2-9]/.test(location.search)")
    ids = page.eval_on_selector_all(CARDS, "(all) => all.map((one) => one.dataset.film)")
    assert len(ids) == len(set(ids))


def test_back_when_from_a_film_then_restores_the_feed_and_its_scroll(tab: Tab) -> None:
    """The way back leads to the same films at the same place, without asking again."""
    page = tab.open("/feed", CARDS)
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    tab.until(f"() => document.querySelectorAll('{CARDS}').length >= 40")
    page.evaluate("scrollTo(0, 1500)")
    asked = len([call for call in tab.calls if "/feed" in call])
    # What is on its way when the feed is left would rightly be asked for again.
    tab.until(
        "(asked) => performance.getEntriesByType('resource')"
        ".filter((one) => one.name.includes('/dashboard/feed')).length >= asked",
        asked,
    )
    # A click by the driver would scroll on its own.
    page.locator(f"{CARDS} h3 a").nth(14).evaluate("(link) => link.click()")
    page.wait_for_selector(".film h1")
    assert page.evaluate("scrollY") == 0
    page.go_back()
    page.wait_for_selector(CARDS)
    tab.until("() => Math.abs(scrollY - 1500) < 200")
    assert len([call for call in tab.calls if "/feed" in call]) == asked
    page.go_forward()
    page.wait_for_selector(".film h1")


def test_feed_when_opened_at_a_later_page_then_offers_the_earlier_ones(tab: Tab) -> None:
    """A shared address of page 3 starts there, and page 2 is one press away."""
    page = tab.open("/feed?page=3", CARDS)
    first = page.locator(CARDS).first.get_attribute("data-film")
    page.get_by_role("button", name="Show earlier films").click()
    tab.until("(id) => document.querySelector('.grid .card').dataset.film !== id", argument=first)
    assert "GET /api/dashboard/feed?page=2" in tab.calls


@pytest.mark.parametrize("number", ["500", "501", "0", "-1", "abc", "1e3", ""])
def test_feed_when_the_page_cannot_be_then_says_so(tab: Tab, number: str) -> None:
    """Page 500 is beyond the stub's films; one outside 1 to 500 is explained without a call."""
    page = tab.open(f"/feed?page={number}", ".empty")
    said = "nothing on page 500" if number == "500" else "from 1 to 500"
    assert said in page.locator(".empty").inner_text()
    assert number == "500" or tab.calls == []
    page.get_by_role("link", name="Go to the first page").click()
    page.wait_for_selector(CARDS)


@pytest.mark.parametrize("number", ["999999999", "abc", "0", "<b>"])
def test_film_when_it_does_not_exist_then_is_said_to_be_missing(tab: Tab, number: str) -> None:
    """An unknown film is no error page."""
    page = tab.open(f"/movie/{number}", ".empty")
    assert page.locator("h1").inner_text() == "There is no such film"


def test_search_when_typing_then_calls_off_what_is_old(stack: Stack, tab: Tab) -> None:
    """A word is looked for once it stands still; the answer to an older text never shows."""
    page = tab.open("/", WHOLE_HOME)
    before = len(tab.calls)
    page.keyboard.press("/")
    page.keyboard.type("fight", delay=20)
    stack.faults("tmdb", match="/search", latency_ms=700)
    page.wait_for_function("() => location.search === '?q=fight'")
    page.keyboard.type(" club", delay=20)
    page.wait_for_function("() => location.search === '?q=fight+club'")
    page.wait_for_function("() => document.querySelector('h1').textContent.includes('fight club')")
    asked = [call for call in tab.calls[before:] if "search" in call]
    assert len(asked) == 2
    assert parse_qs(urlsplit(asked[1].split()[1]).query)["query"] == ["fight club"]
    assert page.locator("#query").evaluate("(field) => field === document.activeElement")
    titles = page.locator(".card-title").all_inner_texts()
    assert "Fight Club" in titles
    page.go_back()
    page.wait_for_selector(".spotlight")
    assert page.locator("#query").input_value() == ""


def test_search_when_nothing_matches_or_it_fails_then_says_which(stack: Stack, tab: Tab) -> None:
    """An empty result is an answer, with advice; a failure is none, and mends itself."""
    page = tab.open("/search?q=zzqqxxyy", ".empty")
    assert page.locator("h1").inner_text() == "No film found for “zzqqxxyy”"
    stack.faults("tmdb", profile="down")
    page = tab.open("/search?q=amelie", ".notice")
    assert "film service" in page.locator(".notice").inner_text()
    assert page.locator(".empty").count() == 0
    stack.faults("tmdb")
    page.wait_for_selector(CARDS)


@pytest.mark.parametrize("text", ["%", "a&b=c", "🙂", "日本", "'\"><", "a" * 200])
def test_search_when_the_text_is_odd_then_stays_a_search(tab: Tab, text: str) -> None:
    """Whatever is typed reaches the API as it is, and the page stays whole."""
    page = tab.open("/search", "#query")
    page.locator("#query").fill(text)
    page.wait_for_selector(f"{CARDS}, .empty")
    asked = [call for call in tab.calls if "search" in call][-1]
    assert parse_qs(urlsplit(asked.split()[1]).query)["query"] == [text]


def test_link_when_pressed_then_moves_focus_to_the_new_heading(tab: Tab) -> None:
    """Who uses a screen reader hears where they are."""
    page = tab.open("/", WHOLE_HOME)
    page.get_by_role("link", name="Library").click()
    page.wait_for_selector(CARDS)
    assert page.evaluate("document.activeElement.textContent") == "Library"
    assert page.locator('.nav [aria-current="page"]').inner_text() == "Library"


def test_reload_when_in_the_middle_of_home_then_restores_the_scroll(tab: Tab) -> None:
    """A reload leads back to where one was."""
    page = tab.open("/", WHOLE_HOME)
    page.evaluate("scrollTo(0, 600)")
    tab.until("() => history.state?.y === 600")
    page.reload()
    page.wait_for_selector(".spotlight h2")
    tab.until("() => Math.abs(scrollY - 600) < 50")
