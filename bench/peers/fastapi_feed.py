"""The same feed with FastAPI and httpx: three upstream calls side by side for each request.

No log line, no limit, no ETag, no deadline, no breaker: less than the BFF does.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import orjson
from fastapi import FastAPI, Request, Response

USERS = os.environ["USER_SERVICE_URL"]
TMDB = os.environ["TMDB_BASE_URL"]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Keep one client, with its connections, for the life of the process."""
    limits = httpx.Limits(max_connections=200, max_keepalive_connections=200)
    async with httpx.AsyncClient(limits=limits, timeout=2, trust_env=False) as client:
        app.state.client = client
        yield


app = FastAPI(lifespan=lifespan)


async def ask(url: str, **headers: str) -> Any:
    """Return the decoded answer of an upstream."""
    response = await app.state.client.get(url, headers=headers)
    response.raise_for_status()
    return orjson.loads(response.content)


@app.get("/health")
async def health() -> dict[str, str]:
    """Say that it is up."""
    return {"status": "healthy"}


@app.get("/api/dashboard/feed")
async def feed(request: Request, page: int = 1) -> Response:
    """Return popular films with the user's marks."""
    user = request.headers.get("X-User-Id", "demo-user-123")
    films, favorites, watchlist = await asyncio.gather(
        ask(f"{TMDB}/movie/popular?page={page}", Authorization="Bearer stub"),
        ask(f"{USERS}/favorites", **{"X-User-Id": user}),
        ask(f"{USERS}/watchlist", **{"X-User-Id": user}),
    )
    liked = {item["movie_id"]: item for item in favorites["favorites"]}
    planned = {item["movie_id"] for item in watchlist["watchlist"]}
    body = {
        "movies": [
            {
                **film,
                "is_favorite": film["id"] in liked,
                "is_in_watchlist": film["id"] in planned,
                "user_rating": liked[film["id"]]["rating"] if film["id"] in liked else None,
            }
            for film in films["results"]
        ],
        "total_pages": min(films["total_pages"], 500),
        "current_page": films["page"],
        "total_results": films["total_results"],
        "favorites_count": len(liked),
        "watchlist_count": len(planned),
    }
    return Response(orjson.dumps(body), media_type="application/json")
