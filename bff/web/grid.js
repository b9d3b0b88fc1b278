/** Films page by page: the next page comes when the end of the list is near. */

import { background, problemOf } from "./api.js";
import { card, skeletons } from "./cards.js";
import { h } from "./dom.js";
import { configure } from "./images.js";
import { learn } from "./marks.js";
import { marksNotice, planBySections, problemNotice, staleNotice } from "./notice.js";
import { Retry } from "./retry.js";
import { T } from "./texts.js";
import { announce } from "./toast.js";

/**
 * @typedef {import("./types").Film} Film
 * @typedef {import("./types").Sections} Sections
 * @typedef {{films: Film[], page: number, pages: number, total: number, sections: Sections}} Batch
 */

const AHEAD = "1200px";

/**
 * Makes the list.
 * @param {{
 *   what: string,
 *   section: string,
 *   first: number,
 *   batches: Batch[],
 *   signal: AbortSignal,
 *   ask: (page: number, signal: AbortSignal) => Promise<Batch>,
 *   onBatch: (batch: Batch, isFirst: boolean) => void,
 *   onEmpty: (batch: Batch) => HTMLElement,
 *   onPage?: (page: number) => void,
 * }} options `batches` holds what was loaded before, and is added to
 */
export function filmGrid({ what, section, first, batches, signal, ask, onBatch, onEmpty, onPage }) {
  const top = h("div", { class: "page-top" });
  const before = h("div", { class: "grid-before" });
  const list = h("ul", { class: "grid" });
  const end = h("div", { class: "grid-end" });
  const heading = h("h2", { class: "visually-hidden" }, what);
  const element = h("div", { class: "grid-whole" }, top, heading, before, list, end);
  /** @type {Set<number>} */
  const seen = new Set();
  /** Where each page begins. @type {{page: number, card: Element}[]} */
  let starts = [];
  let loading = false;
  let lowest = first;
  let next = first;
  const retry = new Retry(() => background(mend()), signal);
  const watcher = new IntersectionObserver(
    (entries) => entries.some((entry) => entry.isIntersecting) && background(more()),
    { rootMargin: AHEAD },
  );
  signal.addEventListener("abort", () => watcher.disconnect());

  /** @param {Batch} batch @param {boolean} [early] */
  const add = (batch, early = false) => {
    // Lists move while somebody reads, so that a film can come up on two pages.
    const films = batch.films.filter((film) => !seen.has(film.id) && seen.add(film.id));
    const cards = films.map((film, index) => card(film, { grid: true, urgent: list.childElementCount + index < 6 }));
    if (early) list.prepend(...cards);
    else list.append(...cards);
    const [start] = cards;
    if (start) starts = [...starts, { page: batch.page, card: start }].sort((a, b) => a.page - b.page);
    lowest = Math.min(lowest, batch.page);
    next = Math.max(next, batch.page + 1);
    said(batch);
    around(batch);
    return films.length;
  };

  /** @param {Batch} batch */
  const said = ({ sections }) => {
    planBySections(sections, retry);
    const notices = [marksNotice(sections, retry), staleNotice(section, sections[section])];
    top.replaceChildren(...notices.filter((one) => one !== null));
  };

  /** Shows what stands before and after the films. @param {Batch} batch */
  const around = (batch) => {
    before.replaceChildren(
      lowest > 1 && list.childElementCount
        ? h("button", { type: "button", class: "button-quiet", onclick: () => background(earlier()) }, T.earlier)
        : "",
    );
    watcher.disconnect();
    if (!list.childElementCount) end.replaceChildren(onEmpty(batch));
    else if (next > batch.pages) end.replaceChildren(h("p", {}, T.endOfList));
    else {
      end.replaceChildren(h("p", {}, `${T.loading}…`));
      watcher.observe(end);
    }
  };

  /** @param {number} page @param {boolean} early */
  const load = async (page, early) => {
    const asked = performance.now();
    const batch = await ask(page, signal);
    signal.throwIfAborted();
    learn(batch.films, batch.sections, asked);
    const isFirst = list.querySelector(".card-skeleton") !== null || !batches.length;
    if (isFirst) list.replaceChildren();
    if (early) batches.unshift(batch);
    else batches.push(batch);
    const count = add(batch, early);
    onBatch(batch, isFirst);
    background(configure());
    if (!isFirst) announce(T.moreFilms(count));
  };

  const more = async () => {
    if (loading) return;
    loading = true;
    try {
      await load(next, false);
    } catch (error) {
      if (signal.aborted) return;
      const problem = problemOf(error);
      watcher.disconnect();
      if (list.querySelector(".card-skeleton")) list.replaceChildren();
      retry.plan(problem.retryAfter);
      end.replaceChildren(problemNotice(what, problem, retry));
    } finally {
      loading = false;
    }
  };

  const earlier = async () => {
    if (loading) return;
    loading = true;
    try {
      await load(lowest - 1, true);
    } catch (error) {
      if (!signal.aborted) before.prepend(problemNotice(what, problemOf(error), retry));
    } finally {
      loading = false;
    }
  };

  /** Asks again: for the page that failed, or for the marks and the age of what is shown. */
  const mend = async () => {
    if (end.querySelector(".notice") || !batches.length) {
      await more();
      return;
    }
    const page = batches.at(-1)?.page ?? first;
    try {
      const asked = performance.now();
      const batch = await ask(page, signal);
      learn(batch.films, batch.sections, asked);
      const known = batches.findIndex((one) => one.page === page);
      if (known >= 0) batches[known] = batch;
      said(batch);
    } catch (error) {
      if (!signal.aborted) retry.plan(problemOf(error).retryAfter);
    }
  };

  if (onPage) {
    addEventListener(
      "scroll",
      () => {
        const middle = innerHeight / 2;
        const reached = starts.filter(({ card }) => card.getBoundingClientRect().top < middle);
        onPage((reached.at(-1) ?? starts[0])?.page ?? first);
      },
      { passive: true, signal },
    );
  }
  if (batches.length) {
    batches.forEach((batch) => add(batch));
    const latest = /** @type {Batch} */ (batches.at(-1));
    // Once the list stands in the page, so that there is something to scroll.
    queueMicrotask(() => signal.aborted || onBatch(latest, true));
  } else {
    list.append(...skeletons(12));
    background(more());
  }
  return { element, refresh: () => background(mend()) };
}
