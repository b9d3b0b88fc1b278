/** The first screen: one call brings all of it. */

import { Problem, background, get, problemOf } from "../api.js";
import { card, markButton, skeletons } from "../cards.js";
import { h } from "../dom.js";
import { countOf, dayOf, meanOf, titleOf } from "../format.js";
import { backdrop, configure, picture } from "../images.js";
import { isComplete, learn, marks, refresh as refreshMarks } from "../marks.js";
import { marksNotice, planBySections, problemNotice, staleNotice, unavailableNotice, whyOf } from "../notice.js";
import { Retry } from "../retry.js";
import { row } from "../rows.js";
import { session } from "../session.js";
import { T } from "../texts.js";
import { announce } from "../toast.js";

/**
 * @typedef {import("../types").Complete} Complete
 * @typedef {import("../types").Film} Film
 * @typedef {import("../types").View} View
 */

const SOFT_AFTER_MS = 300;
const ROWS = /** @type {const} */ ([
  ["history", "continue_watching", ""],
  ["recommended", "recommended_for_you", T.nothingRecommended],
  ["trending", "trending_movies", T.nothingHere],
  ["popular", "popular_movies", T.nothingHere],
]);

/** The last answer, so that the way back to this screen is instant. @type {Complete | null} */
let last = null;
session.addEventListener("identity", () => {
  last = null;
});

/** @param {View} view */
export function home(view) {
  view.title("");
  const top = h("div", { class: "page-top" });
  const spot = h("div", { class: "spotlight-place" });
  const stats = h("section", { class: "stats", "aria-labelledby": "stats-title" });
  const rows = ROWS.map(([name, , empty]) => row(name, empty, name === "popular" ? "/feed" : ""));
  const retry = new Retry(() => load(), view.signal);
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let soft;

  /** Counts the answers, so that one that is still being drawn gives way to the next. */
  let turn = 0;

  /** @param {Complete} answer @param {{keepPicks?: boolean, slowly?: boolean}} [options] */
  const show = (answer, { keepPicks = false, slowly = false } = {}) => {
    last = answer;
    turn += 1;
    const { sections } = answer;
    planBySections(sections, retry);
    top.replaceChildren(...[marksNotice(sections, retry)].filter((one) => one !== null));
    spotlight(spot, answer);
    showStats(stats, answer);
    if (!stats.isConnected) {
      view.main.replaceChildren(h("h1", { class: "visually-hidden" }, T.name), top, spot, stats);
    }
    if (slowly) {
      background(showSlowly(answer));
      return;
    }
    ROWS.forEach((_, index) => showRow(answer, index, keepPicks));
    view.ready();
  };

  /**
   * One row a frame: all of them at once would be one long task, and a phone's first touch would
   * have to wait for it.
   * @param {Complete} answer
   */
  const showSlowly = async (answer) => {
    const mine = turn;
    for (const index of ROWS.keys()) {
      // The first that is seen comes with what stands above it.
      if (rows.some((one) => one.hasFilms())) await nextFrame();
      if (view.signal.aborted || mine !== turn) return;
      showRow(answer, index, false);
    }
    view.ready();
  };

  /** @param {Complete} answer @param {number} index @param {boolean} keepPicks */
  const showRow = (answer, index, keepPicks) => {
    const [part, entry] = [rows[index], ROWS[index]];
    if (!part || !entry) return;
    const [name, field] = entry;
    const section = answer.sections[name];
    const films = answer[field];
    if (films === null && section) {
      const who = name === "recommended" && answer.sections.favorites?.status === "unavailable" ? "lists" : undefined;
      part.show([], unavailableNotice(name, section, retry, who));
      part.element.hidden = false;
    } else if (!(keepPicks && name === "recommended" && part.hasFilms())) {
      part.show(cards(name, films ?? []), staleNotice(name, section), notesOf(name, section));
      part.element.hidden = name === "history" && !films?.length;
    }
    if (!part.element.isConnected) view.main.append(part.element);
  };

  const load = async (options = {}) => {
    const asked = performance.now();
    try {
      const answer = /** @type {Complete} */ (await get("/api/dashboard/complete", view.signal));
      background(configure());
      learn(filmsOf(answer), answer.sections, asked);
      show(answer, { slowly: last === null, ...options });
      const degraded = Object.entries(answer.sections).filter(([, one]) => one.status === "unavailable");
      if (degraded.length) announce(degraded.map(([name]) => T.unavailable(T.sections[name] ?? name)).join(". "));
      afterwards(answer);
    } catch (error) {
      if (view.signal.aborted) return;
      fail(problemOf(error));
    }
  };

  /** @param {Problem} problem */
  const fail = (problem) => {
    retry.plan(problem.retryAfter);
    if (last && problem.status !== 401) {
      top.replaceChildren(
        h("div", { class: "notice notice-slim" }, h("p", {}, `${T.notRefreshed}. ${whyOf(problem)}. `, ...retry.face())),
      );
    } else {
      view.main.replaceChildren(h("h1", {}, T.home), problemNotice(T.name, problem, retry));
    }
    view.ready();
  };

  const softly = () => {
    clearTimeout(soft);
    soft = setTimeout(() => background(load({ keepPicks: true })), SOFT_AFTER_MS);
  };
  marks.addEventListener("saved", softly, { signal: view.signal });
  marks.addEventListener("elsewhere", softly, { signal: view.signal });
  view.signal.addEventListener("abort", () => clearTimeout(soft));
  view.onRefresh(() => background(load()));

  if (last) show(last);
  else view.main.replaceChildren(h("h1", { class: "visually-hidden" }, T.name), ...bones());
  background(load());
}

/** Waits until the browser has painted. Where nobody sees the page, it paints nothing. */
function nextFrame() {
  return new Promise((done) => {
    if (document.hidden) setTimeout(done);
    else requestAnimationFrame(() => setTimeout(done));
  });
}

/** What holds the place of the content. It is replaced, not filled, so that nothing moves. */
function bones() {
  return [
    h("div", { class: "spotlight spotlight-skeleton", "aria-hidden": "true" }),
    h("div", { class: "stats-skeleton", "aria-hidden": "true" }),
    ...[1, 2].map(() =>
      h("div", { class: "films", "aria-hidden": "true" }, h("div", { class: "films-head" }), h("ul", { class: "row" }, ...skeletons(8))),
    ),
  ];
}

/** @param {Complete} answer */
function filmsOf(answer) {
  return ROWS.flatMap(([, field]) => /** @type {Film[]} */ (answer[field] ?? []));
}

/** Asks for the marks where the page did not bring all of them. @param {Complete} answer */
function afterwards(answer) {
  const marked = filmsOf(answer).every((film) => "is_favorite" in film);
  const asks = Object.values(answer.sections).every((section) => section.status !== "unavailable");
  if (!marked && asks && !isComplete()) background(refreshMarks());
}

/** @param {string} name @param {Film[]} films */
function cards(name, films) {
  return films.map((film, index) =>
    card(film, {
      urgent: index < 6 && name !== "popular",
      note: name === "recommended" ? becauseOf(film) : "",
      progress: name === "history",
    }),
  );
}

/** @param {Film} film */
function becauseOf(film) {
  if (film.because?.kind !== "favorite") return T.becauseTrending;
  return T.because(titleOf(film.because.title));
}

/** @param {string} name @param {import("../types").Section | undefined} section */
function notesOf(name, section) {
  return name === "recommended" && section?.status === "ok" && section.reason ? T.someMissing : "";
}

/** Shows the first trending film large. @param {HTMLElement} place @param {Complete} answer */
function spotlight(place, answer) {
  const film = answer.trending_movies?.[0] ?? answer.popular_movies?.[0];
  if (!film) {
    place.replaceChildren();
    return;
  }
  if (place.dataset.film === String(film.id) && place.firstElementChild?.tagName === "SECTION") return;
  place.dataset.film = String(film.id);
  const title = titleOf(film.title);
  place.replaceChildren(
    h(
      "section",
      { class: "spotlight", "aria-labelledby": "spotlight-title" },
      backdrop(film.backdrop_path),
      picture("poster", film.poster_path, title, { use: "large", urgent: true }),
      h(
        "div",
        { class: "spotlight-words" },
        h("p", { class: "eyebrow" }, T.spotlight),
        h("h2", { id: "spotlight-title", dir: "auto" }, title),
        h("p", { class: "spotlight-date" }, dayOf(film.release_date)),
        h("p", { class: "spotlight-text", dir: "auto" }, film.overview || T.noOverview),
        h(
          "div",
          { class: "actions" },
          h("a", { class: "button", href: `/movie/${film.id}` }, T.more),
          markButton("favorites", { id: film.id, title }, true),
          markButton("watchlist", { id: film.id, title }, true),
        ),
      ),
    ),
  );
}

/** @param {HTMLElement} place @param {Complete} answer */
function showStats(place, answer) {
  const { stats } = answer;
  const known = (/** @type {number | null} */ value) => (value === null ? null : countOf(value));
  const mean = stats.avg_rating === null ? null : `${meanOf(stats.avg_rating)} ★`;
  const genres = stats.favorite_genres;
  place.setAttribute("aria-labelledby", "stats-title");
  place.replaceChildren(
    h("h2", { id: "stats-title", class: "visually-hidden" }, T.sections.stats),
    h(
      "dl",
      {},
      number(T.stats.favorites, known(stats.total_favorites), "favorites"),
      number(T.stats.watchlist, known(stats.total_watchlist), "watchlist"),
      number(T.stats.watched, known(stats.movies_watched), "watched"),
      number(T.stats.average, stats.total_favorites !== null ? (mean ?? "–") : mean, "average"),
      h(
        "div",
        { class: "stat stat-genres" },
        h("dt", {}, T.stats.genres),
        h(
          "dd",
          {},
          genres === null
            ? h("span", { class: "unknown" }, T.stats.unknown)
            : genres.length
              ? genres.map((genre) => h("span", { class: "chip" }, genre.name))
              : T.stats.none,
        ),
      ),
    ),
  );
}

/** @param {string} label @param {string | null} value @param {string} name */
function number(label, value, name) {
  return h(
    "div",
    { class: "stat", "data-stat": name },
    h("dt", {}, label),
    h("dd", {}, value ?? h("span", { class: "unknown" }, T.stats.unknown)),
  );
}
