/** A film in a list, and the buttons that mark it. */

import { h, icon } from "./dom.js";
import { meanOf, titleOf, yearOf } from "./format.js";
import { picture } from "./images.js";
import { change, isUnknown, markOf, marks } from "./marks.js";
import { T } from "./texts.js";
import { toast } from "./toast.js";

/**
 * @typedef {import("./types").Film} Film
 * @typedef {import("./types").ListName} ListName
 * @typedef {import("./marks").Subject} Subject
 */

/**
 * Makes the card of a film, an item of a list.
 * @param {Film} film
 * @param {{grid?: boolean, urgent?: boolean, note?: string, progress?: boolean}} [options]
 */
export function card(film, { grid = false, urgent = false, note = "", progress = false } = {}) {
  const title = titleOf(film.title);
  const rated = film.vote_count ? meanOf(film.vote_average ?? 0) : "";
  const subject = { id: film.id, title };
  return h(
    "li",
    { class: "card", "data-film": film.id },
    picture("poster", film.poster_path, title, { use: grid ? "grid" : "poster", urgent }),
    h("h3", { class: "card-title" }, h("a", { href: `/movie/${film.id}`, dir: "auto", title }, title)),
    h(
      "p",
      { class: "card-meta" },
      h("span", {}, yearOf(film.release_date) || T.noDate),
      rated && h("span", { class: "card-vote" }, icon("star"), rated),
    ),
    progress && progressBar(film),
    note && h("p", { class: "card-note", dir: "auto", title: note }, note),
    h(
      "div",
      { class: "card-marks" },
      markButton("favorites", subject),
      markButton("watchlist", subject),
    ),
  );
}

/** @param {Film} film */
function progressBar(film) {
  const share = film.progress ?? 0;
  return h("progress", { class: "card-progress", max: 1, value: share, "aria-label": T.percent(share) });
}

/**
 * Makes a button that puts a film into a list or takes it out.
 * @param {"favorites" | "watchlist"} list
 * @param {Subject} subject
 * @param {boolean} [labelled]
 */
export function markButton(list, subject, labelled = false) {
  const liked = list === "favorites";
  const label = liked ? T.addFavorite(subject.title) : T.addWatchlist(subject.title);
  const button = h(
    "button",
    {
      type: "button",
      class: `mark mark-${list}`,
      "data-mark": list,
      "data-id": subject.id,
      "data-label": label,
      onclick: () => toggle(list, subject),
    },
    icon(liked ? "heart" : "bookmark"),
    labelled && h("span", {}, liked ? T.favorite : T.watchlist),
  );
  paint(button);
  return button;
}

/** @param {HTMLElement} button */
function paint(button) {
  const mark = markOf(/** @type {ListName} */ (button.dataset.mark), Number(button.dataset.id));
  const label = button.dataset.label ?? "";
  button.setAttribute("aria-pressed", String(Boolean(mark)));
  button.setAttribute("aria-label", mark === undefined ? `${label} (${T.unknownMark})` : label);
  if (mark === undefined) button.setAttribute("aria-disabled", "true");
  else button.removeAttribute("aria-disabled");
}

/** @param {"favorites" | "watchlist"} list @param {Subject} subject */
function toggle(list, subject) {
  const mark = markOf(list, subject.id);
  if (mark === undefined) {
    toast(isUnknown(list) ? T.cannotMark : T.notYet, { failure: isUnknown(list) });
    return;
  }
  change(subject, list, mark ? null : list === "favorites" ? { rating: null } : {});
}

marks.addEventListener("change", () => {
  for (const button of document.querySelectorAll("[data-mark]")) paint(/** @type {HTMLElement} */ (button));
});

/** Makes cards that hold the place of those to come. @param {number} count */
export function skeletons(count) {
  return Array.from({ length: count }, () =>
    h(
      "li",
      { class: "card card-skeleton", "aria-hidden": "true" },
      h("div", { class: "picture picture-poster" }),
      h("div", { class: "bone" }),
      h("div", { class: "bone bone-short" }),
    ),
  );
}
