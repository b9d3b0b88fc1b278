/** Pictures: posters, portraits and backdrops, each over a drawing that stands in for it. */

import { background, get } from "./api.js";
import { h } from "./dom.js";

/** @typedef {import("./types").Configuration} Configuration */
/** @typedef {{poster: number, profile: number}} Widths */

const KEY = "movie-dashboard-configuration";
const AGAIN_MS = 5000;
const KEPT_FOR_MS = 24 * 60 * 60 * 1000;
const SIZES = {
  poster: "(min-width: 60rem) 11rem, (min-width: 40rem) 9.5rem, 8.5rem",
  grid: "(min-width: 40rem) 12rem, 45vw",
  large: "(min-width: 48rem) 18rem, 40vw",
  profile: "7rem",
};

/** @type {Configuration | null} */
let configuration = null;
/** Whether it comes from an earlier page and was not asked for since. */
let remembered = false;
/** @type {Promise<Configuration | null> | null} */
let asking = null;
/** Whether it could not be found out where pictures are. */
let failed = false;
/** What is drawn where a picture is missing. @type {WeakMap<Element, string>} */
const names = new WeakMap();

/** Fires `known` when it is known where pictures are. */
export const pictures = new EventTarget();

try {
  const { at, answer } = JSON.parse(localStorage.getItem(KEY) ?? "{}");
  if (answer && Date.now() - at < KEPT_FOR_MS) {
    configuration = answer;
    remembered = true;
  }
} catch {
  // It is asked for.
}

/** Finds out where pictures are. An earlier page that knew spares the call. */
export function configure() {
  return remembered ? Promise.resolve(configuration) : ask();
}

/** Asks where pictures are: once per page. */
function ask() {
  asking ??= get("/api/configuration").then(
    (answer) => {
      const isNew = JSON.stringify(answer) !== JSON.stringify(configuration);
      configuration = /** @type {Configuration} */ (answer);
      failed = remembered = false;
      try {
        localStorage.setItem(KEY, JSON.stringify({ at: Date.now(), answer }));
      } catch {
        // It is asked for again by the next page.
      }
      if (isNew) for (const box of document.querySelectorAll("[data-path]")) fill(/** @type {HTMLElement} */ (box));
      pictures.dispatchEvent(new Event("known"));
      return configuration;
    },
    () => {
      asking = null;
      failed = !configuration;
      if (failed) for (const box of document.querySelectorAll("[data-path]")) draw(/** @type {HTMLElement} */ (box));
      setTimeout(() => background(ask()), AGAIN_MS);
      return configuration;
    },
  );
  return asking;
}

/**
 * Makes a picture of fixed proportions. `name` is drawn where there is none.
 * @param {"poster" | "profile"} kind
 * @param {string | null | undefined} path
 * @param {string} name
 * @param {{use?: keyof typeof SIZES, urgent?: boolean}} [options]
 */
export function picture(kind, path, name, { use = kind === "profile" ? "profile" : "poster", urgent = false } = {}) {
  const box = h(
    "div",
    { class: `picture picture-${kind}`, "data-kind": kind, "data-path": path || false, "data-use": use, "data-urgent": urgent },
  );
  names.set(box, name);
  if (path && !failed) fill(box);
  else draw(box);
  return box;
}

/** Draws what stands in for a picture. @param {HTMLElement} box */
function draw(box) {
  if (box.querySelector(".drawing")) return;
  const name = names.get(box) ?? "";
  const drawn = h(
    "div",
    { class: "drawing", "aria-hidden": "true" },
    h("span", { class: "drawing-initials" }, initials(name)),
    box.dataset.kind === "poster" && h("span", { class: "drawing-name", dir: "auto" }, name),
  );
  drawn.style.setProperty("--hue", String(hue(name)));
  box.prepend(drawn);
}

/** @param {string} name */
export function initials(name) {
  const words = name.match(/[\p{L}\p{N}]+/gu) ?? [];
  const [first = "", second = ""] = words.filter((word) => !/^(the|a|an|of)$/i.test(word));
  return ([...first].slice(0, 1).join("") + [...second].slice(0, 1).join("")).toUpperCase() || "?";
}

/** @param {string} name */
function hue(name) {
  let sum = 7;
  for (const char of name) sum = (sum * 31 + (char.codePointAt(0) ?? 0)) % 360;
  return sum;
}

/** Puts the image over the drawing, or takes it away again. @param {HTMLElement} box */
function fill(box) {
  box.querySelector("img")?.remove();
  const path = box.dataset.path;
  if (!configuration || !path) return;
  const kind = box.dataset.kind === "profile" ? "profile" : "poster";
  const sizes = configuration.images[kind === "profile" ? "profile_sizes" : "poster_sizes"];
  const widths = sizes.filter((size) => /^w\d+$/.test(size));
  const address = (/** @type {string} */ size) => configuration?.images.base_url + size + path;
  const urgent = box.dataset.urgent !== undefined;
  const use = /** @type {keyof typeof SIZES} */ (box.dataset.use);
  const image = h("img", {
    alt: "",
    width: 2,
    height: 3,
    loading: urgent ? "eager" : "lazy",
    decoding: "async",
    fetchpriority: urgent && "high",
    sizes: SIZES[use],
    srcset: widths.map((size) => `${address(size)} ${size.slice(1)}w`).join(", "),
    onload: () => box.classList.add("is-loaded"),
    onerror: () => {
      image.remove();
      draw(box);
      // Pictures may have moved since an earlier page learned where they are.
      if (remembered) background(ask());
    },
  });
  box.append(image);
  image.src = address(widths.at(-1) ?? "original");
}

/**
 * Returns a picture that lies blurred behind something, or null where there is none.
 * @param {string | null | undefined} path
 */
export function backdrop(path) {
  if (!path) return null;
  const box = h("div", { class: "backdrop", "aria-hidden": "true" });
  const show = () => {
    if (!configuration || box.firstChild) return;
    // The smallest: nothing of it can be made out, and the posters should come first.
    const [size = "original"] = configuration.images.backdrop_sizes;
    const image = h("img", { alt: "", decoding: "async", fetchpriority: "low", onerror: () => image.remove() });
    image.src = configuration.images.base_url + size + path;
    box.append(image);
  };
  show();
  if (!box.firstChild) pictures.addEventListener("known", show, { once: true });
  return box;
}
