/**
 * The user's marks: what is in the favourites, the watchlist and the history.
 *
 * A change shows at once and is undone where it could not be saved. Per film and list one write
 * is on its way at a time; what was asked for meanwhile follows it. Where the user service cannot
 * say, a mark is unknown, which is neither set nor unset.
 */

import { Problem, background, get, problemOf, write } from "./api.js";
import { session } from "./session.js";

/**
 * @typedef {import("./types").ListName} ListName
 * @typedef {import("./types").Mark} Mark
 * @typedef {import("./types").Film} Film
 * @typedef {import("./types").Item} Item
 * @typedef {import("./types").Sections} Sections
 * @typedef {{id: number, title: string}} Subject
 */

/**
 * What is known of one list. `complete`: a film without an entry is not in it.
 * @typedef {{status: "unasked" | "known" | "unknown", complete: boolean,
 *   marks: Map<number, Mark | null>}} Knowledge
 */

/** @type {ListName[]} */
export const LISTS = ["favorites", "watchlist", "history"];
const LONGEST_WAIT_S = 30;
const REFRESH_AFTER_MS = 2000;

/** @type {Record<ListName, Knowledge>} */
let lists = nothing();
/** @type {Map<string, Mark | null>} */
const wanted = new Map();
/** @type {Set<string>} */
const busy = new Set();
/** When a film's mark was last written: an answer that was asked for earlier says nothing of it. */
/** @type {Map<string, number>} */
const written = new Map();
let generation = 0;
let refreshed = -Infinity;
let failures = 0;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;

/** `change`: something shows differently; `saved`: the user service holds something else now. */
export const marks = new EventTarget();

/** @type {(subject: Subject, list: ListName, mark: Mark | null, problem: Problem) => void} */
let onFailure = () => {};
/** @type {(subject: Subject, list: ListName, mark: Mark | null) => void} */
let onSaved = () => {};

/** @param {{failed: typeof onFailure, saved: typeof onSaved}} tell */
export function tellAboutWrites(tell) {
  onFailure = tell.failed;
  onSaved = tell.saved;
}

/** Other tabs of the same browser; each asks for itself, since it may be signed in differently. */
const tabs = "BroadcastChannel" in globalThis ? new BroadcastChannel("movie-dashboard") : null;
tabs?.addEventListener("message", () => {
  marks.dispatchEvent(new Event("elsewhere"));
  background(refresh());
});
session.addEventListener("identity", () => {
  generation += 1;
  lists = nothing();
  wanted.clear();
  written.clear();
  refreshed = -Infinity;
  changed();
});

/** @returns {Record<ListName, Knowledge>} */
function nothing() {
  const one = () => /** @type {Knowledge} */ ({ status: "unasked", complete: false, marks: new Map() });
  return { favorites: one(), watchlist: one(), history: one() };
}

function changed() {
  marks.dispatchEvent(new Event("change"));
}

/** @param {ListName} list @param {number} id */
const keyOf = (list, id) => `${list}/${id}`;

/**
 * Returns a film's mark as it is to be shown: null where it has none, undefined where unknown.
 * @param {ListName} list
 * @param {number} id
 * @returns {Mark | null | undefined}
 */
export function markOf(list, id) {
  const known = lists[list];
  const asked = wanted.get(keyOf(list, id));
  if (asked !== undefined) return asked;
  if (known.status !== "known") return undefined;
  return known.marks.get(id) ?? (known.complete || known.marks.has(id) ? null : undefined);
}

/** Whether the user service said, when last asked, that it cannot say. @param {ListName} list */
export function isUnknown(list) {
  return lists[list].status === "unknown";
}

/** Whether each list is known as a whole. */
export function isComplete() {
  return LISTS.every((list) => lists[list].status === "known" && lists[list].complete);
}

/**
 * Learns from a page. Fields that the page does not have say nothing.
 * @param {Film[]} films
 * @param {Sections} sections
 * @param {number} asked when the page was asked for (performance.now)
 */
export function learn(films, sections, asked) {
  let back = false;
  for (const list of LISTS) {
    const status = sections[list]?.status;
    back ||= status !== "unavailable" && lists[list].status === "unknown";
    if (status) lists[list].status = status === "unavailable" ? "unknown" : "known";
  }
  for (const film of films) {
    if (typeof film.is_favorite === "boolean") {
      note("favorites", film.id, film.is_favorite ? { rating: film.user_rating ?? null } : null, asked);
    }
    if (typeof film.is_in_watchlist === "boolean") {
      note("watchlist", film.id, film.is_in_watchlist ? {} : null, asked);
    }
    if (film.progress !== undefined && sections.history && sections.history.status !== "unavailable") {
      const { progress, watched_date = null } = film;
      const mark = progress === null ? null : { progress, watched_date };
      note("history", film.id, mark, asked);
    }
  }
  changed();
  // What is shown beside this page was not learned while the lists could not be seen.
  if (back && !LISTS.some(isUnknown)) background(refresh());
}

/** @param {ListName} list @param {number} id @param {Mark | null} mark @param {number} asked */
function note(list, id, mark, asked) {
  const key = keyOf(list, id);
  if (busy.has(key) || (written.get(key) ?? -1) > asked) return;
  lists[list].marks.set(id, mark);
}

/**
 * Learns a whole list.
 * @param {ListName} list
 * @param {Item[]} items
 * @param {number} asked
 */
export function learnList(list, items, asked) {
  const known = lists[list];
  known.status = "known";
  known.complete = true;
  const listed = new Map(items.map((item) => [item.movie_id, item]));
  for (const id of new Set([...known.marks.keys(), ...listed.keys()])) {
    const item = listed.get(id);
    note(list, id, item ? markFrom(item) : null, asked);
  }
  changed();
}

/** @param {Item} item @returns {Mark} */
function markFrom(item) {
  if ("progress" in item) return { progress: item.progress, watched_date: item.watched_date };
  return "rating" in item ? { rating: item.rating } : {};
}

/** Marks a list as one that cannot be seen. @param {ListName} list */
export function cannotSee(list) {
  lists[list].status = "unknown";
  changed();
}

/** Asks for all three lists, unless that was just done. */
export async function refreshIfOld() {
  if (performance.now() - refreshed > REFRESH_AFTER_MS) await refresh();
}

/** Asks for all three lists. */
export async function refresh() {
  const asked = (refreshed = performance.now());
  const mine = generation;
  clearTimeout(timer);
  const problems = await Promise.all(
    LISTS.map(async (list) => {
      try {
        const answer = /** @type {Record<string, Item[]>} */ (await get(`/api/users/${list}`));
        if (mine === generation) learnList(list, answer[list] ?? [], asked);
        return null;
      } catch (error) {
        const problem = problemOf(error);
        if (mine === generation) lists[list].status = "unknown";
        return problem;
      }
    }),
  );
  if (mine !== generation) return;
  const failed = problems.filter((problem) => problem !== null);
  if (failed.length === 0) failures = 0;
  else if (failed.every((problem) => problem.status !== 401)) {
    again(Math.max(...failed.map((problem) => problem.retryAfter ?? 0)));
  }
  changed();
}

/** Asks again later; each failure in a row doubles the wait. @param {number | null} retryAfter */
function again(retryAfter) {
  clearTimeout(timer);
  const wait = Math.min(LONGEST_WAIT_S, Math.max(retryAfter ?? 0, 2 ** Math.min(failures, 5)));
  failures += 1;
  timer = setTimeout(() => background(refresh()), wait * 1000 * (1 + Math.random() / 10));
}

/**
 * Changes a film's mark; null takes it out of the list.
 * @param {Subject} subject
 * @param {ListName} list
 * @param {Mark | null} mark
 */
export function change(subject, list, mark) {
  const key = keyOf(list, subject.id);
  wanted.set(key, mark);
  changed();
  if (!busy.has(key)) background(drive(subject, list, key));
}

/** @param {Subject} subject @param {ListName} list @param {string} key */
async function drive(subject, list, key) {
  const mine = generation;
  busy.add(key);
  try {
    for (;;) {
      const mark = wanted.get(key);
      if (mark === undefined) return;
      const held = await put(subject.id, list, mark);
      if (mine !== generation) return;
      lists[list].marks.set(subject.id, held);
      written.set(key, performance.now());
      tabs?.postMessage(key);
      if (wanted.get(key) === mark) {
        wanted.delete(key);
        onSaved(subject, list, held);
        marks.dispatchEvent(new Event("saved"));
        return;
      }
    }
  } catch (error) {
    const problem = problemOf(error);
    if (mine !== generation) return;
    const mark = wanted.get(key) ?? null;
    wanted.delete(key);
    onFailure(subject, list, mark, problem);
    // It may have been done although the answer was lost: ask what holds.
    again(problem.retryAfter);
  } finally {
    busy.delete(key);
    changed();
    if (wanted.has(key)) background(drive(subject, list, key));
  }
}

/**
 * Returns what the user service holds afterwards.
 * @param {number} id
 * @param {ListName} list
 * @param {Mark | null} mark
 * @returns {Promise<Mark | null>}
 */
async function put(id, list, mark) {
  const path = `/api/users/${list}/${id}`;
  if (mark === null) {
    try {
      await write("DELETE", path, undefined);
    } catch (error) {
      if (!(error instanceof Problem && error.status === 404)) throw error;
    }
    return null;
  }
  const body = list === "history" ? { progress: mark.progress } : mark.rating ? { rating: mark.rating } : {};
  const answer = /** @type {Record<string, Item | undefined>} */ (await write("PUT", path, body));
  const item = answer.favorite ?? answer.watchlist_item ?? answer.history_item;
  return item ? markFrom(item) : mark;
}
