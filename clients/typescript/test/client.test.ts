/** The client against a service that answers what each test says. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createDashboardClient, dataOf, ProblemError } from "../src/client.js";

type Answer = (request: Request) => Response;

/** A client whose requests are answered in order; `seen` are the requests. */
function service(
  answers: Answer[],
  more: { token?: string | (() => string | undefined); remembered?: number } = {},
) {
  const seen: Request[] = [];
  const client = createDashboardClient({
    baseUrl: "http://bff.test",
    ...more,
    fetch: async (request) => {
      request.signal.throwIfAborted();
      seen.push(request);
      const answer = answers[seen.length - 1];
      assert.ok(answer, `no answer for ${request.url}`);
      return answer(request);
    },
  });
  return { client, seen };
}

const tagged = (body: unknown, tag: string): Answer => () =>
  Response.json(body, { headers: { ETag: tag } });
const unchanged: Answer = () =>
  new Response(null, { status: 304, headers: { "X-Request-ID": "second" } });
const written = (revision: string): Answer => () =>
  Response.json({}, { status: 201, headers: { "X-Library-Revision": revision } });
const favorites = "/api/users/favorites";
const body = { movie_id: 550 };

function problem(status: number, members: object, headers: Record<string, string> = {}): Answer {
  const type = "application/problem+json";
  const document = { type: "/problems/planted", title: "Planted", status, detail: "planted" };
  return () =>
    new Response(JSON.stringify({ ...document, instance: "/", request_id: "id-1", ...members }), {
      status,
      headers: { "Content-Type": type, ...headers },
    });
}

async function failure(call: Promise<unknown>): Promise<ProblemError> {
  const error = await call.then(
    () => undefined,
    (caught: unknown) => caught,
  );
  assert.ok(error instanceof ProblemError, String(error));
  return error;
}

test("an upstream that fails is an error with upstream, reason and seconds to wait", async () => {
  const members = { upstream: "tmdb", reason: "circuit_open", retry_after: 7 };
  const { client } = service([problem(503, members, { "Retry-After": "8" })]);
  const error = await failure(client.GET("/api/movies/genres"));
  assert.deepEqual(
    [error.status, error.type, error.detail, error.request_id, error.upstream, error.reason],
    [503, "/problems/planted", "planted", "id-1", "tmdb", "circuit_open"],
  );
  assert.equal(error.retryAfter, 7);
  assert.deepEqual(error.errors, {});
});

test("a bad field is an error that names it", async () => {
  const errors = { rating: ["Must be less."] };
  const { client } = service([problem(422, { errors })]);
  const error = await failure(client.POST(favorites, { body }));
  assert.deepEqual(error.errors, errors);
  assert.equal(error.retryAfter, undefined);
});

test("Retry-After alone is read, as seconds and as a date", async () => {
  const soon = new Date(Date.now() + 60_000).toUTCString();
  const { client } = service([
    problem(429, {}, { "Retry-After": "24" }),
    problem(429, {}, { "Retry-After": soon }),
    problem(429, {}, { "Retry-After": "planted" }),
  ]);
  assert.equal((await failure(client.GET("/health"))).retryAfter, 24);
  const wait = (await failure(client.GET("/health"))).retryAfter ?? 0;
  assert.ok(wait > 55 && wait <= 60, String(wait));
  assert.equal((await failure(client.GET("/health"))).retryAfter, undefined);
});

test("a page of a proxy and a broken document are errors as well", async () => {
  const { client } = service([
    () => new Response("<h1>Bad Gateway</h1>", { status: 502, statusText: "Bad Gateway" }),
    () =>
      new Response("{", { status: 500, headers: { "Content-Type": "application/problem+json" } }),
  ]);
  const error = await failure(client.GET("/health"));
  assert.deepEqual([error.type, error.detail], ["about:blank", "Bad Gateway"]);
  assert.equal((await failure(client.GET("/health"))).status, 500);
});

test("an answer that still holds is given again; a new one takes its place", async () => {
  const { client, seen } = service([
    tagged({ status: "one" }, '"1"'),
    unchanged,
    tagged({ status: "two" }, '"2"'),
    unchanged,
  ]);
  const read = () => client.GET("/health");
  await read();
  const second = await read();
  assert.deepEqual(second.data, { status: "one" });
  assert.deepEqual([second.response.status, second.response.headers.get("X-Request-ID")], [200, "second"]);
  await read();
  assert.deepEqual((await read()).data, { status: "two" });
  const sent = seen.map((request) => request.headers.get("If-None-Match"));
  assert.deepEqual(sent, [null, '"1"', '"1"', '"2"']);
});

test("answers are remembered by address, without a tag not at all, and the oldest go", async () => {
  const page = (number: number) => ({ params: { query: { page: number } } });
  const untagged: Answer = () => Response.json({});
  const { client, seen } = service(
    [tagged({}, '"1"'), tagged({}, '"2"'), untagged, untagged, untagged],
    { remembered: 1 },
  );
  for (const number of [1, 2, 1, 2, 2]) await client.GET("/api/movies/popular", page(number));
  const sent = seen.map((request) => request.headers.get("If-None-Match"));
  assert.deepEqual(sent, [null, null, null, '"2"', null]);
});

test("a 304 to a tag of the caller's own is the caller's", async () => {
  const { client } = service([unchanged, unchanged]);
  const own = { headers: { "If-None-Match": '"mine"' } };
  const { data, response } = await client.GET("/health", own);
  assert.deepEqual([data, response.status], [undefined, 304]);
  assert.equal((await failure(dataOf(client.GET("/health", own)))).status, 304);
});

test("the revision of a write is handed to personal reads, and never goes back", async () => {
  const { client, seen } = service([
    ...["7", "6"].map(written),
    ...["f", "f", "g"].map((name) => () => Response.json({ name })),
  ]);
  await client.POST(favorites, { body });
  await client.POST(favorites, { body });
  await client.GET(favorites);
  await client.GET("/api/dashboard/feed");
  await client.GET("/api/movies/genres");
  const sent = seen.map((request) => request.headers.get("X-Library-Revision"));
  assert.deepEqual(sent, [null, null, "7", "7", null]);
});

test("another token forgets the answers and the revision of the one before", async () => {
  let token: string | undefined = "anna";
  const { client, seen } = service(
    [written("7"), tagged({}, '"1"'), () => Response.json({}), () => Response.json({})],
    { token: () => token },
  );
  await client.POST(favorites, { body });
  await client.GET(favorites);
  token = "ben";
  await client.GET(favorites);
  token = undefined;
  await client.GET(favorites);
  const names = ["Authorization", "If-None-Match", "X-Library-Revision"];
  const sent = seen.map((request) => names.map((name) => request.headers.get(name)));
  assert.deepEqual(sent, [
    ["Bearer anna", null, null],
    ["Bearer anna", null, "7"],
    ["Bearer ben", null, null],
    [null, null, null],
  ]);
});

test("a request that is aborted rejects as fetch does", async () => {
  const { client, seen } = service([]);
  await assert.rejects(client.GET("/health", { signal: AbortSignal.abort() }), {
    name: "AbortError",
  });
  assert.equal(seen.length, 0);
});
