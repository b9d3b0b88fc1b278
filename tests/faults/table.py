"""What fails, and what the caller sees: the data that the fault tests and the README are made of.

Standard library only, so that `scripts/failure_table.py` needs nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

RETRY_AFTER_S = 7  # what the upstreams of the tests ask for, with 429 and with 503
OPEN_S = 60  # how long a circuit stays open
NOT_FOUND = "not_found"  # in place of a reason: the answer is "there is no such thing"


@dataclass(frozen=True)
class Fault:
    """One way to fail.

    `reason` is the word in `sections`, `status` that of a page that cannot do
    without the answer, `retry_after` what both say about asking again.
    `attempts` is how often a GET goes out. `scope` is what one such fault takes
    along: the `call`, all calls of its `circuit`, or all of its `upstream`.
    """

    name: str
    words: str
    reason: str
    status: int
    retry_after: int | None = None
    attempts: int = 1
    scope: str = "call"

    @property
    def is_slow(self) -> bool:
        """Whether it is known only when the time is over."""
        return self.reason == "timeout"


FAULTS = (
    Fault("refused", "connection refused", "unreachable", 502, attempts=2),
    Fault("reset", "connection reset in the middle", "unreachable", 502, attempts=2),
    Fault("timeout", "no answer in time", "timeout", 504),
    Fault("hang", "hangs after the headers", "timeout", 504),
    Fault("slow_body", "body comes byte by byte", "timeout", 504),
    Fault("500", "500", "upstream_error", 502),
    Fault("503", "503 with `Retry-After`", "upstream_error", 502, RETRY_AFTER_S),
    Fault("truncated", "JSON that breaks off", "bad_response", 502),
    Fault("html", "HTML with 200", "bad_response", 502),
    Fault("wrong_types", "JSON of wrong types", "bad_response", 502),
    Fault("404", "404 where there must be an answer", "bad_response", 502),
    Fault("429", "429", "rate_limited", 503, RETRY_AFTER_S),
    Fault("open", "circuit open", "circuit_open", 503, OPEN_S, attempts=0, scope="circuit"),
    Fault("full", "bulkhead full", "saturated", 503, 1, attempts=0, scope="upstream"),
)


@dataclass(frozen=True)
class Call:
    """An upstream call of a page.

    `path` is a pattern (fnmatch) of what the upstream sees. `nulls` are the
    fields of the page that are null without it; `a.b` is b in a, `a[].b` is b
    in each of a. `names` is true where the path names a film, so that 404 says
    that there is none. `feeds` are sections that are made of this one as well:
    name -> whether they cannot be had without it. `ahead` is how many calls of
    the page to TMDB go out before the answer of this one.
    """

    section: str
    upstream: str
    circuit: str
    path: str
    required: bool = False
    nulls: tuple[str, ...] = ()
    names: bool = False
    feeds: tuple[tuple[str, bool], ...] = ()
    copies: int = 1
    ahead: int = 1
    stage: int = 1


@dataclass(frozen=True)
class Page:
    """One page: its address, and the upstream calls that it is made of."""

    name: str
    url: str
    calls: tuple[Call, ...]
    title: str = ""


def _users(section: str, *nulls: str, feeds: tuple[tuple[str, bool], ...] = ()) -> Call:
    return Call(section, "users", section, f"/{section}", nulls=nulls, feeds=feeds, ahead=0)


def _liked(*lists: str) -> tuple[str, ...]:
    return tuple(f"{name}[].{mark}" for name in lists for mark in ("is_favorite", "user_rating"))


def _planned(*lists: str) -> tuple[str, ...]:
    return tuple(f"{name}[].is_in_watchlist" for name in lists)


_NEIGHBOURS = ("similar_movies", "recommended_movies")
_LISTS = ("popular_movies", "trending_movies")

PAGES = (
    Page(
        "feed",
        "/api/dashboard/feed",
        (
            Call("movies", "tmdb", "lists", "/3/movie/popular", required=True),
            _users("favorites", "favorites_count", *_liked("movies")),
            _users("watchlist", "watchlist_count", *_planned("movies")),
        ),
    ),
    Page(
        "movie",
        "/api/dashboard/movie/550/enriched",
        (
            Call("movie", "tmdb", "details", "/3/movie/550", required=True, names=True),
            _users(
                *("favorites", "user_data.is_favorite", "user_data.user_rating"),
                *("user_data.added_to_favorites_date", *_liked(*_NEIGHBOURS)),
            ),
            _users(
                *("watchlist", "user_data.is_in_watchlist", "user_data.added_to_watchlist_date"),
                *_planned(*_NEIGHBOURS),
            ),
            _users("history", "user_data.watched_date", "user_data.progress"),
        ),
        "movie/{id}/enriched",
    ),
    Page(
        "complete",
        "/api/dashboard/complete",
        (
            Call(
                *("popular", "tmdb", "lists", "/3/movie/popular"),
                nulls=("popular_movies", "page", "total_pages"),
                ahead=2,
            ),
            Call(
                *("trending", "tmdb", "lists", "/3/trending/movie/week"),
                nulls=("trending_movies",),
                ahead=2,
            ),
            Call(
                *("recommended", "tmdb", "details", "/3/movie/*/recommendations"),
                nulls=("recommended_for_you",),
                names=True,
                copies=3,
                stage=2,
                ahead=5,
            ),
            _users(
                *("favorites", "stats.total_favorites", "stats.avg_rating"),
                *("stats.favorite_genres", *_liked(*_LISTS, "continue_watching")),
                feeds=(("recommended", True),),
            ),
            _users(
                *("watchlist", "stats.total_watchlist"),
                *_planned(*_LISTS, "recommended_for_you", "continue_watching"),
                feeds=(("recommended", False),),
            ),
            _users(
                *("history", "continue_watching", "stats.movies_watched"),
                feeds=(("recommended", False),),
            ),
        ),
    ),
    Page(
        "search",
        "/api/dashboard/search/enriched?query=fight",
        (
            Call("results", "tmdb", "search", "/3/search/movie", required=True),
            _users("favorites", *_liked("results")),
            _users("watchlist", *_planned("results")),
        ),
        "search/enriched",
    ),
    Page(
        "popular",
        "/api/movies/popular",
        (Call("answer", "tmdb", "lists", "/3/movie/popular", required=True),),
        "movies/popular and every other read of TMDB",
    ),
)


@dataclass(frozen=True)
class Case:
    """A page, the call of it that fails, how, and whether an old answer is in the cache."""

    page: Page
    call: Call
    fault: Fault
    cached: bool = False

    def __str__(self) -> str:
        cache = "cached" if self.cached else "empty"
        return f"{self.page.name}-{self.call.section}-{self.fault.name}-{cache}"

    @property
    def reason(self) -> str:
        """What becomes of the call: a reason of `sections`, or `NOT_FOUND`."""
        missing = self.fault.name == "404" and self.call.names
        return NOT_FOUND if missing else self.fault.reason

    def hit(self) -> list[Call]:
        """Return the calls that fail with it, in the order of the page."""
        return [call for call in self.page.calls if self._fails(call)]

    def _fails(self, call: Call) -> bool:
        failing, scope = self.call, self.fault.scope
        if call is failing:
            return True
        if call.upstream != failing.upstream:
            return False
        if self.fault.name == "429" and call.upstream == "tmdb":
            # All calls to TMDB wait from then on; those of the same stage are out already.
            return call.stage > failing.stage
        return scope == "upstream" or (scope == "circuit" and call.circuit == failing.circuit)


CASES = [
    Case(page, call, fault, cached)
    for page in PAGES
    for call in page.calls
    for cached in (False, True)
    if not cached or call.upstream == "tmdb"  # of the others nothing old is kept
    for fault in FAULTS
]
