"""The complete dashboard: popular, trending, recommended, begun films and the user's numbers."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from bff.model import Failed, Ok, Outcome, Outcomes, Plan
from bff.pages import recommended
from bff.pages.marks import Marks
from bff.pages.sections import optional, required, section, sections

if TYPE_CHECKING:
    from bff.upstream.tmdb import Params, TmdbClient
    from bff.upstream.users import UserClient

Json = dict[str, Any]

SHOWN = 12
GENRES = 5
FINISHED = 0.95  # from here on a film counts as watched
BEGUN = ("title", "poster_path", "release_date", "progress", "updated_date")


def plan(tmdb: TmdbClient, users: UserClient, user: str, params: Params) -> Plan:
    """Name the calls of the first stage; `params`: page, language, region."""
    return {
        "popular": tmdb.popular(params),
        "trending": tmdb.trending(_unpaged(params)),
        "favorites": users.favorites(user),
        "watchlist": users.watchlist(user),
        "history": users.history(user),
    }


def plan_recommended(tmdb: TmdbClient, outcomes: Outcomes, params: Params) -> Plan:
    """Name the calls that follow from the favourites; none where they are unknown or empty."""
    seeds = recommended.seeds(_items(outcomes, "favorites") or [])
    numbers = [seed["movie_id"] for seed in seeds]
    return {str(each): tmdb.recommendations(each, _unpaged(params)) for each in numbers}


def _unpaged(params: Params) -> Params:
    return {name: value for name, value in params.items() if name != "page"}


def assemble(outcomes: Outcomes, recommendations: Outcomes) -> Json:
    """Return the dashboard; raise where not a single section could be had."""
    picked = _recommended(outcomes, recommendations)
    said = sections({**outcomes, "recommended": picked})
    if all(part["status"] == "unavailable" for part in said.values()):
        required(outcomes["popular"])
    said["recommended"] = _with_reason(said["recommended"], outcomes, recommendations)
    popular = optional(outcomes["popular"])
    marks = Marks.of(outcomes["favorites"], outcomes["watchlist"])
    return {
        "popular_movies": marks.shown(outcomes["popular"], SHOWN),
        "trending_movies": marks.shown(outcomes["trending"], SHOWN),
        "recommended_for_you": marks.marked(optional(picked)),
        "continue_watching": marks.marked(_begun(outcomes)),
        "stats": _stats(outcomes),
        "page": popular and popular["page"],
        "total_pages": popular and popular["total_pages"],
        "sections": said,
    }


def _items(outcomes: Outcomes, name: str) -> list[Json] | None:
    """Return the entries of one of the user's lists, or None where it is unknown."""
    known = optional(outcomes[name])
    return None if known is None else known[name]


def _recommended(outcomes: Outcomes, recommendations: Outcomes) -> Outcome[list[Json]]:
    """Return the recommended films as an outcome of their own.

    Without favourites: the trending films. With favourites of which TMDB can
    say nothing: what stands in the way.
    """
    favorites = outcomes["favorites"]
    if not isinstance(favorites, Ok):
        return favorites
    liked = favorites.value["favorites"]
    without = _known_films(outcomes)
    answers = {int(key): one for key, one in recommendations.items() if isinstance(one, Ok)}
    lists = {number: answer.value["results"] for number, answer in answers.items()}
    failures = [one for one in recommendations.values() if isinstance(one, Failed)]
    if failures and not answers:
        return failures[0]
    films = recommended.merge(lists, recommended.seeds(liked), without)
    if films:
        return _oldest(list(answers.values()), films[:SHOWN])
    trending = outcomes["trending"]
    if not isinstance(trending, Ok):
        return trending
    label = recommended.trending(trending.value["results"], without)[:SHOWN]
    return Ok(label, trending.age_s, trending.fresh_s, trending.stale_because)


def _oldest(answers: list[Ok[Any]], films: list[Json]) -> Ok[list[Json]]:
    """Return films that are as old as the oldest answer they were made from."""
    stale = [answer for answer in answers if answer.stale_because]
    oldest = max(stale or answers, key=lambda answer: answer.age_s)
    fresh_s = min(answer.fresh_s for answer in answers)
    return Ok(films, oldest.age_s, fresh_s, oldest.stale_because)


def _with_reason(part: Json, outcomes: Outcomes, recommendations: Outcomes) -> Json:
    """Say why a section that is `ok` is not all it could be: one of its sources failed."""
    sources = [*recommendations.values(), outcomes["watchlist"], outcomes["history"]]
    failed = [source for source in sources if isinstance(source, Failed)]
    if part["status"] != "ok" or not failed:
        return part
    told = section(failed[0])
    return {**part, "reason": told["reason"], "retry_after": told["retry_after"]}


def _known_films(outcomes: Outcomes) -> set[int]:
    """Return the films that the user has or has begun, as far as is known."""
    lists = (_items(outcomes, name) or [] for name in ("favorites", "watchlist", "history"))
    return {item["movie_id"] for items in lists for item in items}


def _begun(outcomes: Outcomes) -> list[Json] | None:
    """Return the films that the user has begun and not finished, latest first."""
    history = _items(outcomes, "history")
    if history is None:
        return None
    begun = [item for item in history if 0 < item["progress"] < FINISHED]
    begun.sort(key=lambda item: item["updated_date"] or "", reverse=True)
    return [
        {
            "id": item["movie_id"],
            "genre_ids": [genre["id"] for genre in item["genres"]],
            **{name: item[name] for name in BEGUN},
        }
        for item in begun[:SHOWN]
    ]


def _stats(outcomes: Outcomes) -> Json:
    """Return the user's numbers; None for what the user service could not say."""
    favorites, watchlist = _items(outcomes, "favorites"), _items(outcomes, "watchlist")
    history = _items(outcomes, "history")
    return {
        "total_favorites": None if favorites is None else len(favorites),
        "total_watchlist": None if watchlist is None else len(watchlist),
        "movies_watched": None if history is None else sum(map(_watched, history)),
        "avg_rating": None if favorites is None else _mean_rating(favorites),
        "favorite_genres": None if favorites is None else _favorite_genres(favorites),
    }


def _watched(item: Json) -> bool:
    return item["watched_date"] is not None or item["progress"] >= FINISHED


def _mean_rating(favorites: list[Json]) -> float | None:
    ratings = [item["rating"] for item in favorites if item["rating"] is not None]
    return round(sum(ratings) / len(ratings), 2) if ratings else None


def _favorite_genres(favorites: list[Json]) -> list[Json]:
    names = {genre["id"]: genre["name"] for item in favorites for genre in item["genres"]}
    counts = Counter(genre["id"] for item in favorites for genre in item["genres"])
    order = sorted(counts, key=lambda number: (-counts[number], names[number]))
    return [
        {"id": number, "name": names[number], "count": counts[number]} for number in order[:GENRES]
    ]
