/** The dialog that asks for a token; what is on the page stays as it is meanwhile. */

import { Problem } from "./api.js";
import { h } from "./dom.js";
import { currentToken, setToken } from "./session.js";
import { T } from "./texts.js";

/** @type {Promise<boolean> | null} */
let open = null;

/**
 * Asks for a token, once however many ask. Returns whether there is another one now.
 * @param {string} why
 * @returns {Promise<boolean>}
 */
export function askToSignIn(why) {
  open ??= show(why).finally(() => {
    open = null;
  });
  return open;
}

/** @param {string} why @returns {Promise<boolean>} */
function show(why) {
  return new Promise((resolve) => {
    const fault = h("p", { class: "dialog-fault", id: "token-fault", role: "alert" });
    const field = h("textarea", {
      name: "token",
      spellcheck: "false",
      autocomplete: "off",
      autocapitalize: "off",
      "aria-describedby": "token-fault",
      autofocus: true,
    });
    const submit = (/** @type {Event} */ event) => {
      event.preventDefault();
      if (!field.value.trim()) {
        fault.textContent = T.tokenEmpty;
        return;
      }
      setToken(field.value);
      dialog.close("signed-in");
    };
    const without = () => {
      setToken("");
      dialog.close("signed-in");
    };
    const closed = () => {
      dialog.remove();
      resolve(dialog.returnValue === "signed-in");
    };
    const dialog = h(
      "dialog",
      { class: "dialog", "aria-labelledby": "signin-title", onclose: closed },
      h(
        "form",
        { onsubmit: submit },
        h("h2", { id: "signin-title" }, T.signIn),
        h("p", {}, why),
        h("label", {}, T.token, field),
        fault,
        h(
          "div",
          { class: "actions" },
          h("button", { type: "submit", class: "button" }, T.signIn),
          currentToken() &&
            h("button", { type: "button", class: "button-quiet", onclick: without }, T.goOnWithout),
          h("button", { type: "button", class: "button-quiet", onclick: () => dialog.close("") }, T.cancel),
        ),
      ),
    );
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** A refusal that was not answered with a token is not asked about again and again. */
let refused = "-";

/**
 * Decides after a 401 whether the request is sent again.
 * @param {Problem} _problem
 * @param {string} token the one that was refused
 */
export async function afterRefusal(_problem, token) {
  if (token !== currentToken()) return true;
  if (!open && refused === token) return false;
  const again = await askToSignIn(token ? T.signInAgain : T.signInIntro);
  refused = again ? "-" : token;
  return again;
}
