/** What a page says where a part of it is old, missing, or could not be had at all. */

import { Problem } from "./api.js";
import { h, icon } from "./dom.js";
import { since } from "./format.js";
import { T } from "./texts.js";

/**
 * @typedef {import("./types").Section} Section
 * @typedef {import("./types").Sections} Sections
 * @typedef {import("./retry").Retry} Retry
 */

const LISTS = ["favorites", "watchlist", "history"];
const STALE_AGAIN_S = 20;

/** @param {string} name */
const served = (name) => (LISTS.includes(name) ? "lists" : "films");

/**
 * Says how old a section is; null where it is fresh.
 * @param {string} name
 * @param {Section | undefined} section
 */
export function staleNotice(name, section) {
  if (section?.status !== "stale") return null;
  const { then, text } = since(section.age ?? 0);
  return h(
    "p",
    { class: "stale", title: T.staleBecause(T.why(served(name), section.reason)) },
    icon("clock"),
    h("time", { datetime: then.toISOString() }, T.stale(text)),
    h("span", { class: "stale-why" }, T.staleBecause(T.why(served(name), section.reason))),
  );
}

/**
 * Says why a section cannot be shown and when it is asked for again.
 * @param {string} name
 * @param {Section} section
 * @param {Retry} retry
 * @param {"films" | "lists"} [who]
 */
export function unavailableNotice(name, section, retry, who = served(name)) {
  return h(
    "div",
    { class: "notice", "data-section": name },
    icon("cloud"),
    h(
      "div",
      {},
      h("p", { class: "notice-title" }, T.unavailable(T.sections[name] ?? name)),
      h("p", {}, `${T.why(who, section.reason)}. `, ...retry.face()),
    ),
  );
}

/**
 * Says that marks are unknown, where a page could not learn them; null where it could.
 * @param {Sections} sections
 * @param {Retry} retry
 */
export function marksNotice(sections, retry) {
  const missing = LISTS.map((name) => sections[name]).find((one) => one?.status === "unavailable");
  if (!missing) return null;
  return h(
    "div",
    { class: "notice notice-slim", "data-section": "lists" },
    icon("cloud"),
    h(
      "div",
      {},
      h("p", { class: "notice-title" }, `${T.listsUnknown}. ${T.listsUnknownHint}`),
      h("p", {}, `${T.why("lists", missing.reason)}. `, ...retry.face()),
    ),
  );
}

/** Says why a request failed. @param {Problem} problem */
export function whyOf(problem) {
  if (problem.upstream) return T.why(problem.upstream === "users" ? "lists" : "films", problem.reason);
  if (problem.status === 0) return T.whySelf;
  if (problem.status === 429) return T.whyLimited;
  if (problem.status === 401) return T.signInNeeded;
  return T.whyOther(problem.status);
}

/**
 * Stands in for what a failed request should have brought.
 * @param {string} what
 * @param {Problem} problem
 * @param {Retry} retry
 */
export function problemNotice(what, problem, retry) {
  return h(
    "div",
    { class: "notice", "data-section": "page" },
    icon("cloud"),
    h(
      "div",
      {},
      h("p", { class: "notice-title" }, problem.status === 401 ? T.signInNeeded : T.unavailable(what)),
      h("p", {}, problem.status === 401 ? "" : `${whyOf(problem)}. `, ...retry.face()),
    ),
  );
}

/**
 * Plans the next try by what a page says of itself; none where all is well.
 * @param {Sections} sections
 * @param {Retry} retry
 */
export function planBySections(sections, retry) {
  const all = Object.values(sections);
  const missing = all.filter((section) => section.status === "unavailable");
  const poor = all.filter((section) => section.reason);
  if (missing.length) retry.plan(Math.max(...missing.map((section) => section.retry_after ?? 0)));
  else if (poor.length) retry.plan(Math.max(...poor.map((section) => section.retry_after ?? 0)), STALE_AGAIN_S);
  else retry.done();
}
