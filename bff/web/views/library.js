/** The user's lists in full. */

import { background, get, problemOf } from "../api.js";
import { card, skeletons } from "../cards.js";
import { h } from "../dom.js";
import { configure } from "../images.js";
import { cannotSee, learnList, marks } from "../marks.js";
import { problemNotice } from "../notice.js";
import { Retry } from "../retry.js";
import { T } from "../texts.js";

/**
 * @typedef {import("../types").Item} Item
 * @typedef {import("../types").ListName} ListName
 * @typedef {import("../types").View} View
 */

/** @type {[ListName, string][]} */
const PARTS = [
  ["favorites", T.stats.favorites],
  ["watchlist", T.watchlist],
  ["history", T.history],
];

/** @param {View} view */
export function library(view) {
  view.title(T.library);
  view.main.append(h("div", { class: "page-head" }, h("h1", {}, T.library)));
  const loads = PARTS.map(([list, title]) => part(view, list, title));
  const all = () => loads.forEach((load) => background(load()));
  view.onRefresh(all);
  marks.addEventListener("elsewhere", all, { signal: view.signal });
  all();
}

/**
 * Makes one list; returns how it is loaded.
 * @param {View} view
 * @param {ListName} list
 * @param {string} title
 */
function part(view, list, title) {
  const films = h("ul", { class: "grid" }, ...skeletons(4));
  const state = h("div", {});
  const count = h("span", { class: "quiet" });
  view.main.append(
    h(
      "section",
      { "aria-labelledby": `list-${list}`, "data-list": list },
      h("div", { class: "films-head" }, h("h2", { id: `list-${list}` }, title), count),
      state,
      films,
    ),
  );
  const retry = new Retry(() => background(load()), view.signal);

  const load = async () => {
    const asked = performance.now();
    try {
      const answer = /** @type {Record<string, Item[]>} */ (await get(`/api/users/${list}`, view.signal));
      const items = answer[list] ?? [];
      retry.done();
      learnList(list, items, asked);
      films.replaceChildren(...items.map((item) => itemCard(item, list)));
      films.hidden = !items.length;
      count.textContent = items.length ? String(items.length) : "";
      state.replaceChildren(items.length ? "" : h("p", { class: "quiet" }, T.libraryEmpty[list]));
      background(configure());
    } catch (error) {
      if (view.signal.aborted) return;
      const problem = problemOf(error);
      retry.plan(problem.retryAfter);
      if (problem.status !== 401) cannotSee(list);
      if (films.querySelector(".card-skeleton")) films.replaceChildren();
      films.hidden = !films.childElementCount;
      state.replaceChildren(problemNotice(title, problem, retry));
    }
    view.ready();
  };
  return load;
}

/** @param {Item} item @param {ListName} list */
function itemCard(item, list) {
  const progress = "progress" in item ? item.progress : null;
  const film = {
    id: item.movie_id,
    title: item.title,
    poster_path: item.poster_path,
    release_date: item.release_date,
    progress,
  };
  const rating = "rating" in item ? item.rating : null;
  const note = rating ? T.stars(rating) : progress !== null ? T.percent(progress) : "";
  return card(film, { grid: true, note, progress: list === "history" });
}
