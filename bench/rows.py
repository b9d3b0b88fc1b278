"""The rows of the table: which server is asked for what, and how dear it may be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.servers import RECORDED_PAGES, token

FEED, COMPLETE = "/api/dashboard/feed", "/api/dashboard/complete"
FILM = "/api/dashboard/movie/{film}/enriched"
COLD = FEED + "?page={page}&language={language}&region={region}"
LANGUAGES = ("en", "de", "fr", "es", "it", "pt", "nl", "sv", "da", "fi", "pl", "cs", "ja", "ko")
REGIONS = ("US", "DE", "FR", "ES", "IT", "PT", "NL", "SE", "DK", "FI", "PL", "CZ", "JP", "KR")
KINDS = len(LANGUAGES) * len(REGIONS)


@dataclass(frozen=True)
class Row:
    """One line of the table: a server, as named in `Servers.get`, and what it is asked for.

    From request to request differ `{film}`, `{page}`, `{language}` and `{region}` in `path`, and
    `{n}` in `user`. A user `library-1000` has so many entries; without one nobody is signed in.
    """

    name: str
    server: str
    path: str = FEED
    at_most: float | None = None  # CPU, times that of the bare route
    user: str = ""
    different: int | None = 1  # so many requests, over and over; None: none is made twice
    revalidates: bool = False

    def requests(self, films: Sequence[int], first: int, count: int) -> Iterator[str]:
        """Yield the requests from number `first` on, as `wrk.lua` reads them."""
        for n in range(first, first + (self.different or count)):
            if n >= KINDS * RECORDED_PAGES:
                raise SystemExit(f"{self.name}: fewer --rounds or --seconds, no page is left")
            path = self.path.format(
                film=films[n % len(films)],
                page=n // KINDS + 1,
                language=LANGUAGES[n % len(LANGUAGES)],
                region=REGIONS[n // len(LANGUAGES) % len(REGIONS)],
            )
            yield f"{path}\t{token(self.user.format(n=n))}" if self.user else path

    @property
    def library(self) -> int | None:
        """Size of the library that must be there before the row is measured."""
        known = self.user.replace("new-{n}", "library-10")  # as bench/nginx.conf has it
        return int(known.removeprefix("library-")) if known else None


BARE = Row("bare Flask route", "bare", "/bare")
WARM = Row("warm feed", "bff", at_most=2.0)
ONE = Row("warm film page", "bff", "/api/dashboard/movie/550/enriched", 2.5)
MANY = Row("warm film pages, 1,000 films in turn", "bff-films", FILM, different=1000)
FASTAPI = Row("FastAPI + httpx, 3 calls", "fastapi")
KEPT = Row("Fastify + undici, TMDB's answer kept, 2 calls", "fastify-cached")

# Rows that are compared stand near each other: the machine changes within a round.
ROWS = (
    BARE,
    WARM,
    Row("warm feed, 304", "bff", at_most=2.0, revalidates=True),
    KEPT,
    FASTAPI,
    Row("Fastify + undici, 3 calls", "fastify"),
    Row("warm complete page", "bff", COMPLETE, 2.5),
    ONE,
    MANY,
    Row("feed of a new user", "bff-cold", FEED, 8, "new-{n}", None),
    Row("cold feed", "bff-cold", COLD, 16, "new-{n}", None),
)
# CPU of the first row, times that of the second, and how much that may be.
COMPARED = (
    ("warm film pages, 1,000 in turn: times one film", MANY, ONE, 1.5),
    ("warm feed: times Fastify with TMDB's answer kept", WARM, KEPT, 1.0),
    ("warm feed: times FastAPI", WARM, FASTAPI, 0.2),
)
