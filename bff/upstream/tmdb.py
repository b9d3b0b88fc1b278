"""The TMDB client: every read of the table `bff.reads`, through cache and guard."""

from __future__ import annotations

import re
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import urlencode

import orjson

from bff import context, reads
from bff.errors import BadResponse, NotFound
from bff.model import Call, Ok
from bff.reads import Read
from bff.schemas.base import AnswerSchema, Malformed
from bff.schemas.reading import reader
from bff.steps import Steps, Task
from bff.upstream.cache import Cache, Loaded, Request
from bff.upstream.direct import DirectCall
from bff.upstream.guard import Guard, Reply
from bff.upstream.session import prepared

NAME = "tmdb"
KNOWN_PLANS = 256
Params = Mapping[str, str]


def decode(schema: type[AnswerSchema], upstream: str, body: bytes) -> dict[str, Any]:
    """Read a body by `schema`; raise `BadResponse` where it is something else."""
    try:
        return reader(schema)(orjson.loads(body))
    except orjson.JSONDecodeError as error:
        raise BadResponse(upstream, "not JSON") from error
    except Malformed as error:
        raise BadResponse(upstream, f"not a {schema.__name__}: {error}") from error


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
    request: Request[dict[str, Any]]

    @property
    def upstream(self) -> str:
        """Name of the upstream that is asked."""
        return self.request.upstream

    def peek(self) -> Ok[dict[str, Any]] | None:
        """Return what is in memory and may be served, or None."""
        return self.cache.peek(self.request)

    def start(self) -> Future[Any]:
        """Join whoever asks for the same already, or have a thread of the pool ask."""
        return self.cache.start(self.request)

    def here(self, *, last: bool) -> Task[Any] | None:
        """Return the call as a task for this thread, if nobody asks for the same."""
        return self.cache.here(self.request, last=last)

    def finish(self, future: Future[Any]) -> Ok[dict[str, Any]]:
        """Return the answer, or an old one in place of a failure; or raise."""
        return self.cache.finish(self.request, future)


class TmdbClient:
    """Plans calls to TMDB. Thread-safe; lives as long as the app.

    `ttl_s` is the time that a list stays fresh; each row of the table has its
    multiple of it. Without a `cache` every call goes out.
    """

    def __init__(
        self, base_url: str, credential: Credential, guard: Guard, cache: Cache | None, ttl_s: int
    ) -> None:
        self.guard, self.cache = guard, cache
        self._base_url, self._credential, self._ttl_s = base_url, credential, ttl_s
        self._planned = lru_cache(KNOWN_PLANS)(self._plan)

    def read(
        self, row: Read, path: Mapping[str, object] | None = None, params: Params | None = None
    ) -> Call[dict[str, Any]]:
        """Plan a read of the table; `path` fills the braces of its path.

        A plan holds nothing of the request, so the same question has the same
        plan, which is made once.
        """
        return self._planned(row.name, tuple((path or {}).items()), tuple((params or {}).items()))

    def _plan(
        self, name: str, path: tuple[tuple[str, object], ...], params: tuple[tuple[str, str], ...]
    ) -> Call[dict[str, Any]]:
        row = reads.BY_NAME[name]
        known = dict(params)
        if not row.region:
            known.pop("region", None)  # TMDB's answer does not depend on it
        if row.name == "images":
            # A language filters pictures as well; those without text are always wanted.
            spoken = known.get("language", "en").split("-")[0]
            known["include_image_language"] = f"{spoken},null"
        if row.append:
            known["append_to_response"] = ",".join(row.append)
        target = row.path.format(**dict(path))
        what = _what(dict(path))
        request = Request(
            key=f"{row.name} {target}?{urlencode(sorted(known.items()))}",
            upstream=NAME,
            operation=row.name,
            what=what,
            load=lambda: self._loading(row, target, known, what),
            decode=lambda body: decode(row.schema, NAME, body),
        )
        if self.cache is None:
            return DirectCall(self.guard, lambda: self._asking(row, target, known, what))
        return CachedCall(self.cache, request)

    def popular(self, params: Params) -> Call[dict[str, Any]]:
        """Plan the popular films."""
        return self.read(reads.POPULAR, params=params)

    def trending(self, params: Params) -> Call[dict[str, Any]]:
        """Plan the films that trend this week."""
        return self.read(reads.TRENDING, {"window": "week"}, params)

    def search(self, params: Params) -> Call[dict[str, Any]]:
        """Plan a search for films; `params` has the `query`."""
        return self.read(reads.SEARCH_MOVIES, params=params)

    def movie(self, movie_id: int) -> Call[dict[str, Any]]:
        """Plan a film's details."""
        return self.read(reads.MOVIE, {"movie_id": movie_id})

    def enriched(self, movie_id: int, params: Params) -> Call[dict[str, Any]]:
        """Plan a film's details with credits, reviews, similar and recommended films."""
        return self.read(reads.ENRICHED, {"movie_id": movie_id}, params)

    def recommendations(self, movie_id: int, params: Params) -> Call[dict[str, Any]]:
        """Plan the films that TMDB recommends to those who liked this one."""
        return self.read(reads.RECOMMENDATIONS, {"movie_id": movie_id}, params)

    def configuration(self) -> Call[dict[str, Any]]:
        """Plan TMDB's configuration of images."""
        return self.read(reads.CONFIGURATION)

    def _asking(self, row: Read, target: str, known: Params, what: str) -> Steps[dict[str, Any]]:
        loaded = yield from self._loading(row, target, known, what)
        return loaded.value

    def _loading(
        self, row: Read, target: str, known: Params, what: str
    ) -> Steps[Loaded[dict[str, Any]]]:
        ttl_s = float(self._ttl_s * row.ttl)
        # A list is always there: 404 in its place is a wrong address or an ailing upstream.
        names_a_thing = "_id}" in row.path

        def checked(reply: Reply) -> Loaded[dict[str, Any]]:
            if reply.status == 404 and names_a_thing:
                raise NotFound(NAME, what)
            if reply.status != 200:
                raise BadResponse(NAME, f"status {reply.status}")
            value = decode(row.schema, NAME, reply.body)  # garbage counts against the upstream
            return Loaded(reply.body, value, min(ttl_s, _max_age_s(reply.headers, ttl_s)))

        query = urlencode({**known, **self._credential.query()})
        request = prepared(
            "GET",
            f"{self._base_url}{target}?{query}",
            {
                "Accept": "application/json",
                "Accept-Encoding": "gzip",
                "X-Request-ID": context.current().request_id,
                **self._credential.headers(),
            },
        )
        return (yield from self.guard.sending(row.operation, request, checked))


def _what(path: Mapping[str, object]) -> str:
    parts = [f"{name.removesuffix('_id')} {value}" for name, value in path.items()]
    return " ".join(parts).replace("movie", "film") or "answer"


_MAX_AGE = re.compile(r"max-age=(\d{1,9})", re.ASCII)
# TMDB counts max-age down to 0 on its own caches; an answer of ours lives this long at least,
# or a popular list would be asked for on every request in its last seconds.
LEAST_TTL_S = 30.0


def _max_age_s(headers: Mapping[str, str], otherwise: float) -> float:
    found = _MAX_AGE.search(headers.get("Cache-Control", ""))
    return max(LEAST_TTL_S, float(found[1])) if found else otherwise
