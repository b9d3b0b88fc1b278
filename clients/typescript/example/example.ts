/** Shows the client at work: BFF_URL=http://localhost:8000 npm run example */
import { createDashboardClient, dataOf, ProblemError, type Schemas } from "../src/client.js";

const baseUrl = process.env["BFF_URL"] ?? "http://localhost:8000";
const statuses: number[] = [];
const client = createDashboardClient({
  baseUrl,
  // Only to show what goes over the wire.
  fetch: async (request) => {
    const response = await fetch(request);
    statuses.push(response.status);
    return response;
  },
});

// One call for the screen. What is null is not known, and the types make the reader say so.
const feed = await dataOf(client.GET("/api/dashboard/feed"));
const first: Schemas["MarkedFilm"] | undefined = feed.movies[0];
console.log(`feed: ${feed.movies.length} films, the first is ${first?.title ?? "none"}`);
for (const [name, section] of Object.entries(feed.sections)) {
  if (section.status !== "ok") console.log(`${name}: ${section.status} (${section.reason})`);
}
console.log(`favorites: ${feed.favorites_count ?? "not known"}`);

// A second call sends the ETag of the first; the answer is empty, the data are the same.
const again = await dataOf(client.GET("/api/dashboard/feed"));
console.log(`again: ${statuses.at(-1)} on the wire, ${again.movies.length} films`);

// A write, and a read that sees it, whichever worker answers.
const inception = 27205;
const path = { movie_id: inception };
const added = await dataOf(
  client.PUT("/api/users/favorites/{movie_id}", { params: { path }, body: { rating: 5 } }),
);
console.log(`${added.message}: ${added.favorite.title}, ${added.favorite.rating} stars`);
const film = await dataOf(
  client.GET("/api/dashboard/movie/{movie_id}/enriched", { params: { path } }),
);
console.log(`read back: favorite ${film.user_data.is_favorite}, ${film.runtime} minutes`);

// Problem documents are errors with types.
const wrong: [string, () => Promise<unknown>][] = [
  [
    "a second time",
    () => client.POST("/api/users/favorites", { body: { movie_id: inception } }),
  ],
  [
    "six stars",
    () => client.PUT("/api/users/favorites/{movie_id}", { params: { path }, body: { rating: 6 } }),
  ],
  [
    "an unknown film",
    () => client.GET("/api/movies/{movie_id}", { params: { path: { movie_id: 999999999 } } }),
  ],
];
for (const [what, call] of wrong) {
  try {
    await call();
  } catch (error) {
    if (!(error instanceof ProblemError)) throw error;
    console.log(`${what}: ${error.status} ${error.type} ${Object.keys(error.errors).join()}`.trim());
  }
}
await client.DELETE("/api/users/favorites/{movie_id}", { params: { path } });

// A search that a newer one has overtaken is given up.
const search = new AbortController();
const overtaken = client.GET("/api/dashboard/search/enriched", {
  params: { query: { query: "fight club" } },
  signal: search.signal,
});
search.abort();
try {
  await overtaken;
} catch (error) {
  if (!(error instanceof DOMException)) throw error;
  console.log(`overtaken: ${error.name}`);
}
