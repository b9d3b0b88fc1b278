/** Addresses to views, without loading the page anew; scroll and focus stay where they belong. */

import { byId } from "./dom.js";
import { T } from "./texts.js";

/** @typedef {import("./types").View} View */
/** @typedef {{path: RegExp, name: string, show: (view: View) => void}} Route */

const MOST_KEPT = 30;
const SCROLL_RESTS_MS = 150;

/** @type {Route[]} */
let routes = [];
/** @type {AbortController | null} */
let ending = null;
/** @type {Route | null} */
let shown = null;
/** @type {(() => void) | null} */
let again = null;
/** @type {((url: URL) => void) | null} */
let onUrl = null;
/** What views keep for an entry of the browser's history. @type {Map<string, Record<string, unknown>>} */
const memories = new Map();
/** @type {Map<string, number>} */
const scrolled = new Map();
let key = "";
let settled = true;

/** Fires `shown` with each change of the address. */
export const router = new EventTarget();

/** @param {Route[]} table */
export function start(table) {
  routes = table;
  history.scrollRestoration = "manual";
  document.addEventListener("click", followLink);
  addEventListener("popstate", () => show("back"));
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let resting;
  addEventListener(
    "scroll",
    () => {
      // What is written while the page is being left is lost, so it is written before.
      clearTimeout(resting);
      resting = setTimeout(keep, SCROLL_RESTS_MS);
    },
    { passive: true },
  );
  show("load");
}

/** Returns the name of the view that is shown. */
export const viewName = () => shown?.name ?? "";

/**
 * Goes to an address of this page.
 * @param {string} address
 * @param {{replace?: boolean}} [options]
 */
export function go(address, { replace = false } = {}) {
  const url = new URL(address, location.href);
  if (replace) {
    history.replaceState({ key }, "", url);
  } else {
    keep();
    history.pushState({ key: newKey() }, "", url);
  }
  show("go");
}

/** Writes down in the browser's history which entry this is and where it is scrolled to. */
function keep() {
  if (settled) scrolled.set(key, scrollY);
  history.replaceState({ key, y: scrolled.get(key) ?? 0 }, "");
}

/** Changes the address alone. @param {string} address */
export function rename(address) {
  history.replaceState({ ...history.state, key }, "", address);
}

/** Has the view ask the API again. */
export function refreshView() {
  again?.();
}

/** Builds the view anew, as for another user. */
export function rebuild() {
  memories.clear();
  show("rebuild");
}

/** @param {MouseEvent} event */
function followLink(event) {
  if (event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const link = event.target instanceof Element ? event.target.closest("a") : null;
  if (!link || link.target || link.origin !== location.origin) return;
  if (link.hash && link.pathname === location.pathname) return;
  if (!routes.some((route) => route.path.test(link.pathname))) return;
  event.preventDefault();
  go(link.href, { replace: link.href === location.href });
}

function newKey() {
  return Math.random().toString(36).slice(2);
}

/** @param {"load" | "back" | "go" | "rebuild"} how */
function show(how) {
  const url = new URL(location.href);
  const route = routes.find((one) => one.path.test(url.pathname)) ?? routes[0];
  if (!route) return;
  const state = history.state ?? {};
  const earlier = key;
  if (how === "back" && settled) scrolled.set(earlier, scrollY);
  // The first entry gets its key in writing when it is left: that is slow, and nobody waits then.
  key = state.key ?? (how === "load" ? newKey() : earlier);
  if (how === "load" && typeof state.y === "number") scrolled.set(key, state.y);
  router.dispatchEvent(new Event("shown"));
  if (how !== "rebuild" && earlier === key && shown === route && onUrl) {
    onUrl(url);
    return;
  }
  ending?.abort();
  ending = new AbortController();
  shown = route;
  again = onUrl = null;
  settled = false;
  const memory = memories.get(key) ?? {};
  memories.delete(key);
  memories.set(key, memory);
  for (const old of memories.keys()) if (memories.size > MOST_KEPT) memories.delete(old);
  const main = byId("main");
  main.replaceChildren();
  // While there is nothing to lay out this costs nothing.
  if (how === "go") scrollTo({ top: 0, behavior: "instant" });
  const { signal } = ending;
  route.show({
    main,
    url,
    params: (route.path.exec(url.pathname) ?? []).slice(1),
    signal,
    memory,
    title: (text) => {
      document.title = T.title(text);
    },
    ready: () => !signal.aborted && !settled && settle(how),
    onRefresh: (run) => {
      again = run;
    },
    onUrl: (run) => {
      onUrl = run;
    },
  });
}

/** Puts scroll and focus in place once the first content stands. @param {string} how */
function settle(how) {
  settled = true;
  const top = scrolled.get(key) ?? 0;
  if (how === "back" || (how === "load" && top)) scrollTo({ top, behavior: "instant" });
  if (how === "load" || how === "rebuild") return;
  // Somebody who types goes on typing.
  if (document.activeElement instanceof HTMLInputElement) return;
  const heading = byId("main").querySelector("h1");
  if (heading instanceof HTMLElement) {
    heading.tabIndex = -1;
    heading.focus({ preventScroll: true });
  }
}
