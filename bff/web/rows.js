/** A section with a heading and films side by side. */

import { h, icon } from "./dom.js";
import { T } from "./texts.js";

/**
 * Makes a section; `show` fills it and leaves what is the same where it is.
 * @param {string} name
 * @param {string} empty what it says without films
 * @param {string} [all] address of the whole list
 * @param {string} [title]
 */
export function row(name, empty, all = "", title = T.sections[name] ?? name) {
  const list = h("ul", { class: "row" });
  const state = h("div", { class: "row-state" });
  const scroll = (/** @type {number} */ direction) =>
    list.scrollBy({ left: direction * list.clientWidth * 0.85 * (getComputedStyle(list).direction === "rtl" ? -1 : 1) });
  const arrows = h(
    "div",
    { class: "row-arrows" },
    h("button", { type: "button", class: "button-icon", "aria-label": T.back(title), onclick: () => scroll(-1) }, icon("left")),
    h("button", { type: "button", class: "button-icon", "aria-label": T.forth(title), onclick: () => scroll(1) }, icon("right")),
  );
  const element = h(
    "section",
    { class: "films", "data-row": name, "aria-labelledby": `row-${name}` },
    h(
      "div",
      { class: "films-head" },
      h("h2", { id: `row-${name}` }, title),
      state,
      all && h("a", { class: "see-all", href: all, "aria-label": T.seeAllOf(title) }, T.seeAll),
      arrows,
    ),
    list,
  );
  // Arrows only where there is something to scroll to.
  new ResizeObserver(() => arrows.classList.toggle("is-idle", list.scrollWidth <= list.clientWidth)).observe(list);
  const below = h("div", { class: "films-below" });

  /**
   * @param {HTMLElement[]} cards
   * @param {HTMLElement | null} [said] a notice
   * @param {string} [remark]
   */
  const show = (cards, said = null, remark = "") => {
    const ids = (/** @type {Iterable<Element>} */ of) =>
      Array.from(of, (one) => `${one.getAttribute("data-film")} ${one.querySelector("progress")?.value ?? ""}`).join();
    const missing = said?.classList.contains("notice");
    state.replaceChildren(...(said && !missing ? [said] : []));
    if (cards.length && ids(cards) === ids(list.children) && !cards[0]?.classList.contains("card-skeleton")) {
      below.remove();
      return;
    }
    list.replaceChildren(...cards);
    list.hidden = arrows.hidden = !cards.length;
    const text = cards.length ? remark : empty;
    below.replaceChildren(missing && said ? said : text ? h("p", { class: "quiet" }, text) : "");
    if (missing || text) element.append(below);
    else below.remove();
  };
  const hasFilms = () => list.childElementCount > 0 && !list.querySelector(".card-skeleton");
  return { element, show, hasFilms };
}
