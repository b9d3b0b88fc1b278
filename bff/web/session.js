/** Who is asking: the token of this tab. Works without the browser's storage as well. */

const KEY = "movie-dashboard-token";
let token = read();

function read() {
  try {
    return sessionStorage.getItem(KEY) ?? "";
  } catch {
    return "";
  }
}

/** Changes of the identity are told here, as `change` events. */
export const session = new EventTarget();

export function currentToken() {
  return token;
}

/**
 * Takes another token; an empty one signs out.
 * @param {string} value
 */
export function setToken(value) {
  token = value.trim();
  try {
    if (token) sessionStorage.setItem(KEY, token);
    else sessionStorage.removeItem(KEY);
  } catch {
    // The token then lasts as long as the page.
  }
  session.dispatchEvent(new Event("change"));
}

/** Returns the subject that the token names, for display alone; empty without a token. */
export function userName() {
  try {
    const part = token.split(".")[1] ?? "";
    const bytes = Uint8Array.from(atob(part.replaceAll("-", "+").replaceAll("_", "/")), (char) =>
      char.charCodeAt(0),
    );
    return String(JSON.parse(new TextDecoder().decode(bytes)).sub ?? "");
  } catch {
    return token ? "?" : "";
  }
}
