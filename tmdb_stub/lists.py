"""The order of TMDB's lists: popular, top rated, now playing, upcoming, trending, latest.

The catalogue does not grow, so its lists do not look at the clock. Its `today` lies nine weeks
before its newest film: what comes out later is upcoming, the thirteen weeks before are playing
now. TMDB's own windows are about four and six weeks; ours are wider because the catalogue holds
fewer films of each week, and a list should have more than one page.
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import cached_property

from tmdb_stub.catalogue import Catalogue, Film, Person
from tmdb_stub.ids import draw

UPCOMING_DAYS = 63
NOW_PLAYING_DAYS = 91
# Where the average of a film with few votes is pulled to, and by how many votes.
_USUAL_AVERAGE = 6.5
_USUAL_VOTES = 500


class Lists:
    """Ordered lists over one catalogue. Safe for every thread."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._newest = date.fromisoformat(catalogue.newest_release)
        self.today = self._newest - timedelta(days=UPCOMING_DAYS)

    def warm(self) -> None:
        """Sort the long lists now instead of at the first question."""
        _ = self.popular, self.top_rated, self.trending, self.trending_people

    @cached_property
    def popular(self) -> list[Film]:
        """Every film, the most popular first."""
        return [film for film in self._catalogue.films if not film.video]

    @cached_property
    def top_rated(self) -> list[Film]:
        """Films with at least 200 votes by weighted average, so that few votes do not win."""
        films = [film for film in self.popular if film.vote_count >= 200]
        return sorted(films, key=lambda film: (-weighted_average(film), film.id))

    @property
    def now_playing_dates(self) -> dict[str, str]:
        """First and last release date of `now_playing`."""
        first = self.today - timedelta(days=NOW_PLAYING_DAYS)
        return {"maximum": self.today.isoformat(), "minimum": first.isoformat()}

    @property
    def upcoming_dates(self) -> dict[str, str]:
        """First and last release date of `upcoming`."""
        first = self.today + timedelta(days=1)
        return {"maximum": self._newest.isoformat(), "minimum": first.isoformat()}

    @cached_property
    def now_playing(self) -> list[Film]:
        """Films released in the last weeks of the catalogue, the most popular first."""
        return self._released(self.now_playing_dates)

    @cached_property
    def upcoming(self) -> list[Film]:
        """Films that come out after the `today` of the catalogue, the most popular first."""
        return self._released(self.upcoming_dates)

    @cached_property
    def latest(self) -> Film:
        """The film that TMDB added last: the one with the highest id."""
        return max(self._catalogue.films, key=lambda film: film.id)

    @cached_property
    def trending(self) -> dict[str, list[Film]]:
        """Films by `day` and `week`: popular ones, recent ones more so, with a little change."""
        return {window: self._trending(window) for window in ("day", "week")}

    @cached_property
    def trending_people(self) -> dict[str, list[Person]]:
        """People by `day` and `week`, like `trending`."""
        people = self._catalogue.people_by_popularity
        return {
            window: sorted(people, key=lambda p: (-p.popularity * _mood(window, p.id), p.id))
            for window in ("day", "week")
        }

    def _released(self, dates: dict[str, str]) -> list[Film]:
        low, high = dates["minimum"], dates["maximum"]
        return [film for film in self.popular if low <= film.release_date <= high]

    def _trending(self, window: str) -> list[Film]:
        def heat(film: Film) -> float:
            return film.popularity * _mood(window, film.id) * self._recency(film)

        return sorted(self.popular, key=lambda film: (-heat(film), film.id))

    def _recency(self, film: Film) -> float:
        """Return 1 for a film of today, a half for one of a year ago, down to a fifth."""
        if not film.release_date:
            return 0.2
        age_days = abs((self.today - date.fromisoformat(film.release_date)).days)
        return max(0.2, 1 / (1 + age_days / 365))


def _mood(window: str, number: int) -> float:
    """Return a fixed factor between 0.75 and 1.25, so that the windows differ."""
    return 0.75 + draw("trending", window, number) % 1000 / 2000


def weighted_average(film: Film) -> float:
    """Return the average of the votes, pulled to the usual one where there are few."""
    votes = film.vote_count
    return (votes * film.vote_average + _USUAL_VOTES * _USUAL_AVERAGE) / (votes + _USUAL_VOTES)
