"""bff/pages/marks.py and library.py: what the user did with a film."""

from __future__ import annotations

from bff.model import Failed, Ok, Reason
from bff.pages import library
from bff.pages.marks import Marks
from tests.bff.pages.outcomes import FAVORITES, WATCHLIST, Json, entry, whole_film


def test_marks_when_the_favourites_are_empty_then_a_film_is_none_of_them() -> None:
    """An empty list is known: false and 0, not null."""
    nothing: Json = {"favorites": [], "watchlist": [], "total": 0}
    marks = Marks.of(Ok(nothing), Ok(nothing))

    assert marks.on(1) == {"is_favorite": False, "is_in_watchlist": False, "user_rating": None}
    assert (marks.favorites_count, marks.watchlist_count) == (0, 0)


def test_marks_when_a_list_is_unknown_then_its_marks_are_null() -> None:
    """Unknown is not false, and its count is not 0."""
    late = Failed("users", Reason.TIMEOUT)
    liked, planned = Marks.of(Ok(FAVORITES), late), Marks.of(late, Ok(WATCHLIST))

    assert liked.on(1) == {"is_favorite": True, "is_in_watchlist": None, "user_rating": 4}
    assert planned.on(2) == {"is_favorite": None, "is_in_watchlist": True, "user_rating": None}
    assert (liked.watchlist_count, planned.favorites_count) == (None, None)


def test_entry_when_the_caller_gives_something_then_it_wins_and_null_does_not() -> None:
    """What the body leaves out, or gives as null, is TMDB's."""
    found = {**whole_film(), "poster_path": "/tmdb.jpg"}

    made = library.entry({"movie_id": 550, "title": "Mine", "poster_path": None}, found)

    assert made == {
        "movie_id": 550,
        "title": "Mine",
        "poster_path": "/tmdb.jpg",
        "release_date": None,
        "genres": [],
    }


def test_find_when_the_film_is_not_there_then_it_is_none() -> None:
    """An entry is found by its film."""
    assert library.find([entry(1), entry(2)], 2) == entry(2)
    assert library.find([entry(1)], 2) is None
