"""Random walks through the page with faults going on and off; nothing may break or differ."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.conftest import Tab, eventually, playwright
from tests.e2e.stack import Stack

pytestmark = pytest.mark.e2e

WALKS = int(os.environ.get("WALKS", "5"))
STEPS = int(os.environ.get("WALK_STEPS", "50"))
PROFILES = ("slow", "flaky", "rate_limited", "down", "garbage")

# What a step does in the page; `r` picks one of what is there. Returns at once.
ACT = """([action, r]) => {
    const pick = (selector) => {
      const all = [...document.querySelectorAll(selector)].filter((one) => one.checkVisibility());
      return all[Math.floor(r * all.length)];
    };
    const type = (text) => {
      const field = document.querySelector("#query");
      field.value = text;
      field.dispatchEvent(new Event("input", { bubbles: true }));
    };
    const set = (input, value) => {
      if (!input) return;
      input.value = value;
      input.dispatchEvent(new Event("input", { bubbles: true }));
      input.dispatchEvent(new Event("change", { bubbles: true }));
    };
    ({
      mark: () => pick("main [data-mark]")?.click(),
      star: () => pick("main [name=rating]")?.click(),
      progress: () => set(pick("#progress"), Math.floor(r * 20) * 5),
      watched: () => pick(".list-line button")?.click(),
      film: () => pick("main .card-title a")?.click(),
      nav: () => pick(".nav a")?.click(),
      type: () => type(["", "s", "sta", "star wars", "zzzz", "amélie"][Math.floor(r * 6)]),
      scroll: () => scrollTo(0, r * document.body.scrollHeight),
      back: () => navigation.canGoBack && history.back(),
      forward: () => history.forward(),
      retry: () => pick(".notice button, .toast button")?.click(),
      focus: () => dispatchEvent(new Event("focus")),
    })[action]();
}"""
ACTIONS = [
    *("mark", "film", "nav", "scroll", "star", "fault", "mend", "wait", "back", "type"),
    *("progress", "watched", "retry", "forward", "focus", "reload"),
]
WEIGHTS = (14, 8, 6, 5, 5, 5, 5, 5, 4, 3, 3, 3, 3, 1, 1, 1)

SHOWN = """() => [...document.querySelectorAll("main [data-mark]")].map((one) => [
    one.dataset.mark, Number(one.dataset.id),
    one.hasAttribute("aria-disabled") ? null : one.ariaPressed === "true",
])"""


def difference(page: Any, stack: Stack) -> list[Any]:
    """Return the marks that differ between the page and the user service."""
    held = {
        name: {
            item["movie_id"]: item
            for item in stack.http.get(f"{stack.users}/{name}", timeout=60).json()[name]
        }
        for name in ("favorites", "watchlist", "history")
    }
    wrong = [
        [name, number, shown]
        for name, number, shown in page.evaluate(SHOWN)
        if shown is not (number in held[name])
    ]
    film = page.evaluate(
        """() => document.querySelector(".film h1") && [
          Number(document.querySelector(".film").dataset.film),
          document.querySelector("[data-rating]").dataset.rating,
          document.querySelector("#progress").value]"""
    )
    if film:
        number, rating, progress = film
        stars = str((held["favorites"].get(number) or {}).get("rating") or 0)
        share = (held["history"].get(number) or {}).get("progress") or 0
        if rating != stars:
            wrong.append(["rating", rating, stars])
        if int(progress) != round(share * 100):
            wrong.append(["progress", progress, share])
    numbers = page.evaluate(
        """() => [...document.querySelectorAll("[data-stat]")]
          .map((one) => [one.dataset.stat, one.querySelector("dd").textContent])"""
    )
    for name, text in numbers:
        if name in held and text != str(len(held[name])):
            wrong.append([name, text, len(held[name])])
    if page.locator(".notice").count():
        wrong.append("a notice")
    return wrong


def act(page: Any, step: str, number: float) -> None:
    """Do one thing; the way back may lead to what an earlier load of the page left behind."""
    try:
        page.evaluate(ACT, [step, number])
    except playwright.Error as error:
        if "navigation" not in str(error):
            raise
        page.wait_for_selector("#query")


@pytest.mark.parametrize("seed", range(WALKS))
def test_walk_when_faults_go_on_and_off_then_ends_without_difference(
    stack: Stack, make_tab: Callable[..., Tab], seed: int
) -> None:
    """Whatever happened on the way, in the end the page shows what the user service holds."""
    draw = random.Random(seed)
    tab = make_tab()
    page = tab.open(draw.choice(["/", "/feed", "/library", "/movie/13", "/search?q=love"]))
    steps = draw.choices(ACTIONS, WEIGHTS, k=STEPS)
    for step in steps:
        if step == "fault":
            stack.faults(draw.choice(["users", "tmdb"]), profile=draw.choice(PROFILES))
        elif step == "mend":
            stack.faults(draw.choice(["users", "tmdb"]))
        elif step == "wait":
            page.wait_for_timeout(draw.choice([30, 60, 120]))
        elif step == "reload":
            page.reload(wait_until="commit")
            page.wait_for_selector("#query")
        else:
            act(page, step, draw.random())
    stack.faults("users")
    stack.faults("tmdb")
    page.evaluate("dispatchEvent(new Event('focus'))")
    wrong: list[Any] = []

    def same() -> bool:
        page.evaluate("document.querySelector('.notice button')?.click()")
        page.wait_for_timeout(100)
        wrong[:] = difference(page, stack)
        return not wrong

    try:
        eventually(same)
    except AssertionError:
        raise AssertionError(f"after {steps} at {page.url}: {wrong[:10]}") from None
