/** The feed: popular films without end. */

import { get } from "../api.js";
import { h } from "../dom.js";
import { filmGrid } from "../grid.js";
import { rename } from "../router.js";
import { T } from "../texts.js";

/**
 * @typedef {import("../grid").Batch} Batch
 * @typedef {import("../types").Feed} Feed
 * @typedef {import("../types").View} View
 */

const LAST_PAGE = 500;

/** @param {View} view */
export function feed(view) {
  view.title(T.feed);
  const text = view.url.searchParams.get("page") ?? "1";
  const page = Number(text);
  const head = h(
    "div",
    { class: "page-head" },
    h("h1", {}, T.sections.movies),
    h("p", { class: "quiet" }, T.feedIntro),
    h("a", { class: "visually-hidden-focusable", href: "#footer" }, T.toFooter),
  );
  view.main.append(head);
  if (!/^\d+$/.test(text) || page < 1 || page > LAST_PAGE) {
    view.main.append(nothing(T.wrongPage));
    view.ready();
    return;
  }
  const batches = /** @type {Batch[]} */ (view.memory.batches ??= []);
  let shown = page;
  const grid = filmGrid({
    what: T.sections.movies ?? "",
    section: "movies",
    first: page,
    batches,
    signal: view.signal,
    ask: async (number, signal) => {
      const answer = /** @type {Feed} */ (await get(`/api/dashboard/feed?page=${number}`, signal));
      return {
        films: answer.movies,
        page: answer.current_page,
        pages: answer.total_pages,
        total: answer.total_results,
        sections: answer.sections,
      };
    },
    onBatch: () => view.ready(),
    onEmpty: (batch) => nothing(T.pageEmpty(page, batch.pages)),
    onPage: (number) => {
      if (number === shown) return;
      shown = number;
      rename(number === 1 ? "/feed" : `/feed?page=${number}`);
    },
  });
  view.onRefresh(grid.refresh);
  view.main.append(grid.element);
}

/** @param {string} text */
function nothing(text) {
  return h("div", { class: "empty" }, h("p", {}, text), h("a", { class: "button", href: "/feed" }, T.toFirst));
}
