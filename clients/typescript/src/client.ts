/** A client of the Movie Dashboard BFF: openapi-fetch with the rules of the contract. */
import createClient, { type Client, type Middleware } from "openapi-fetch";
import type { components, paths } from "./schema.js";

export type { components, operations, paths } from "./schema.js";

/** The schemas of the document by name, such as `Schemas["Film"]`. */
export type Schemas = components["schemas"];
export type Problem = Schemas["Problem"];
export type Upstream = Schemas["UpstreamProblem"]["upstream"];
export type Reason = Schemas["UpstreamProblem"]["reason"];

export interface DashboardClientOptions {
  /** Address of the service, such as `http://localhost:8000`. */
  baseUrl: string;
  /** The Bearer token, or a function that returns the one to use now. */
  token?: string | (() => string | undefined);
  /** What sends the requests; the platform's fetch unless given. */
  fetch?: (request: Request) => Promise<Response>;
  /** How many answers are remembered with their ETag; 0: none. 100 unless given. */
  remembered?: number;
}

/** Every answer that is an error: the problem document (RFC 9457) as a thing to catch. */
export class ProblemError extends Error {
  override readonly name = "ProblemError";
  readonly status: number;
  /** Kind of problem, such as `/problems/not-found`; `about:blank` where it is not the service's. */
  readonly type: string;
  readonly title: string;
  readonly detail: string;
  readonly request_id: string | undefined;
  /** The upstream at fault, where one is. */
  readonly upstream: Upstream | undefined;
  readonly reason: Reason | undefined;
  /** Seconds to wait before the next attempt, where known. */
  readonly retryAfter: number | undefined;
  /** What is wrong, by field; empty where nothing was said. */
  readonly errors: Readonly<Record<string, readonly string[]>>;
  readonly response: Response;

  constructor(response: Response, document: Partial<Problem> & Record<string, unknown>) {
    const detail = document.detail ?? (response.statusText || `status ${response.status}`);
    super(`${response.status} ${detail}`);
    this.status = response.status;
    this.type = document.type ?? "about:blank";
    this.title = document.title ?? response.statusText;
    this.detail = detail;
    this.request_id = document.request_id ?? response.headers.get("X-Request-ID") ?? undefined;
    this.upstream = document["upstream"] as Upstream | undefined;
    this.reason = document["reason"] as Reason | undefined;
    this.retryAfter = seconds(document["retry_after"] ?? response.headers.get("Retry-After"));
    this.errors = (document["errors"] as Record<string, string[]> | undefined) ?? {};
    this.response = response;
  }
}

/**
 * Return a client with a typed method for each operation: `client.GET("/api/dashboard/feed")`.
 *
 * An error answer throws `ProblemError`; a request that was not answered throws what fetch throws
 * (`AbortError` where its `signal` was aborted). Answers are remembered by address with their
 * `ETag`: where the service says that one still holds (304), it is given again. The revision that
 * a write answers is handed to the reads that follow, so that they see the write.
 */
export function createDashboardClient(options: DashboardClientOptions): Client<paths> {
  const client = createClient<paths>({
    baseUrl: options.baseUrl,
    ...(options.fetch && { fetch: options.fetch }),
  });
  // An answer passes through the last one first.
  client.use(problems, new Session(options.token, options.remembered ?? 100).middleware);
  return client;
}

/** Return the data of an answer: `const feed = await dataOf(client.GET("/api/dashboard/feed"))`. */
export async function dataOf<Data>(
  call: Promise<{ data?: Data; response: Response }>,
): Promise<Data> {
  const { data, response } = await call;
  if (data === undefined) {
    // A 304 to an If-None-Match of the caller's own.
    throw new ProblemError(response, { detail: "the answer has no body" });
  }
  return data;
}

const problems: Middleware = {
  async onResponse({ response }) {
    if (response.status < 400) return;
    throw new ProblemError(response, await documentOf(response));
  },
};

async function documentOf(response: Response): Promise<Partial<Problem>> {
  // A proxy in between may answer with a page of its own.
  if (!response.headers.get("Content-Type")?.startsWith("application/problem+json")) return {};
  try {
    return (await response.clone().json()) as Problem;
  } catch {
    return {};
  }
}

/** Return the seconds of `retry_after` or of a Retry-After header, which may be a date. */
function seconds(told: unknown): number | undefined {
  if (typeof told === "number") return told;
  if (typeof told !== "string") return undefined;
  const wait = /^\d+$/.test(told) ? Number(told) : Math.ceil((Date.parse(told) - Date.now()) / 1000);
  return Number.isNaN(wait) ? undefined : Math.max(0, wait);
}

interface Remembered {
  readonly tag: string;
  readonly body: string;
  readonly type: string;
}

interface Sent {
  readonly token: string | undefined;
  readonly known: Remembered | undefined;
}

/** Token, revision and remembered answers of one client; a new token makes it forget the rest. */
class Session {
  readonly #answers = new Map<string, Remembered>();
  readonly #sent = new WeakMap<Request, Sent>();
  #token: string | undefined;
  #revision = 0;

  constructor(
    private readonly given: DashboardClientOptions["token"],
    private readonly most: number,
  ) {}

  readonly middleware: Middleware = {
    onRequest: ({ request, schemaPath }) => {
      this.#identify(request);
      let known: Remembered | undefined;
      if (request.method === "GET") {
        known = this.#recall(request);
        if (this.#revision > 0 && PERSONAL.test(schemaPath)) {
          setDefault(request.headers, "X-Library-Revision", String(this.#revision));
        }
      }
      this.#sent.set(request, { token: this.#token, known });
    },
    onResponse: async ({ request, response }) => {
      const sent = this.#sent.get(request);
      if (response.status === 304 && sent?.known) return restored(response, sent.known);
      // What was asked with an earlier token is not this user's.
      if (sent?.token === this.#token && response.ok) await this.#remember(request, response);
      return undefined;
    },
  };

  #identify(request: Request): void {
    const token = typeof this.given === "function" ? this.given() : this.given;
    if (token !== this.#token) {
      this.#token = token;
      this.#revision = 0;
      this.#answers.clear();
    }
    if (token !== undefined) setDefault(request.headers, "Authorization", `Bearer ${token}`);
  }

  #recall(request: Request): Remembered | undefined {
    const known = this.#answers.get(request.url);
    if (known === undefined || request.headers.has("If-None-Match")) return undefined;
    request.headers.set("If-None-Match", known.tag);
    return known;
  }

  async #remember(request: Request, response: Response): Promise<void> {
    if (request.method !== "GET") {
      const revision = Number(response.headers.get("X-Library-Revision"));
      if (revision > this.#revision) this.#revision = revision;
      return;
    }
    const tag = response.headers.get("ETag");
    const type = response.headers.get("Content-Type") ?? "";
    this.#answers.delete(request.url); // the latest comes last
    if (tag === null || this.most === 0) return;
    this.#answers.set(request.url, { tag, type, body: await response.clone().text() });
    if (this.#answers.size > this.most) {
      this.#answers.delete(this.#answers.keys().next().value as string);
    }
  }
}

const PERSONAL = /^\/api\/(dashboard|users)\//;

function setDefault(headers: Headers, name: string, value: string): void {
  if (!headers.has(name)) headers.set(name, value);
}

/** Return the remembered answer, as if it had been sent again. */
function restored(response: Response, known: Remembered): Response {
  const headers = new Headers(response.headers);
  headers.set("Content-Type", known.type);
  return new Response(known.body, { status: 200, headers });
}
