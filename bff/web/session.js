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

/** Tells of another token (`change`), and of another user (`identity`), which comes first. */
export const session = new EventTarget();

export function currentToken() {
  return token;
}

/**
 * Takes another token; an empty one signs out.
 * @param {string} value
 */
export function setToken(value) {
  const earlier = userName();
  token = value.trim();
  try {
    if (token) sessionStorage.setItem(KEY, token);
    else sessionStorage.removeItem(KEY);
  } catch {
    // The token then lasts as long as the page.
  }
  if (userName() !== earlier) session.dispatchEvent(new Event("identity"));
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
