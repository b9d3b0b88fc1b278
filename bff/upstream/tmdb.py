"""The TMDB client: every read of the table `bff.reads`, through cache and guard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import urlencode

import requests

from bff import context, reads
from bff.errors import BadResponse, NotFound, UpstreamError
from bff.model import Call, DirectCall, Ok
from bff.reads import Read
from bff.schemas.decoding import decode
from bff.upstream.cache import Cache, Query
from bff.upstream.guard import Guard
from bff.upstream.session import prepared

NAME = "tmdb"
KNOWN_CALLS = 256
Json = dict[str, Any]
Params = Mapping[str, str]


@dataclass(frozen=True)
class Credential:
    """TMDB's key or token; the token wins. Sent with each call, part of no cache key."""

    api_key: str = ""
    read_token: str = ""

    def headers(self) -> dict[str, str]:
        """Return the headers that carry the token."""
        return {"Authorization": f"Bearer {self.read_token}"} if self.read_token else {}

    def query(self) -> dict[str, str]:
        """Return the query parameters that carry the key."""
        return {"api_key": self.api_key} if self.api_key and not self.read_token else {}

    def __repr__(self) -> str:
        """Hide the values."""
        return "Credential(...)"


@dataclass(frozen=True)
class CachedCall:
    """A read through the cache."""

    cache: Cache
    query: Query
    upstream: str = NAME

    @property
    def key(self) -> str:
        """Name of the answer."""
        return self.query.key

    def cached(self) -> Ok[Json] | None:
        """Return the answer from memory."""
        return self.cache.cached(self.query)

    def load(self) -> Ok[Json]:
        """Ask for the answer."""
        return self.cache.load(self.query)

    def fallback(self, error: UpstreamError) -> Ok[Json]:
        """Return an old answer, or raise `error`."""
        return self.cache.fallback(self.query, error)


class TmdbClient:
    """Plans calls to TMDB. Thread-safe; lives as long as the app.

    `ttl_s` is the time that a list stays fresh; each row of the table has its
    multiple of it. Without a `cache` every call goes out.
    """

    def __init__(
        self, base_url: str, credential: Credential, guard: Guard, cache: Cache | None, ttl_s: int
    ) -> None:
        self._guard, self._cache = guard, cache
        self._base_url, self._credential, self._ttl_s = base_url, credential, ttl_s
        self._planned = lru_cache(KNOWN_CALLS)(self._plan)

    def read(
        self, row: Read, path: Mapping[str, object] | None = None, params: Params | None = None
    ) -> Call[Json]:
        """Plan a read of the table; `path` fills the braces of its path.

        A call holds nothing of the request, so the same question has the same
        call, which is made once.
        """
        return self._planned(row.name, tuple((path or {}).items()), tuple((params or {}).items()))

    def _plan(
        self, name: str, path: tuple[tuple[str, object], ...], params: tuple[tuple[str, str], ...]
    ) -> Call[Json]:
        row = reads.BY_NAME[name]
        target = row.path.format(**dict(path))
        text = urlencode(sorted(_sent(row, dict(params)).items()))
        names_a_thing = "_id}" in row.path
        query = Query(
            key=f"{row.name} {target}?{text}",
            operation=row.operation,
            what=_what(dict(path)),
            # All that TMDB says of one film is one thing, in whatever language.
            thing=str(path[0]) if names_a_thing else f"{target}?{text}",
            ttl_s=self._ttl_s * row.ttl,
            # A list is always there: 404 in its place is a wrong address or an ailing upstream.
            names_a_thing=names_a_thing,
            request=lambda: self._request(target, text),
            decode=lambda body: decode(row.schema, NAME, body),
        )
        if self._cache is None:
            return DirectCall(NAME, lambda: self._ask(query))
        return CachedCall(self._cache, query)

    def _ask(self, query: Query) -> Json:
        """Ask without a cache; raise `NotFound` or `UpstreamError`."""

        def read(response: requests.Response, body: bytes) -> Json:
            if response.status_code == 404 and query.names_a_thing:
                raise NotFound(NAME, query.what)
            if response.status_code != 200:
                raise BadResponse(NAME, f"status {response.status_code}")
            return query.decode(body)

        return self._guard.send(query.operation, query.thing, query.request(), read)

    def popular(self, params: Params) -> Call[Json]:
        """Plan the popular films."""
        return self.read(reads.POPULAR, params=params)

    def trending(self, params: Params) -> Call[Json]:
        """Plan the films that trend this week."""
        return self.read(reads.TRENDING, {"window": "week"}, params)

    def search(self, params: Params) -> Call[Json]:
        """Plan a search for films; `params` has the `query`."""
        return self.read(reads.SEARCH_MOVIES, params=params)

    def movie(self, movie_id: int) -> Call[Json]:
        """Plan a film's details."""
        return self.read(reads.MOVIE, {"movie_id": movie_id})

    def enriched(self, movie_id: int, params: Params) -> Call[Json]:
        """Plan a film's details with credits, reviews, similar and recommended films."""
        return self.read(reads.ENRICHED, {"movie_id": movie_id}, params)

    def recommendations(self, movie_id: int, params: Params) -> Call[Json]:
        """Plan the films that TMDB recommends to those who liked this one."""
        return self.read(reads.RECOMMENDATIONS, {"movie_id": movie_id}, params)

    def configuration(self) -> Call[Json]:
        """Plan TMDB's configuration of images."""
        return self.read(reads.CONFIGURATION)

    def _request(self, target: str, text: str) -> requests.PreparedRequest:
        credential = urlencode(self._credential.query())
        query = "&".join(part for part in (text, credential) if part)
        return prepared(
            "GET",
            f"{self._base_url}{target}" + (f"?{query}" if query else ""),
            {
                "Accept": "application/json",
                "Accept-Encoding": "gzip",
                "X-Request-ID": context.current().request_id,
                **self._credential.headers(),
            },
        )


def _sent(row: Read, params: dict[str, str]) -> dict[str, str]:
    """Return the parameters that go to TMDB."""
    if not row.region:
        params.pop("region", None)  # TMDB's answer does not depend on it
    if row.name == "images":
        # A language filters pictures as well; those without text are always wanted.
        spoken = params.get("language", "en").split("-")[0]
        params["include_image_language"] = f"{spoken},null"
    if row.append:
        params["append_to_response"] = ",".join(row.append)
    return params


def _what(path: Mapping[str, object]) -> str:
    parts = [f"{name.removesuffix('_id')} {value}" for name, value in path.items()]
    return " ".join(parts).replace("movie", "film") or "answer"
