"""What must not break the page: odd titles, missing facts, ended sessions, poor browsers."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.conftest import WHOLE_HOME, Tab, eventually, heart
from tests.e2e.stack import Stack, as_user

pytestmark = pytest.mark.e2e

HTML = "<img src=x onerror=\"document.title='broken'\"><b>Bold</b> & <script>alert(1)</script>"
LONG = "Supercalifragilistic" * 15
RTL = "جدایی نادر از سیمین: داستان یک خانواده"
CARDS = ".grid .card:not(.card-skeleton)"


def film_with(**facts: Any) -> Callable[[Any], None]:
    """Return a route that changes the first film of each list of an answer."""

    def change(route: Any) -> None:
        response = route.fetch()
        body = response.json()
        for value in list(body.values()):
            if isinstance(value, list) and value and isinstance(value[0], dict):
                value[0].update(facts)
        if "user_data" in body:
            body.update(facts)
        route.fulfill(response=response, body=json.dumps(body))

    return change


@pytest.mark.parametrize("title", [HTML, LONG, RTL, "日本沈没" * 30, "", "  "], ids=range(6))
def test_title_when_of_any_kind_then_shows_as_text_in_its_place(
    make_tab: Callable[..., Tab], title: str
) -> None:
    """Markup shows as typed, long titles end in dots, and right-to-left text reads so."""
    tab = make_tab(viewport={"width": 360, "height": 740})
    page = tab.page
    page.route("**/api/dashboard/**", film_with(title=title, poster_path=None))
    shown = title.strip() or "Untitled film"
    for path, ready in (
        ("/", '[data-row="popular"] .card-title a'),
        ("/search?q=star", f"{CARDS} .card-title a"),
        ("/movie/550", ".film h1"),
    ):
        tab.open(path, ready)
        first = page.locator(ready).first
        assert first.text_content() == shown
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, path
        assert page.locator("main b, main script").count() == 0
        assert "broken" not in page.title().split("·")[-1]
        if title == RTL:
            assert first.evaluate("(node) => getComputedStyle(node).direction") == "rtl"
        if path == "/":
            assert first.evaluate("(node) => node.clientHeight") < 60


def test_film_when_hardly_anything_is_known_then_its_page_is_whole(
    make_tab: Callable[..., Tab],
) -> None:
    """What is not known is left out or said; a drawing stands in for the poster."""
    tab = make_tab()
    page = tab.page
    nulls = ("poster_path", "backdrop_path", "release_date", "runtime", "crew", "similar_movies")
    empty = ("genres", "genre_ids", "cast", "recommended_movies")
    bare = dict.fromkeys((*nulls, "reviews_count", "status")) | {name: [] for name in empty}
    page.route("**/enriched", film_with(**bare, overview="", vote_count=0))
    tab.open("/movie/550", ".film h1")
    text = page.locator("main").inner_text()
    for said in ("Date unknown", "There is no description", "No cast is listed"):
        assert said in text
    assert "null" not in text
    assert "undefined" not in text
    assert page.locator(".film .drawing-initials").inner_text() == "FC"


def test_poster_when_it_cannot_be_loaded_then_is_drawn(make_tab: Callable[..., Tab]) -> None:
    """Without the pictures' server the page shows titles and initials."""
    tab = make_tab()
    tab.page.route("**/t/p/**", lambda route: route.fulfill(status=404, body=""))
    page = tab.open("/movie/550", ".film .drawing")
    assert page.locator(".film .drawing-name").inner_text() == "Fight Club"
    assert page.locator(".film > .picture img").count() == 0
    tab.faults[:] = [fault for fault in tab.faults if "/t/p/" not in fault]


def sign_in(page: Any, token: str) -> Any:
    """Type a token into the dialog, which is open already or opened here; return the dialog."""
    dialog = page.get_by_role("dialog")
    if not dialog.is_visible():
        page.get_by_role("button", name="Sign in").click()
    page.get_by_role("textbox", name="Token").fill(token)
    dialog.get_by_role("button", name="Sign in").click()
    return dialog


def token(user: str, expires_in_s: int = 3600) -> str:
    """Return a token of a user."""
    headers = as_user(user, exp=int(time.time()) + expires_in_s)
    return headers["Authorization"].removeprefix("Bearer ")


def end_session(page: Any, first: str, user: str) -> None:
    """From now on the BFF sees an expired token in place of the first one."""
    expired = f"Bearer {token(user, -60)}"

    def change(route: Any) -> None:
        headers = route.request.headers
        if headers.get("authorization") == f"Bearer {first}":
            headers["authorization"] = expired
        route.continue_(headers=headers)

    page.route("**/api/**", change)


def test_session_when_it_ends_while_the_page_is_open_then_nothing_is_lost(tab: Tab) -> None:
    """A 401 opens the dialog; the text that was typed is looked for afterwards."""
    page = tab.open("/", WHOLE_HOME)
    first = token("alice")
    sign_in(page, first)
    page.wait_for_selector('.account-name:text-is("alice")')
    page.wait_for_selector('[data-stat="favorites"] dd:text-is("0")')
    end_session(page, first, "alice")
    page.locator("#query").fill("fight club")
    dialog = page.get_by_role("dialog")
    dialog.wait_for()
    assert "session has ended" in dialog.inner_text()
    sign_in(page, token("alice", 7200))
    page.wait_for_selector(f"{CARDS} >> text=Fight Club")
    assert page.locator("#query").input_value() == "fight club"
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_selector(CARDS)
    tab.until("(one) => document.querySelector(one)?.ariaPressed === 'true'", heart(550))


def test_mark_when_the_session_has_ended_then_is_saved_after_the_new_sign_in(
    stack: Stack, tab: Tab
) -> None:
    """A press is not lost, nor is it saved for somebody else."""
    first = token("bob")
    tab.page.add_init_script(
        f"sessionStorage.getItem('movie-dashboard-token') ?? "
        f"sessionStorage.setItem('movie-dashboard-token', '{first}')"
    )
    page = tab.open("/movie/680", ".film h1")
    tab.until("(one) => document.querySelector(one)?.ariaPressed === 'false'", heart(680))
    end_session(page, first, "bob")
    page.locator(heart(680)).first.click()
    page.get_by_role("dialog").wait_for()
    sign_in(page, token("bob", 7200))
    tab.until("(one) => document.querySelector(one)?.ariaPressed === 'true'", heart(680))
    bob = {"X-User-Id": "bob"}
    eventually(lambda: stack.http.get(f"{stack.users}/favorites/680", headers=bob, timeout=60).ok)
    page.reload()
    tab.until("(one) => document.querySelector(one)?.ariaPressed === 'true'", heart(680))


def test_sign_in_when_called_off_then_the_page_can_be_used(tab: Tab) -> None:
    """A wrong token, and no other: the page says what it needs, and goes on without."""
    page = tab.open("/", WHOLE_HOME)
    dialog = sign_in(page, "rubbish")
    page.wait_for_selector("dialog:has-text('new token')")
    dialog.get_by_role("button", name="Cancel").click()
    page.wait_for_selector(".notice:has-text('Sign in to see this page')")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_selector(".spotlight h2")


def test_modules_when_they_load_slowly_then_the_page_comes(tab: Tab) -> None:
    """A slow line delays the page and breaks nothing; what is typed meanwhile stays."""

    def late(route: Any) -> None:
        time.sleep(0.05)
        route.continue_()

    tab.page.route("**/web/*.js", late)
    tab.page.goto(tab.stack.bff + "/", wait_until="commit")
    tab.page.wait_for_selector("#query")
    assert "TMDB" in tab.page.locator("footer").inner_text()
    tab.page.wait_for_selector(".spotlight h2")


BROKEN_STORAGE = """
    for (const name of ["localStorage", "sessionStorage"]) {
      Object.defineProperty(window, name, {
        get() { throw new DOMException("denied", "SecurityError"); },
      });
    }
    delete window.BroadcastChannel;
"""


def test_storage_when_it_is_forbidden_then_is_done_without(tab: Tab) -> None:
    """A browser that keeps nothing shows the same page; the session lasts as long as it."""
    tab.page.add_init_script(BROKEN_STORAGE)
    page = tab.open("/", ".picture.is-loaded")
    sign_in(page, token("carol"))
    page.wait_for_selector('[data-stat="favorites"] dd:text-is("0")')
    page.get_by_role("link", name="Library").click()
    page.wait_for_selector("text=No favourites yet")
    page.reload()
    page.wait_for_selector('[data-list="favorites"] [data-film="550"]')


def test_page_when_there_is_no_javascript_then_says_what_it_needs(
    make_tab: Callable[..., Tab],
) -> None:
    """The shell tells its reader, and leads to the documentation."""
    tab = make_tab(java_script_enabled=False)
    page = tab.open("/")
    assert "needs JavaScript" in page.locator("noscript").inner_text()
