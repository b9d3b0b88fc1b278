// The same feed with Fastify and undici: three upstream calls side by side for each request, or
// two where CACHED=1 keeps TMDB's answer in memory. No log line, no limit, no ETag, no deadline,
// no breaker: less than the BFF does.

import cluster from "node:cluster";
import Fastify from "fastify";
import { Pool } from "undici";

const { PORT, WORKERS, CACHED, USER_SERVICE_URL, TMDB_BASE_URL } = process.env;
const TTL_MS = 300_000;

function serve() {
  const tmdbUrl = new URL(TMDB_BASE_URL);
  const options = { connections: 64, pipelining: 1 };
  const users = new Pool(USER_SERVICE_URL, options);
  const tmdb = new Pool(tmdbUrl.origin, options);
  const films = new Map();

  async function ask(pool, path, headers) {
    const { statusCode, body } = await pool.request({ method: "GET", path, headers });
    if (statusCode !== 200) throw new Error(`upstream status ${statusCode}`);
    return body.json();
  }

  function popular(page) {
    const path = `${tmdbUrl.pathname}/movie/popular?page=${page}`;
    const headers = { authorization: "Bearer stub" };
    if (CACHED !== "1") return ask(tmdb, path, headers);
    const known = films.get(page);
    if (known && known.until > Date.now()) return known.answer;
    const answer = ask(tmdb, path, headers);
    films.set(page, { answer, until: Date.now() + TTL_MS });
    answer.catch(() => films.delete(page));
    return answer;
  }

  const app = Fastify({ logger: false });
  app.get("/health", async () => ({ status: "healthy" }));
  app.get("/api/dashboard/feed", async (request) => {
    const headers = { "x-user-id": request.headers["x-user-id"] ?? "demo-user-123" };
    const [list, favorites, watchlist] = await Promise.all([
      popular(Number(request.query.page ?? 1)),
      ask(users, "/favorites", headers),
      ask(users, "/watchlist", headers),
    ]);
    const liked = new Map(favorites.favorites.map((item) => [item.movie_id, item]));
    const planned = new Set(watchlist.watchlist.map((item) => item.movie_id));
    return {
      movies: list.results.map((film) => ({
        ...film,
        is_favorite: liked.has(film.id),
        is_in_watchlist: planned.has(film.id),
        user_rating: liked.get(film.id)?.rating ?? null,
      })),
      total_pages: Math.min(list.total_pages, 500),
      current_page: list.page,
      total_results: list.total_results,
      favorites_count: liked.size,
      watchlist_count: planned.size,
    };
  });
  app.listen({ port: Number(PORT), host: "127.0.0.1" });
}

if (cluster.isPrimary) {
  // The workers share the listening socket; nothing is handed from process to process.
  cluster.schedulingPolicy = cluster.SCHED_NONE;
  for (let worker = 0; worker < Number(WORKERS ?? 1); worker += 1) cluster.fork();
} else {
  serve();
}
