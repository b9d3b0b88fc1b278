/** What stays at the top: navigation, search field, account. */

import { byId, h } from "./dom.js";
import { go, router, viewName } from "./router.js";
import { currentToken, session, setToken, userName } from "./session.js";
import { askToSignIn } from "./signin.js";
import { background } from "./api.js";
import { T } from "./texts.js";

const TYPING_MS = 250;

export function header() {
  const field = /** @type {HTMLInputElement} */ (byId("query"));
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let typing;

  const look = () => {
    clearTimeout(typing);
    typing = undefined;
    const query = field.value.trim();
    const here = viewName() === "search";
    if (!query && !here) return;
    const address = query ? `/search?${new URLSearchParams({ q: query })}` : "/search";
    if (address !== location.pathname + location.search) go(address, { replace: here });
  };
  field.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(look, TYPING_MS);
  });
  byId("search").addEventListener("submit", (event) => {
    event.preventDefault();
    look();
  });
  document.addEventListener("keydown", (event) => {
    const target = event.target instanceof HTMLElement ? event.target : null;
    const writes = target?.matches("input:not([type=radio], [type=range]), textarea, select, [contenteditable]");
    if (event.key !== "/" || writes || event.ctrlKey || event.metaKey || event.altKey) return;
    if (document.querySelector("dialog[open]")) return;
    event.preventDefault();
    field.focus();
    field.select();
  });
  router.addEventListener("shown", () => {
    for (const link of document.querySelectorAll(".nav a")) {
      const current = new URL(/** @type {HTMLAnchorElement} */ (link).href).pathname === location.pathname;
      if (current) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    // What is being typed is ahead of the address.
    if (typing === undefined) {
      const query = location.pathname === "/search" ? (new URLSearchParams(location.search).get("q") ?? "") : "";
      if (query !== field.value.trim()) field.value = query;
    }
  });
  account();
  session.addEventListener("change", account);
}

function account() {
  const place = byId("account");
  if (!currentToken()) {
    place.replaceChildren(
      h("button", { type: "button", class: "button-quiet", onclick: () => background(askToSignIn(T.signInIntro)) }, T.signIn),
    );
    return;
  }
  const user = userName();
  place.replaceChildren(
    h("span", { class: "account-name", dir: "auto", title: T.signedIn(user) }, user),
    h("button", { type: "button", class: "button-quiet", onclick: () => setToken("") }, T.signOut),
  );
}
