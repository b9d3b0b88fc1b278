"""bff/pages/recommended.py: which favourites lead, and how their lists come together."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bff.pages.recommended import BEST, LATEST, merge, seeds, trending

Json = dict[str, Any]


def liked(number: int, rating: int | None = None, added: str | None = None) -> Json:
    """Return a favourite."""
    return {"movie_id": number, "title": f"F{number}", "rating": rating, "added_date": added}


def films(*numbers: int) -> list[Json]:
    """Return films."""
    return [{"id": number} for number in numbers]


FAVORITES = st.lists(
    st.builds(
        liked,
        st.integers(1, 12),
        st.none() | st.integers(1, 5),
        st.none() | st.sampled_from(["2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"]),
    ),
    unique_by=lambda item: item["movie_id"],
    max_size=12,
)
LISTS = st.dictionaries(
    st.integers(1, 12),
    st.lists(st.integers(1, 40), unique=True, max_size=8).map(lambda found: films(*found)),
    max_size=5,
)


@settings(max_examples=40, deadline=None, database=None)
@given(FAVORITES)
def test_seeds_when_there_are_favourites_then_few_lead_and_none_twice(
    favorites: list[Json],
) -> None:
    """At most five; no favourite that is left out has more stars than one of the best."""
    found = seeds(favorites)

    numbers = [item["movie_id"] for item in found]
    assert len(numbers) == len(set(numbers)) == min(len(favorites), BEST + LATEST)
    best, latest = found[:BEST], found[BEST:]
    others = [item for item in favorites if item not in best]
    assert all((a["rating"] or 0) >= (b["rating"] or 0) for a in best for b in others)
    left = [item for item in others if item not in latest]
    assert all((a["added_date"] or "") >= (b["added_date"] or "") for a in latest for b in left)


def test_seeds_when_stars_are_equal_then_the_later_favourite_leads() -> None:
    """A taste of today counts more than one of last year."""
    favorites = [liked(number, 5, f"2026-01-0{number}T00:00:00Z") for number in (1, 2, 3, 4)]

    assert [item["movie_id"] for item in seeds(favorites)] == [4, 3, 2, 1]


@settings(max_examples=50, deadline=None, database=None)
@given(LISTS, FAVORITES, st.sets(st.integers(1, 40), max_size=10))
def test_merge_when_lists_come_together_then_each_film_is_once_and_has_its_reason(
    lists: dict[int, list[Json]], favorites: list[Json], without: set[int]
) -> None:
    """Nothing is lost, doubled or shown that is to be left out; `because` is true."""
    merged = merge(lists, favorites, without)

    leading = {item["movie_id"] for item in favorites}
    places = {key: [film["id"] for film in lists[key]] for key in lists if key in leading}
    numbers = [film["id"] for film in merged]
    assert len(numbers) == len(set(numbers))
    assert set(numbers) == {number for found in places.values() for number in found} - without
    for film in merged:
        ranks = {
            key: found.index(film["id"]) for key, found in places.items() if film["id"] in found
        }
        assert ranks[film["because"]["id"]] == min(ranks.values())
        assert film["because"]["title"] == f"F{film['because']['id']}"


def test_merge_when_two_favourites_agree_then_the_film_comes_before_each_first_place() -> None:
    """Two second places beat one first place."""
    merged = merge({1: films(10, 30), 2: films(20, 30)}, [liked(1), liked(2)], set())

    assert [film["id"] for film in merged] == [30, 10, 20]


def test_merge_when_it_is_repeated_then_the_order_is_the_same() -> None:
    """Equal scores are ordered by number, so that a reload shuffles nothing."""
    lists = {1: films(9, 8), 2: films(7, 6)}

    for order in ([liked(1), liked(2)], [liked(2), liked(1)]):
        assert [film["id"] for film in merge(lists, order, set())] == [7, 9, 6, 8]


def test_trending_when_it_stands_in_then_it_is_labelled_and_leaves_out_what_is_known() -> None:
    """The label says that no favourite led to it."""
    (found,) = trending(films(1, 2), {1})

    assert found == {"id": 2, "because": {"kind": "trending", "id": None, "title": None}}
