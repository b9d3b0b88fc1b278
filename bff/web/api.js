/** Asks the BFF. What goes wrong is a `Problem`; a request that was called off is an AbortError. */

import { currentToken, userName } from "./session.js";

const LONGEST_MS = 12_000;

/** A problem document (RFC 9457), or no answer at all (`status` 0). */
export class Problem extends Error {
  /**
   * @param {number} status
   * @param {Partial<import("./types").Problem>} document
   */
  constructor(status, document) {
    super(document.detail ?? `status ${status}`);
    this.status = status;
    this.reason = document.reason ?? null;
    this.upstream = document.upstream ?? "";
    this.retryAfter = document.retry_after ?? null;
  }
}

/** @type {(problem: Problem, token: string) => Promise<boolean>} */
let askForToken = async () => false;

/**
 * Sets who is asked for a token after a 401; the answer says whether to send the request again.
 * @param {typeof askForToken} ask
 */
export function onUnauthorized(ask) {
  askForToken = ask;
}

/**
 * Reads JSON.
 * @template T
 * @param {string} path
 * @param {AbortSignal} [signal]
 * @returns {Promise<T>}
 */
export async function get(path, signal) {
  return /** @type {T} */ (await ask("GET", path, undefined, {}, signal));
}

/**
 * Writes. The key makes a write that is sent twice act once.
 * @param {"PUT" | "DELETE"} method
 * @param {string} path
 * @param {unknown} body
 * @returns {Promise<unknown>}
 */
export function write(method, path, body) {
  return ask(method, path, body, { "Idempotency-Key": newKey() });
}

/**
 * @param {string} method
 * @param {string} path
 * @param {unknown} body
 * @param {Record<string, string>} headers
 * @param {AbortSignal} [signal]
 * @returns {Promise<unknown>}
 */
async function ask(method, path, body, headers, signal) {
  const user = userName();
  for (;;) {
    const token = currentToken();
    const response = await send(method, path, body, { ...headers, ...bearer(token) }, signal);
    const answer = await read(response, signal);
    if (response.ok) return answer;
    const problem = new Problem(response.status, /** @type {object} */ (answer ?? {}));
    const again = response.status === 401 && (await askForToken(problem, token));
    signal?.throwIfAborted();
    // A read is for whoever asks now; a write is for the user who meant it.
    if (!again || (method !== "GET" && userName() !== user)) throw problem;
  }
}

/** @param {string} token @returns {Record<string, string>} */
function bearer(token) {
  return token ? { Authorization: `Bearer ${token}` } : {};
}

/**
 * @param {string} method
 * @param {string} path
 * @param {unknown} body
 * @param {Record<string, string>} headers
 * @param {AbortSignal} [signal]
 */
async function send(method, path, body, headers, signal) {
  const late = AbortSignal.timeout(LONGEST_MS);
  /** @type {RequestInit} */
  const init = { method, headers, signal: signal ? AbortSignal.any([signal, late]) : late };
  if (body !== undefined) {
    init.body = JSON.stringify(body);
    headers["Content-Type"] = "application/json";
  }
  try {
    return await fetch(path, init);
  } catch (error) {
    throw asProblem(error, signal);
  }
}

/** @param {Response} response @param {AbortSignal} [signal] @returns {Promise<unknown>} */
async function read(response, signal) {
  try {
    return await response.json();
  } catch (error) {
    if (!response.ok && !signal?.aborted) return null;
    throw asProblem(error, signal);
  }
}

/** @param {unknown} error @param {AbortSignal} [signal] */
function asProblem(error, signal) {
  if (signal?.aborted) return new DOMException("called off", "AbortError");
  const late = error instanceof DOMException && error.name === "TimeoutError";
  return new Problem(0, { reason: late ? "timeout" : "unreachable" });
}

function newKey() {
  // crypto.randomUUID is missing where the page is not served from a secure origin.
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) =>
    byte.toString(16).padStart(2, "0"),
  ).join("");
}

/**
 * Lets a promise run by itself: a request that was called off is nothing, all else is a bug.
 * @param {Promise<unknown>} promise
 */
export function background(promise) {
  promise.catch((error) => {
    if (error instanceof DOMException && error.name === "AbortError") return;
    reportError(error);
  });
}

/** @param {unknown} error @returns {Problem} */
export function problemOf(error) {
  if (error instanceof Problem) return error;
  throw error;
}
