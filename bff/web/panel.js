/** The corner panel: switches the faults of the stubs. There is none where TMDB is live. */

import { background } from "./api.js";
import { byId, h } from "./dom.js";
import { refreshView } from "./router.js";
import { T } from "./texts.js";
import { toast } from "./toast.js";

/** @typedef {"tmdb" | "users"} Upstream */

/** Shows the panel where there are stubs; the page asks once it has shown something. */
export async function panel() {
  const answer = await fetch("/web/dev.json").catch(() => null);
  if (!answer?.ok) return;
  const stubs = /** @type {Partial<Record<Upstream, string>>} */ (await answer.json());
  if (stubs.tmdb && stubs.users) await build({ tmdb: stubs.tmdb, users: stubs.users });
}

/** @param {Record<Upstream, string>} stubs */
async function build(stubs) {
  const box = h(
    "details",
    { class: "panel" },
    h("summary", {}, h("span", { class: "panel-light" }), T.faults),
    h(
      "div",
      { class: "panel-body" },
      h("p", {}, T.faultsIntro),
      choices("tmdb", stubs.tmdb),
      choices("users", stubs.users),
    ),
  );
  box.addEventListener("toggle", () => box.open && background(look(box, stubs)));
  byId("corner").replaceChildren(h("aside", { "aria-label": T.faults }, box));
  await look(box, stubs);
}

/** @param {Upstream} upstream @param {string} address */
function choices(upstream, address) {
  return h(
    "fieldset",
    {},
    h("legend", {}, T.faultsOf[upstream]),
    h(
      "div",
      { class: "choices" },
      Object.entries(T.profiles).map(([profile, label]) =>
        h(
          "label",
          { class: "choice" },
          h("input", {
            type: "radio",
            name: `faults-${upstream}`,
            value: profile,
            checked: profile === "",
            onchange: () => background(choose(upstream, address, profile)),
          }),
          h("span", {}, label),
        ),
      ),
    ),
  );
}

/** @param {Upstream} upstream @param {string} address @param {string} profile */
async function choose(upstream, address, profile) {
  const who = T.faultsOf[upstream];
  try {
    const answer = profile
      ? await fetch(`${address}/__faults`, {
          method: "PUT",
          headers: { "Content-Type": "application/json" },
          body: JSON.stringify({ profile }),
        })
      : await fetch(`${address}/__faults`, { method: "DELETE" });
    if (!answer.ok) throw new TypeError(String(answer.status));
    toast(T.faultSet(who, T.profiles[profile] ?? profile));
    light();
    refreshView();
  } catch {
    toast(T.faultFailed(who), { failure: true });
  }
}

/** Shows which faults are set at the moment. @param {HTMLElement} box @param {Record<Upstream, string>} stubs */
async function look(box, stubs) {
  for (const upstream of /** @type {Upstream[]} */ (["tmdb", "users"])) {
    try {
      const fault = await (await fetch(`${stubs[upstream]}/__faults`)).json();
      const inputs = box.querySelectorAll(`[name="faults-${upstream}"]`);
      for (const input of /** @type {NodeListOf<HTMLInputElement>} */ (inputs)) {
        input.checked = input.value === (fault.profile ?? "");
      }
    } catch {
      // It is said when somebody tries to switch it.
    }
  }
  light();
}

function light() {
  const box = document.querySelector(".panel");
  const faulty = box?.querySelector('input:checked:not([value=""])');
  box?.classList.toggle("is-faulty", Boolean(faulty));
}
