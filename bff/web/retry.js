/** Asks again by itself, later and later, and lets the page count down to it. */

import { h } from "./dom.js";
import { T } from "./texts.js";

const FIRST_S = 2;
const LONGEST_S = 60;

export class Retry {
  /**
   * @param {() => void} run is called when it is time
   * @param {AbortSignal} signal ends it
   */
  constructor(run, signal) {
    this.run = run;
    this.failures = 0;
    this.due = 0;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
    /** @type {Set<HTMLElement>} */
    this.faces = new Set();
    signal.addEventListener("abort", () => this.rest());
    document.addEventListener("visibilitychange", () => this.tick(), { signal });
  }

  /**
   * Plans the next try: not before `retryAfter` seconds, nor before the usual wait.
   * @param {number | null} retryAfter
   * @param {number} [least]
   */
  plan(retryAfter, least = FIRST_S) {
    const usual = Math.max(least, FIRST_S * 2 ** this.failures);
    const wait = Math.max(retryAfter ?? 0, Math.min(usual, LONGEST_S));
    this.failures += 1;
    this.due = Date.now() + wait * 1000 * (1 + Math.random() / 10);
    this.tick();
  }

  /** All is well: the next failure waits no longer than the first. */
  done() {
    this.failures = 0;
    this.rest();
  }

  rest() {
    clearTimeout(this.timer);
    this.due = 0;
  }

  now() {
    this.rest();
    this.show(T.retrying);
    this.run();
  }

  tick() {
    clearTimeout(this.timer);
    if (!this.due) return;
    const left = Math.ceil((this.due - Date.now()) / 1000);
    if (left > 0) {
      this.show(T.retryIn(left));
    } else if (!document.hidden) {
      this.now();
      return;
    }
    this.timer = setTimeout(() => this.tick(), 1000 - ((Date.now() - this.due) % 1000) % 1000);
  }

  /** @param {string} text */
  show(text) {
    for (const face of this.faces) {
      if (face.isConnected) face.textContent = text;
      else this.faces.delete(face);
    }
  }

  /** Returns the countdown and a button that does not wait for it. */
  face() {
    const count = h("span", { class: "countdown" });
    this.faces.add(count);
    const left = Math.ceil((this.due - Date.now()) / 1000);
    if (this.due) count.textContent = T.retryIn(Math.max(1, left));
    return [
      count,
      h("button", { type: "button", class: "button-quiet", onclick: () => this.now() }, T.retryNow),
    ];
  }
}
