"""Everything the routes answer from, built once from one catalogue."""

from __future__ import annotations

from functools import cached_property

from tmdb_stub.blocks import MovieBlocks
from tmdb_stub.catalogue import Catalogue, Collection, Film, Person
from tmdb_stub.lists import Lists
from tmdb_stub.posters import Pictures
from tmdb_stub.related import Related
from tmdb_stub.search import SearchIndex
from tmdb_stub.shapes import Shapes


class Stub:
    """The catalogue and what is derived from it. Holds no state of a request; safe to share."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.lists = Lists(catalogue)
        self.related = Related(catalogue)
        self.shapes = Shapes(catalogue)
        self.blocks = MovieBlocks(self.shapes, self.related)

    def warm(self) -> None:
        """Build what is otherwise built at the first question, so that no request waits for it."""
        self.film_index.find("warm")
        self.person_index.find("warm")
        self.related.warm()
        self.lists.warm()
        self.pictures.find("original", "/warm")

    @cached_property
    def pictures(self) -> Pictures:
        """What each image path shows."""
        return Pictures(self.catalogue)

    @cached_property
    def film_index(self) -> SearchIndex[Film]:
        """Films by title and original title."""
        return SearchIndex(self.catalogue.films, lambda film: (film.title, film.original_title))

    @cached_property
    def person_index(self) -> SearchIndex[Person]:
        """People by name."""
        return SearchIndex(self.catalogue.people_by_popularity, lambda person: (person.name,))

    @cached_property
    def collection_index(self) -> SearchIndex[Collection]:
        """Series of films by name."""
        series = sorted(
            self.catalogue.collections.values(),
            key=lambda item: -max(film.popularity for film in item.films),
        )
        return SearchIndex(series, lambda item: (item.name,))

    @cached_property
    def keyword_index(self) -> SearchIndex[tuple[int, str]]:
        """Keywords (id, name) by name."""
        return SearchIndex(sorted(self.catalogue.keywords.items()), lambda item: (item[1],))

    @cached_property
    def company_index(self) -> SearchIndex[tuple[int, str]]:
        """Companies (id, name) by name."""
        return SearchIndex(sorted(self.catalogue.companies.items()), lambda item: (item[1],))
