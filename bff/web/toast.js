/** Short messages at the edge of the page, and announcements for screen readers. */

import { byId, h, icon } from "./dom.js";
import { T } from "./texts.js";

const SHOWN_MS = 5000;
const FAILURE_SHOWN_MS = 10_000;
const MOST = 3;

/**
 * Shows a message. With an action it stays longer.
 * @param {string} text
 * @param {{failure?: boolean, action?: {label: string, run: () => void}}} [options]
 */
export function toast(text, { failure = false, action } = {}) {
  const host = byId("toasts");
  const message = h(
    "div",
    { class: failure ? "toast toast-failure" : "toast" },
    h("p", { dir: "auto" }, text),
    action &&
      h("button", { type: "button", class: "button-quiet", onclick: () => (close(), action.run()) }, action.label),
    h("button", { type: "button", class: "button-icon", "aria-label": T.close, onclick: () => close() }, icon("close")),
  );
  const close = () => message.remove();
  host.append(message);
  while (host.childElementCount > MOST) host.firstElementChild?.remove();
  setTimeout(function leave() {
    // Not while somebody is reading or about to press a button.
    if (message.matches(":hover, :focus-within")) setTimeout(leave, 1000);
    else close();
  }, failure ? FAILURE_SHOWN_MS : SHOWN_MS);
}

/** Says something to screen readers alone. @param {string} text */
export function announce(text) {
  const region = byId("announcer");
  region.textContent = "";
  // A text that is the same as before is only read where the region was empty in between.
  requestAnimationFrame(() => {
    region.textContent = text;
  });
}
