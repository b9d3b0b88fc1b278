"""Answers that TMDB really gave, and the same ones damaged field by field."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from bff.errors import BadResponse
from bff.model import Ok
from bff.pages import movie as movie_page
from bff.reads import CONFIGURATION, ENRICHED, MOVIE, READS, Read
from bff.schemas import library
from bff.schemas.base import AnswerSchema
from bff.schemas.decoding import decode
from tests.api.conftest import MakeClient
from tests.api.openapi import ContractClient, Document, component
from tests.api.upstreams import RECORDED, Upstream


@dataclass(frozen=True)
class Case:
    """A recorded answer and the read that it belongs to."""

    file: str
    row: Read
    numbers: tuple[str, ...]

    @property
    def body(self) -> bytes:
        """The answer."""
        return (RECORDED / self.file).read_bytes()

    @property
    def route(self) -> str:
        """Our path of the read."""
        # An odd number in the manifest stands for any.
        odd = {"0": "1", "{time_window}": "day"}
        places = [odd.get(number, number) for number in self.numbers]
        route = re.sub(r"\{\w+\}", lambda _: places[0], str(self.row.route))
        return route + ("?query=a" if "query" in self.row.query().fields else "")


# Reads that this service does not hand on, though a row of the table has the same pattern.
NOT_OURS = ("/3/movie/latest", "/3/person/popular")
# TMDB's documentation shows an empty object as its example: it is no answer.
NO_ANSWER = "movie-id-recommendations-550__tmdb-openapi-examples.json"


def _pattern(row: Read) -> re.Pattern[str]:
    return re.compile("/3" + re.sub(r"\{\w+\}", r"([^/]+)", row.path))


def _cases() -> list[Case]:
    found = []
    with (RECORDED / "MANIFEST.tsv").open() as manifest:
        for line in csv.DictReader(manifest, delimiter="\t"):
            if line["status"] != "200":
                continue
            path = line["url"].partition("?")[0]
            # Paths without parameters come first, as in the router.
            for row in sorted((*READS, CONFIGURATION), key=lambda row: row.path.count("{")):
                match = _pattern(row).fullmatch(path)
                if match and path not in NOT_OURS:
                    found.append(Case(line["file"], row, match.groups()))
                    break
    return found


CASES = _cases()
RECORDED_ROWS = [row for row in READS if any(case.row is row for case in CASES)]
MOVIE_SHAPED = [case for case in CASES if case.row is not CONFIGURATION and case.file != NO_ANSWER]


def test_cases_when_they_are_matched_to_the_reads_then_hardly_a_read_is_without() -> None:
    """The recorded answers reach the table: the exhaustive tests below are about something."""
    assert len(CASES) >= 90
    assert len(RECORDED_ROWS) >= 19


def test_recorded_when_it_is_read_then_it_is_200_and_as_documented(
    make_client: MakeClient, tmdb: Upstream, subtests: pytest.Subtests
) -> None:
    """Every recorded answer passes; of its entries none is lost that has an id."""
    for case in MOVIE_SHAPED:
        with subtests.test(file=case.file):
            tmdb.answers("*", body=case.body)

            response = make_client().get(case.route)

            assert response.status_code == 200
            raw, read = orjson.loads(case.body), orjson.loads(response.data)
            for name in ("results", "cast", "crew"):
                if isinstance(raw.get(name), list):
                    assert len(read[name]) == len(raw[name])


def test_recorded_when_it_is_a_film_then_the_film_page_shows_it(
    make_client: MakeClient, tmdb: Upstream, subtests: pytest.Subtests
) -> None:
    """Details with any set of blocks make a page."""
    for case in CASES:
        if case.row is not MOVIE:
            continue
        with subtests.test(file=case.file):
            tmdb.answers("*", body=case.body)

            response = make_client().get("/api/dashboard/movie/550/enriched")

            assert response.status_code == 200
            read = orjson.loads(response.data)
            assert read["title"] == orjson.loads(case.body)["title"]


@pytest.mark.parametrize("status", [400, 401, 404, 422, 429, 500, 502, 503, 504])
def test_recorded_when_it_is_an_error_of_tmdbs_then_the_answer_is_documented(
    client: ContractClient, tmdb: Upstream, status: int
) -> None:
    """TMDB's own error bodies, those that come with 200 as well, never become an answer."""
    for file in sorted(RECORDED.glob(f"*_{status}__*.json")):
        for sent in (status, 200):
            tmdb.answers("*", sent, body=file.read_bytes())
            response = client.get(f"/api/movies/550?language=en-{status % 10}{sent % 10}0")
            assert response.status_code in (404, 502, 503), file.name
            tmdb.heals()


DAMAGE: tuple[Any, ...] = (None, "x", -1, [1], {"a": 1})


def places(value: Any, most: int = 2) -> Iterator[tuple[Any, Any]]:
    """Yield (container, key) of each field; of a list only the first `most` items."""
    if isinstance(value, dict):
        for key in list(value):
            yield value, key
            yield from places(value[key], most)
    elif isinstance(value, list):
        for index in range(min(most, len(value))):
            yield value, index
            yield from places(value[index], most)


def shortened(value: Any, most: int = 2) -> Any:
    """Return the value with lists and tables cut to `most` items, so that damage is quick."""
    if isinstance(value, list):
        return [shortened(item, most) for item in value[:most]]
    if isinstance(value, dict):
        countries = len(value) > 8 and all(re.fullmatch("[A-Z]{2}", key) for key in value)
        items = list(value.items())[: most if countries else None]
        return {key: shortened(item, most) for key, item in items}
    return value


def structure(value: Any) -> Any:
    """Return names and types: two answers that have the same break in the same ways."""
    if isinstance(value, dict):
        return tuple(sorted((key, structure(item)) for key, item in value.items()))
    if isinstance(value, list):
        return ("list", *map(structure, value))
    return type(value).__name__


def distinct(row: Read) -> Iterator[Any]:
    """Yield the recorded answers of a read, shortened, one of each structure."""
    known = set()
    for case in CASES:
        if case.row is row:
            whole = shortened(orjson.loads(case.body))
            key = repr(structure(whole))
            if key not in known:
                known.add(key)
                yield whole


def damaged(whole: Any) -> Iterator[bytes]:
    """Yield the answer with each single field deleted, then retyped in every way."""
    for container, key in list(places(whole)):
        kept = container[key]
        if isinstance(container, dict):
            del container[key]
            yield orjson.dumps(whole)
        for value in DAMAGE:
            container[key] = value
            yield orjson.dumps(whole)
        container[key] = kept


def broken(
    document: Document, read: type[AnswerSchema], schema: dict[str, Any], bodies: Iterable[bytes]
) -> tuple[int, list[str]]:
    """Return how many bodies there were, and those that are neither refused nor documented.

    A body is refused as `BadResponse`. Damage often leads to the same: each different answer is
    held against the schema once.
    """
    check, judged, tried, faults = document.validator(schema), set[bytes](), 0, []
    for body in bodies:
        tried += 1
        try:
            value = decode(read, "tmdb", body)
        except BadResponse:
            continue
        sent = orjson.dumps(value)  # what goes out must be JSON as well
        if sent not in judged:
            judged.add(sent)
            if not check.is_valid(orjson.loads(sent)):
                faults.append(f"{document.errors(schema, value)[:3]} of {body[:2000]!r}")
    return tried, faults


@pytest.mark.parametrize("row", RECORDED_ROWS, ids=lambda row: row.name)
def test_damage_when_any_single_field_is_gone_or_retyped_then_the_answer_stays_valid(
    document: Document, row: Read
) -> None:
    """Never a bug, never an answer that is not as documented, for every recorded answer."""
    schema = {"$ref": f"#/components/schemas/{component(row.schema)}"}
    bodies = (body for whole in distinct(row) for body in damaged(whole))

    tried, faults = broken(document, row.schema, schema, bodies)

    assert not faults
    assert tried > 20


def test_damage_when_a_film_with_blocks_is_damaged_then_the_film_page_stays_valid(
    document: Document,
) -> None:
    """The same for the page that is made of one details call."""
    schema = {"$ref": "#/components/schemas/EnrichedMovie"}
    nothing = {name: Ok({name: [], "total": 0}) for name in ("favorites", "watchlist", "history")}
    check = document.validator(schema)
    blocks = ("credits", "reviews", "similar", "recommendations")
    for whole in distinct(MOVIE):
        if "credits" not in whole:
            continue
        known = {name: value for name, value in whole.items() if name in blocks}
        details = {"id": whole["id"], "title": whole["title"], "genres": whole.get("genres")}
        for body in damaged({**details, **known}):
            try:
                film = decode(ENRICHED.schema, "tmdb", body)
            except BadResponse:
                continue
            page = movie_page.assemble({"movie": Ok(film), **nothing})
            assert check.is_valid(page), document.errors(schema, page)[:3]


@pytest.mark.parametrize("name", ["configuration", "favorites", "watchlist", "history"])
def test_damage_when_other_answers_are_damaged_then_they_stay_valid(
    document: Document, name: str
) -> None:
    """TMDB's configuration, and the lists of the user service."""
    if name == "configuration":
        schema = CONFIGURATION.schema
        whole = orjson.loads((RECORDED / "configuration__krelinga-go-tmdb.json").read_bytes())
        for body in damaged(whole):
            try:
                images = decode(schema, "tmdb", body)["images"]
            except BadResponse:
                continue
            assert isinstance(images["secure_base_url"], str)
            assert all(isinstance(size, str) for size in images["poster_sizes"])
        return
    read = getattr(library, f"{name.title()}Schema")
    entry = {
        "movie_id": 550,
        "title": "Fight Club",
        "poster_path": "/p.jpg",
        "release_date": "1999-10-15",
        "genres": [{"id": 18, "name": "Drama"}],
        "rating": 5,
        "added_date": "2026-11-24T17:30:00Z",
        "progress": 0.4,
        "watched_date": None,
        "updated_date": "2026-11-24T17:30:00.123456+00:00",
    }
    schema = {"$ref": f"#/components/schemas/{component(read)}"}
    assert broken(document, read, schema, damaged({name: [entry, entry], "total": 2}))[1] == []


@pytest.mark.parametrize("damage", ["", 0, True, 2.5, 2**63, 1e300, [], {}, *DAMAGE], ids=str)
def test_damage_when_it_goes_all_the_way_then_it_is_never_a_500(
    make_client: MakeClient, tmdb: Upstream, users: Upstream, damage: Any
) -> None:
    """A sample through HTTP: each field of a film in the feed, and of the list around it."""
    client = make_client(CIRCUIT_BREAKER_ENABLED="false")
    users.known = {}  # nothing is written here
    names = ("id", "title", "release_date", "genre_ids", "vote_average", "poster_path", "adult")
    whole = orjson.loads((RECORDED / "movie-popular__tmdb-openapi-examples.json").read_bytes())
    del whole["results"][3:]
    places = [(whole["results"][0], name) for name in names]
    places += [(whole, name) for name in ("page", "results", "total_pages", "total_results")]
    for number, (container, key) in enumerate(places, 1):
        kept = container[key]
        container[key] = damage
        tmdb.answers("*", body=orjson.dumps(whole))
        assert client.get(f"/api/dashboard/feed?page={number}").status_code in (200, 502)
        container[key] = kept
