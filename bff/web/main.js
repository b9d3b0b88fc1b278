/** Starts the page. */

import { background, onUnauthorized } from "./api.js";
import { header } from "./header.js";
import { change, refreshIfOld, tellAboutWrites } from "./marks.js";
import { whyOf } from "./notice.js";
import { panel } from "./panel.js";
import { rebuild, refreshView, start } from "./router.js";
import { session } from "./session.js";
import { afterRefusal } from "./signin.js";
import { T } from "./texts.js";
import { toast } from "./toast.js";
import { feed } from "./views/feed.js";
import { film } from "./views/film.js";
import { home } from "./views/home.js";
import { library } from "./views/library.js";
import { search } from "./views/search.js";

const RENEW_AFTER_MS = 15_000;

/** @typedef {import("./types").ListName} ListName */

/** @param {ListName} list @param {import("./types").Mark | null} mark @param {string} title */
function savedText(list, mark, title) {
  if (list === "watchlist") return mark ? T.saved.watchlistOn(title) : T.saved.watchlistOff(title);
  if (list === "history") return mark ? T.saved.progress(title) : T.saved.forgotten(title);
  if (!mark) return T.saved.favoriteOff(title);
  return mark.rating ? T.saved.rated(title, mark.rating) : T.saved.favoriteOn(title);
}

onUnauthorized(afterRefusal);
tellAboutWrites({
  saved: ({ title }, list, mark) => toast(savedText(list, mark, title)),
  failed: (subject, list, mark, problem) =>
    toast(T.notSaved(subject.title, whyOf(problem)), {
      failure: true,
      action: { label: T.again, run: () => change(subject, list, mark) },
    }),
});
session.addEventListener("identity", rebuild);
session.addEventListener("change", refreshView);
addEventListener("error", (event) => {
  // Not for what a browser says of itself, such as a resize that took two rounds.
  if (event.error) toast(T.broken, { failure: true });
});

let left = performance.now();
addEventListener("blur", () => {
  left = performance.now();
});
addEventListener("focus", () => {
  background(refreshIfOld());
  if (performance.now() - left > RENEW_AFTER_MS) refreshView();
});

header();
start([
  { path: /^\/$/, name: "home", show: home },
  { path: /^\/feed$/, name: "feed", show: feed },
  { path: /^\/search$/, name: "search", show: search },
  { path: /^\/library$/, name: "library", show: library },
  { path: /^\/movie\/([^/]+)$/, name: "film", show: film },
]);
if (document.readyState === "complete") background(panel());
else addEventListener("load", () => background(panel()));
