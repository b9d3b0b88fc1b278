/** The search: results as somebody types. */

import { get } from "../api.js";
import { h, icon } from "../dom.js";
import { filmGrid } from "../grid.js";
import { T } from "../texts.js";
import { announce } from "../toast.js";

/**
 * @typedef {import("../grid").Batch} Batch
 * @typedef {import("../types").Search} Search
 * @typedef {import("../types").View} View
 */

const LONGEST = 200;

/** @param {View} view */
export function search(view) {
  const heading = h("h1", {}, T.search);
  const place = h("div", {});
  /** @type {AbortController | null} */
  let looking = null;
  view.signal.addEventListener("abort", () => looking?.abort());
  view.main.append(h("div", { class: "page-head" }, heading), place);

  /** @param {URL} url @param {Batch[]} batches */
  const look = (url, batches) => {
    looking?.abort();
    const query = (url.searchParams.get("q") ?? "").trim();
    view.title(query ? `${query} · ${T.search}` : T.search);
    if (!query || query.length > LONGEST) {
      heading.textContent = T.search;
      place.replaceChildren(h("p", { class: "quiet" }, query ? T.tooLong : T.searchHint));
      view.ready();
      return;
    }
    const { signal } = (looking = new AbortController());
    if (place.querySelector(".grid")) heading.textContent = T.searching;
    const grid = filmGrid({
      what: T.sections.results ?? "",
      section: "results",
      first: 1,
      batches,
      signal,
      ask: async (page, ending) => {
        const address = `/api/dashboard/search/enriched?${new URLSearchParams({ query, page: String(page) })}`;
        const answer = /** @type {Search} */ (await get(address, ending));
        return {
          films: answer.results,
          page: answer.page,
          pages: answer.total_pages,
          total: answer.total_results,
          sections: answer.sections,
        };
      },
      onBatch: (batch, isFirst) => {
        if (!isFirst) return;
        const found = batch.total ? T.found(batch.total, query) : T.foundNothing(query);
        heading.textContent = found;
        show();
        announce(found);
        view.ready();
      },
      onEmpty: () =>
        h(
          "div",
          { class: "empty" },
          icon("search"),
          h("p", {}, T.foundNothingHint),
          h("a", { class: "button-quiet", href: "/feed" }, T.browse),
        ),
    });
    // The earlier results stay until there are others, so that nothing flickers while typing.
    const show = () => place.replaceChildren(grid.element);
    if (!place.querySelector(".card:not(.card-skeleton)") || batches.length) show();
    else setTimeout(() => !signal.aborted && !grid.element.isConnected && show(), 1500);
    view.onRefresh(grid.refresh);
    view.memory.batches = batches;
    view.memory.query = query;
  };

  view.onUrl((url) => look(url, []));
  const kept = view.memory.query === (view.url.searchParams.get("q") ?? "").trim();
  look(view.url, kept ? /** @type {Batch[]} */ (view.memory.batches ?? []) : []);
}
