"""The sample data that a new database holds and a reset gives back. Film facts from TMDB."""

from __future__ import annotations

import datetime as dt
from typing import Any

DEMO_USER = "demo-user-123"

_DRAMA = {"id": 18, "name": "Drama"}
_ACTION = {"id": 28, "name": "Action"}
_CRIME = {"id": 80, "name": "Crime"}
_THRILLER = {"id": 53, "name": "Thriller"}

FAVORITES: list[dict[str, Any]] = [
    {
        "movie_id": 550,
        "title": "Fight Club",
        "poster_path": "/pB8BM7pdSp6B6Ih7QZ4DrQ3PmJK.jpg",
        "release_date": dt.date(1999, 10, 15),
        "genres": [_DRAMA],
        "rating": 5,
    },
    {
        "movie_id": 155,
        "title": "The Dark Knight",
        "poster_path": "/qJ2tW6WMUDux911r6m7haRef0WH.jpg",
        "release_date": dt.date(2008, 7, 16),
        "genres": [_DRAMA, _ACTION, _CRIME, _THRILLER],
        "rating": 5,
    },
    {
        "movie_id": 13,
        "title": "Forrest Gump",
        "poster_path": "/arw2vcBveWOVZr6pxd9XTd1TdQa.jpg",
        "release_date": dt.date(1994, 7, 6),
        "genres": [{"id": 35, "name": "Comedy"}, _DRAMA, {"id": 10749, "name": "Romance"}],
        "rating": 4,
    },
]

WATCHLIST: list[dict[str, Any]] = [
    {
        "movie_id": 680,
        "title": "Pulp Fiction",
        "poster_path": "/d5iIlFn5s0ImszYzBPb8JPIfbXD.jpg",
        "release_date": dt.date(1994, 9, 10),
        "genres": [_THRILLER, _CRIME],
    },
    {
        "movie_id": 27205,
        "title": "Inception",
        "poster_path": "/ljsZTbVsrQSqZgWeep2B1QiDKuh.jpg",
        "release_date": dt.date(2010, 7, 14),
        "genres": [
            _ACTION,
            _THRILLER,
            {"id": 878, "name": "Science Fiction"},
            {"id": 9648, "name": "Mystery"},
            {"id": 12, "name": "Adventure"},
        ],
    },
]
