"""What must not break the page: odd titles, missing facts, ended sessions, poor browsers."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest

from tests.browser.conftest import SETTINGS, WHOLE_HOME, Tab, eventually, heart
from tests.e2e.stack import Stack

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
def test_title_of_any_kind_shows_as_text_and_stays_in_its_place(
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


def test_film_without_poster_date_runtime_or_people_is_whole(
    make_tab: Callable[..., Tab],
) -> None:
    """What is not known is left out or said; a drawing stands in for the poster."""
    tab = make_tab()
    page = tab.page
    bare = {
        "poster_path": None,
        "backdrop_path": None,
        "release_date": None,
        "runtime": None,
        "overview": "",
        "vote_count": 0,
        "genres": [],
        "genre_ids": [],
        "cast": [],
        "crew": None,
        "similar_movies": None,
        "recommended_movies": [],
        "reviews_count": None,
        "status": None,
    }
    page.route("**/enriched", film_with(**bare))
    tab.open("/movie/550", ".film h1")
    text = page.locator("main").inner_text()
    assert "Date unknown" in text
    assert "There is no description" in text
    assert "No cast is listed" in text
    assert "null" not in text
    assert "undefined" not in text
    assert page.locator(".film .drawing-initials").inner_text() == "FC"


def test_poster_that_cannot_be_loaded_is_drawn(stack: Stack, make_tab: Callable[..., Tab]) -> None:
    """Without the pictures' server the page shows titles and initials."""
    tab = make_tab()
    tab.page.route("**/t/p/**", lambda route: route.fulfill(status=404, body=""))
    page = tab.open("/movie/550", ".film .drawing")
    assert page.locator(".film .drawing-name").inner_text() == "Fight Club"
    assert page.locator(".film > .picture img").count() == 0
    tab.faults[:] = [fault for fault in tab.faults if "/t/p/" not in fault]


def token(user: str, seconds: int = 3600) -> str:
    """Return a token of a user that ends after so many seconds."""
    claims = {"sub": user, "exp": int(time.time()) + seconds}
    return jwt.encode(claims, SETTINGS["JWT_SECRET"], "HS256")  # type: ignore[arg-type]


def test_session_that_ends_while_the_page_is_open_asks_again_and_loses_nothing(
    stack: Stack, tab: Tab
) -> None:
    """A 401 opens the dialog; the text typed and the press made are carried out afterwards."""
    page = tab.open("/", WHOLE_HOME)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("textbox", name="Token").fill(token("alice", 3))
    page.get_by_role("dialog").get_by_role("button", name="Sign in").click()
    page.wait_for_selector('.account-name:text-is("alice")')
    page.wait_for_selector('[data-stat="favorites"] dd:text-is("0")')
    page.wait_for_timeout(3200)
    page.locator("#query").fill("fight club")
    dialog = page.get_by_role("dialog")
    dialog.wait_for()
    assert "session has ended" in dialog.inner_text()
    page.get_by_role("textbox", name="Token").fill(token("alice"))
    dialog.get_by_role("button", name="Sign in").click()
    page.wait_for_selector(f"{CARDS} >> text=Fight Club")
    assert page.locator("#query").input_value() == "fight club"
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_selector(CARDS)
    tab.until("(one) => document.querySelector(one)?.ariaPressed === 'true'", heart(550))


def test_mark_pressed_after_the_session_ended_is_saved_after_the_new_sign_in(
    stack: Stack, tab: Tab
) -> None:
    """A press is not lost, nor is it saved for somebody else."""
    tab.page.add_init_script(
        f"sessionStorage.getItem('movie-dashboard-token') ?? "
        f"sessionStorage.setItem('movie-dashboard-token', '{token('bob', 3)}')"
    )
    page = tab.open("/movie/680", ".film h1")
    tab.until("(one) => document.querySelector(one)?.ariaPressed === 'false'", heart(680))
    page.wait_for_timeout(3200)
    page.locator(heart(680)).first.click()
    dialog = page.get_by_role("dialog")
    dialog.wait_for()
    page.get_by_role("textbox", name="Token").fill(token("bob"))
    dialog.get_by_role("button", name="Sign in").click()
    tab.until("(one) => document.querySelector(one)?.ariaPressed === 'true'", heart(680))

    def held() -> list[int]:
        answer = stack.http.get(f"{stack.users}/favorites", headers={"X-User-Id": "bob"}, timeout=5)
        return [item["movie_id"] for item in answer.json()["favorites"]]

    eventually(lambda: held() == [680])
    page.reload()
    tab.until("(one) => document.querySelector(one)?.ariaPressed === 'true'", heart(680))


def test_sign_in_called_off_leaves_a_page_that_can_be_used(stack: Stack, tab: Tab) -> None:
    """A wrong token, and no other: the page says what it needs, and goes on without."""
    page = tab.open("/", WHOLE_HOME)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("textbox", name="Token").fill("rubbish")
    page.get_by_role("dialog").get_by_role("button", name="Sign in").click()
    dialog = page.get_by_role("dialog")
    page.wait_for_selector("dialog:has-text('new token')")
    dialog.get_by_role("button", name="Cancel").click()
    page.wait_for_selector(".notice:has-text('Sign in to see this page')")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_selector(".spotlight h2")


def test_modules_that_load_slowly_leave_a_page_that_comes(tab: Tab) -> None:
    """A slow line delays the page and breaks nothing; what is typed meanwhile stays."""

    def late(route: Any) -> None:
        time.sleep(0.05)
        route.continue_()

    tab.page.route("**/web/*.js", late)
    tab.page.goto(tab.stack.bff + "/", wait_until="commit")
    tab.page.wait_for_selector("#query")
    assert "TMDB" in tab.page.locator("footer").inner_text()
    tab.page.wait_for_selector(".spotlight h2", timeout=20_000)


BROKEN_STORAGE = """
    for (const name of ["localStorage", "sessionStorage"]) {
      Object.defineProperty(window, name, {
        get() { throw new DOMException("denied", "SecurityError"); },
      });
    }
    delete window.BroadcastChannel;
"""


def test_storage_that_is_forbidden_is_done_without(stack: Stack, tab: Tab) -> None:
    """A browser that keeps nothing shows the same page; the session lasts as long as it."""
    tab.page.add_init_script(BROKEN_STORAGE)
    page = tab.open("/", ".picture.is-loaded")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("textbox", name="Token").fill(token("carol"))
    page.get_by_role("dialog").get_by_role("button", name="Sign in").click()
    page.wait_for_selector('[data-stat="favorites"] dd:text-is("0")')
    page.get_by_role("link", name="Library").click()
    page.wait_for_selector("text=No favourites yet")
    page.reload()
    page.wait_for_selector('[data-list="favorites"] [data-film="550"]')


def test_page_without_javascript_says_what_it_needs(make_tab: Callable[..., Tab]) -> None:
    """The shell tells its reader, and leads to the documentation."""
    tab = make_tab(java_script_enabled=False)
    page = tab.open("/")
    assert "needs JavaScript" in page.locator("noscript").inner_text()
