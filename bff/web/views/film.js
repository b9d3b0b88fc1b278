/** One film with its people, its kin and the user's own data. */

import { Problem, background, get, problemOf } from "../api.js";
import { card, markButton } from "../cards.js";
import { h, icon } from "../dom.js";
import { dayOf, lengthOf, meanOf, momentOf, moneyOf, titleOf } from "../format.js";
import { backdrop, configure, picture } from "../images.js";
import { change, isComplete, isUnknown, learn, markOf, marks, refresh as refreshMarks } from "../marks.js";
import { marksNotice, planBySections, problemNotice, staleNotice } from "../notice.js";
import { Retry } from "../retry.js";
import { row } from "../rows.js";
import { T } from "../texts.js";
import { toast } from "../toast.js";

/**
 * @typedef {import("../types").Enriched} Enriched
 * @typedef {import("../types").Film} Film
 * @typedef {import("../types").Cast | import("../types").Crew} Person
 * @typedef {import("../types").View} View
 * @typedef {import("../marks").Subject} Subject
 */

/** @param {View} view */
export function film(view) {
  const number = view.params[0] ?? "";
  view.title(T.loading);
  const retry = new Retry(() => background(load()), view.signal);
  const top = h("div", { class: "page-top" });
  let shown = false;

  /** @param {Enriched} answer */
  const show = (answer) => {
    view.memory.film = answer;
    const title = titleOf(answer.title);
    view.title(title);
    planBySections(answer.sections, retry);
    const notices = [
      marksNotice(answer.sections, retry),
      staleNotice("movie", answer.sections.movie),
    ];
    top.replaceChildren(...notices.filter((one) => one !== null));
    if (!shown) {
      view.main.replaceChildren(top, ...parts(answer, { id: answer.id, title }, view));
      shown = true;
    }
    view.ready();
  };

  const load = async () => {
    const asked = performance.now();
    try {
      const answer = /** @type {Enriched} */ (await get(`/api/dashboard/movie/${number}/enriched`, view.signal));
      const { user_data } = answer;
      const own = { ...answer, ...user_data };
      const kin = [...(answer.similar_movies ?? []), ...(answer.recommended_movies ?? [])];
      learn([own, ...kin], answer.sections, asked);
      show(answer);
      background(configure());
      const able = Object.values(answer.sections).every((one) => one.status !== "unavailable");
      if (able && !isComplete() && !kin.every((one) => "is_favorite" in one)) background(refreshMarks());
    } catch (error) {
      if (view.signal.aborted) return;
      fail(problemOf(error));
    }
  };

  /** @param {Problem} problem */
  const fail = (problem) => {
    if (problem.status === 404 || problem.status === 422) {
      view.title(T.noSuchFilm);
      view.main.replaceChildren(
        h(
          "div",
          { class: "empty" },
          h("h1", {}, T.noSuchFilm),
          h("p", {}, T.noSuchFilmHint),
          h("a", { class: "button", href: "/" }, T.toHome),
        ),
      );
    } else {
      retry.plan(problem.retryAfter);
      const notice = problemNotice(T.sections.movie ?? "", problem, retry);
      if (shown) top.replaceChildren(notice);
      else {
        view.title(T.sections.movie ?? "");
        view.main.replaceChildren(h("h1", { class: "visually-hidden" }, T.sections.movie), notice);
      }
    }
    view.ready();
  };

  view.onRefresh(() => background(load()));
  const kept = /** @type {Enriched | undefined} */ (view.memory.film);
  if (kept) show(kept);
  else {
    view.main.append(
      h("h1", { class: "visually-hidden" }, T.loading),
      h("div", { class: "film film-skeleton", "aria-hidden": "true" }, h("div", { class: "picture picture-poster" })),
    );
  }
  background(load());
}

/** @param {Enriched} answer @param {Subject} subject @param {View} view */
function parts(answer, subject, view) {
  return [
    hero(answer, subject, view),
    people("cast", T.cast, answer.cast, (person) => person.character),
    people("crew", T.crew, answer.crew, (person) => person.job),
    kin("recommended-films", T.recommended, answer.recommended_movies),
    kin("similar-films", T.similar, answer.similar_movies),
    facts(answer),
  ];
}

/** @param {Enriched} answer @param {Subject} subject @param {View} view */
function hero(answer, subject, view) {
  const original = answer.original_title && answer.original_title !== answer.title ? answer.original_title : "";
  return h(
    "article",
    { class: "film", "data-film": answer.id },
    backdrop(answer.backdrop_path),
    picture("poster", answer.poster_path, subject.title, { use: "large", urgent: true }),
    h(
      "div",
      { class: "film-words" },
      h("h1", { dir: "auto" }, subject.title),
      original && h("p", { class: "quiet", dir: "auto" }, T.originalTitle(original)),
      h(
        "p",
        { class: "film-line" },
        h("span", {}, dayOf(answer.release_date) || T.noDate),
        answer.runtime ? h("span", {}, lengthOf(answer.runtime)) : null,
        answer.vote_count
          ? h("span", {}, icon("star"), ` ${T.votes(meanOf(answer.vote_average ?? 0), answer.vote_count)}`)
          : null,
      ),
      answer.genres.length > 0 &&
        h("p", { class: "chips" }, answer.genres.map((genre) => h("span", { class: "chip" }, genre.name))),
      answer.tagline && h("p", { class: "tagline", dir: "auto" }, answer.tagline),
      h("p", { class: "overview", dir: "auto" }, answer.overview || T.noOverview),
      own(answer, subject, view),
    ),
  );
}

/** The user's own data and what changes them. @param {Enriched} answer @param {Subject} subject @param {View} view */
function own(answer, subject, view) {
  const { id } = subject;
  const stars = starChoice(subject);
  const share = h("input", { type: "range", id: "progress", min: 0, max: 100, step: 5 });
  const told = h("output", { for: "progress" });
  const watched = h("button", { type: "button", class: "button-quiet", onclick: () => set(1) }, icon("check"), T.markWatched);
  const forget = h("button", { type: "button", class: "button-quiet", onclick: () => set(null) }, T.forget);
  const line = h("div", { class: "list-line" }, h("label", { for: "progress" }, T.progress), share, told, watched, forget);
  const dates = h("p", { class: "list-dates" });

  /** @param {number | null} progress */
  const set = (progress) => {
    if (markOf("history", id) === undefined) {
      toast(isUnknown("history") ? T.cannotMark : T.notYet, { failure: isUnknown("history") });
      paint();
      return;
    }
    change(subject, "history", progress === null ? null : { progress, watched_date: null });
  };
  share.addEventListener("input", () => {
    told.textContent = T.percent(share.valueAsNumber / 100);
  });
  share.addEventListener("change", () => set(share.valueAsNumber / 100));

  const paint = () => {
    const mark = markOf("history", id);
    line.classList.toggle("is-unknown", mark === undefined);
    share.setAttribute("aria-disabled", String(mark === undefined));
    share.valueAsNumber = Math.round((mark?.progress ?? 0) * 100);
    told.textContent = mark === undefined ? T.unknownMark : mark ? T.percent(mark.progress ?? 0) : T.notBegun;
    watched.hidden = mark === undefined || (mark?.progress ?? 0) >= 0.95;
    forget.hidden = !mark;
    const { user_data } = answer;
    dates.textContent = [
      markOf("favorites", id) && user_data.added_to_favorites_date && T.likedOn(momentOf(user_data.added_to_favorites_date)),
      markOf("watchlist", id) && user_data.added_to_watchlist_date && T.plannedOn(momentOf(user_data.added_to_watchlist_date)),
      mark?.watched_date && T.watchedOn(momentOf(mark.watched_date)),
    ]
      .filter(Boolean)
      .join(" · ");
  };
  paint();
  marks.addEventListener("change", paint, { signal: view.signal });
  marks.addEventListener("change", stars.paint, { signal: view.signal });
  return h(
    "section",
    { class: "lists", "aria-labelledby": "lists-title" },
    h("h2", { id: "lists-title", class: "visually-hidden" }, T.yourLists),
    h("div", { class: "actions" }, markButton("favorites", subject, true), markButton("watchlist", subject, true)),
    stars.element,
    line,
    dates,
  );
}

/** @param {Subject} subject */
function starChoice(subject) {
  const hint = h("span", { class: "list-dates", id: "rating-hint" });
  const labels = [1, 2, 3, 4, 5].map((count) =>
    h(
      "label",
      {},
      h("input", { type: "radio", name: "rating", value: count, "aria-label": T.stars(count), onchange: () => rate(count) }),
      icon("star"),
    ),
  );
  const element = h(
    "fieldset",
    { class: "list-line", "aria-describedby": "rating-hint" },
    h("legend", {}, T.rating),
    h("span", { class: "stars" }, labels),
    hint,
  );
  /** @param {number} rating */
  const rate = (rating) => {
    if (markOf("favorites", subject.id) === undefined) {
      toast(isUnknown("favorites") ? T.cannotMark : T.notYet, { failure: isUnknown("favorites") });
      paint();
      return;
    }
    change(subject, "favorites", { rating });
  };
  const paint = () => {
    const mark = markOf("favorites", subject.id);
    const rating = mark?.rating ?? 0;
    element.classList.toggle("is-unknown", mark === undefined);
    element.dataset.rating = mark === undefined ? "unknown" : String(rating);
    hint.textContent = mark === undefined ? T.unknownMark : rating ? T.stars(rating) : T.ratingHint;
    labels.forEach((label, index) => {
      label.classList.toggle("is-lit", index < rating);
      const input = /** @type {HTMLInputElement} */ (label.firstElementChild);
      input.checked = index + 1 === rating;
      input.setAttribute("aria-disabled", String(mark === undefined));
    });
  };
  paint();
  return { element, paint };
}

/**
 * @template {Person} P
 * @param {string} name
 * @param {string} title
 * @param {P[] | null} list
 * @param {(person: P) => string} role
 */
function people(name, title, list, role) {
  const faces = (list ?? []).map((person) =>
    h(
      "li",
      { class: "person" },
      picture("profile", person.profile_path, person.name),
      h("p", { class: "person-name", dir: "auto" }, person.name),
      h("p", { class: "person-role", dir: "auto" }, role(person)),
    ),
  );
  return h(
    "section",
    { "aria-labelledby": `people-${name}`, "data-people": name },
    h("h2", { id: `people-${name}`, class: "section-title" }, title),
    faces.length
      ? h("ul", { class: "people" }, faces)
      : h("p", { class: "quiet" }, list === null ? T.castUnknown : T.castEmpty),
  );
}

/** @param {string} name @param {string} title @param {Film[] | null} films */
function kin(name, title, films) {
  const part = row(name, films === null ? T.listUnknown : T.nothingHere, "", title);
  part.show((films ?? []).map((one) => card(one)));
  return part.element;
}

/** @param {Enriched} answer */
function facts(answer) {
  const { details } = T;
  /** @type {[string, string | number | null | undefined][]} */
  const known = [
    [details.released, dayOf(answer.release_date)],
    [details.runtime, lengthOf(answer.runtime)],
    [details.status, answer.status],
    [details.countries, answer.production_countries.map((one) => one.name).join(", ")],
    [details.languages, answer.spoken_languages.map((one) => one.english_name).join(", ")],
    [details.series, answer.belongs_to_collection?.name],
    [details.budget, answer.budget ? moneyOf(answer.budget) : ""],
    [details.revenue, answer.revenue ? moneyOf(answer.revenue) : ""],
    [details.reviews, answer.reviews_count],
  ];
  return h(
    "section",
    { "aria-labelledby": "facts-title" },
    h("h2", { id: "facts-title", class: "section-title" }, T.facts),
    h(
      "dl",
      { class: "facts" },
      known.filter(([, value]) => value || value === 0).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", { dir: "auto" }, value))),
    ),
  );
}
