"""Details of films and people: appended blocks, languages, texts of the project's own."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from tmdb_stub import prose
from tmdb_stub.catalogue import Catalogue
from tmdb_stub.stub import Stub

Get = Callable[..., Any]

APPENDED = [
    *("credits", "reviews", "similar", "recommendations", "videos", "images", "watch/providers"),
    *("external_ids", "release_dates", "translations", "keywords", "alternative_titles"),
]


def test_details_when_all_blocks_are_appended_then_each_equals_its_endpoint(get: Get) -> None:
    """A block is the same, appended or alone, apart from the film's id."""
    body = get("/movie/155", append_to_response=",".join(APPENDED))
    for name in APPENDED:
        alone = get(f"/movie/155/{name}")
        alone.pop("id", None)
        assert body[name] == alone, name
    assert get("/movie/155").keys() == body.keys() - set(APPENDED)


def test_details_when_a_page_is_asked_then_appended_lists_follow(get: Get) -> None:
    """`page` turns the pages of appended lists, as TMDB does."""
    body = get("/movie/155", append_to_response="similar", page=2)
    assert body["similar"]["page"] == 2
    assert body["similar"] == get("/movie/155/similar", page=2)


def test_details_when_blocks_are_unknown_or_doubled_then_are_ignored(get: Get) -> None:
    """What TMDB does not know it leaves out."""
    body = get("/movie/155", append_to_response="nothing,,credits, credits,account_states")
    assert "credits" in body
    assert "nothing" not in body


@pytest.mark.parametrize("name", ["550-fight-club", "tt0137523", "0550"])
def test_details_when_id_is_a_slug_or_imdbs_then_finds_the_film(get: Get, name: str) -> None:
    """TMDB reads the number before a slug, and takes IMDb's id too."""
    assert get(f"/movie/{name}")["title"] == "Fight Club"


def test_details_when_language_is_foreign_then_texts_are_empty(get: Get) -> None:
    """A missing translation is an empty overview; there is no falling back."""
    for language in ("de", "de-DE", "ja"):
        body = get("/movie/155", language=language)
        assert (body["overview"], body["title"]) == ("", "The Dark Knight")
        assert get("/movie/155/reviews", language=language)["results"] == []
    for language in ("en", "en-GB", ""):
        assert get("/movie/155", language=language)["overview"]


def test_details_when_language_is_the_films_own_then_title_is_the_original(get: Get) -> None:
    """The original title is the title in the original language."""
    assert get("/movie/129")["title"] == "Spirited Away"
    assert get("/movie/129", language="ja-JP")["title"] == "千と千尋の神隠し"
    results = get("/search/movie", query="spirited away", language="ja")["results"]
    assert results[0]["title"] == "千と千尋の神隠し"


def test_images_when_language_filters_then_null_must_be_asked_for(get: Get) -> None:
    """`language` filters images too; `include_image_language` brings the others back."""
    everything = get("/movie/155/images")
    assert len(everything["posters"]) == len(everything["backdrops"]) == 1
    german = get("/movie/155/images", language="de")
    assert german["posters"] == german["backdrops"] == []
    assert get("/movie/155/images", language="de", include_image_language="en,null") == everything


def test_credits_when_asked_then_name_cast_and_director(get: Get) -> None:
    """The cast is in order and the director is in the crew; both lead to the person."""
    body = get("/movie/155/credits")
    assert body["cast"][0]["name"] == "Christian Bale"
    assert [member["order"] for member in body["cast"]] == list(range(len(body["cast"])))
    [director] = body["crew"]
    assert (director["name"], director["job"]) == ("Christopher Nolan", "Director")
    work = get(f"/person/{director['id']}/movie_credits")
    assert 155 in {film["id"] for film in work["crew"]}


def test_credits_when_walked_over_all_films_then_people_point_back(catalogue: Catalogue) -> None:
    """Every mention of a person in a film is in that person's list, and nothing more."""
    mentions = {(f.id, m.person_id) for f in catalogue.films for m in f.cast}
    listed = {(f.id, p.id) for p in catalogue.people.values() for f in p.acted_in}
    assert mentions == listed
    directed = {(f.id, d) for f in catalogue.films for d in f.director_ids}
    assert directed == {(f.id, p.id) for p in catalogue.people.values() for f in p.directed}


def test_person_when_blocks_are_appended_then_each_equals_its_endpoint(
    get: Get, catalogue: Catalogue
) -> None:
    """A person's blocks are the same, appended or alone."""
    person = next(p for p in catalogue.people.values() if p.name == "Clint Eastwood")
    names = ["movie_credits", "tv_credits", "combined_credits", "external_ids", "images"]
    body = get(f"/person/{person.id}", append_to_response=",".join(names))
    assert body["name"] == "Clint Eastwood"
    assert "Clint Eastwood" in body["biography"]
    for name in names:
        alone = get(f"/person/{person.id}/{name}")
        del alone["id"]
        assert body[name] == alone
    combined = body["combined_credits"]["cast"][0]
    assert combined.pop("media_type") == "movie"
    assert combined == body["movie_credits"]["cast"][0]


def test_reviews_when_counted_then_some_films_have_none_and_some_several(
    get: Get, catalogue: Catalogue
) -> None:
    """Reviews are few, the same at every call, within the scale, and can be read alone."""
    counts = set()
    for film in catalogue.films[:60]:
        body = get(f"/movie/{film.id}/reviews")
        counts.add(body["total_results"])
        for entry in body["results"]:
            rating = entry["author_details"]["rating"]
            assert rating is None or 1 <= rating <= 10
            assert entry["created_at"] > film.release_date
            assert entry["url"] == f"http://localhost/3/review/{entry['id']}"
            assert get(f"/review/{entry['id']}")["media_id"] == film.id
    assert {0, 1, 2, 3, 4} >= counts >= {0, 2}


def test_videos_when_listed_then_keys_cannot_be_real(get: Get, catalogue: Catalogue) -> None:
    """No key has the eleven characters of a YouTube video; most films have no video."""
    bodies = [get(f"/movie/{film.id}/videos") for film in catalogue.films[:200]]
    videos = [video for body in bodies for video in body["results"]]
    assert videos
    assert all(len(video["key"]) != 11 for video in videos)
    assert sum(not body["results"] for body in bodies) > 100


def test_watch_providers_when_listed_then_are_known_services(get: Get) -> None:
    """Every offer is of a service in the list of services, in a country of the list."""
    services = {entry["provider_id"] for entry in get("/watch/providers/movie")["results"]}
    regions = {entry["iso_3166_1"] for entry in get("/watch/providers/regions")["results"]}
    results = get("/movie/155/watch/providers")["results"]
    assert results
    assert results.keys() <= regions
    for country in results.values():
        assert country.pop("link").startswith("https://www.themoviedb.org/movie/155-")
        assert {o["provider_id"] for kind in country.values() for o in kind} <= services


def test_overview_when_composed_for_every_film_then_is_readable(
    stub: Stub, catalogue: Catalogue
) -> None:
    """Full sentences, no gaps, the same at every call; empty only where little is known."""
    texts = {film.id: prose.overview(catalogue, film) for film in catalogue.films}
    for film in catalogue.films:
        text = texts[film.id]
        assert bool(text) == bool(film.genre_ids and film.release_date)
        assert not re.search(r"  |\bNone\b|,,|, \.|\ba [aeiou]|[{}]| of \.| in \.", text), text
        assert not text or (text[-1] in ".!?…" and text[0] == text[0].upper()), text
        if film.director_ids and text:
            assert catalogue.people[film.director_ids[0]].name in text
    openings = {text.split(" ")[0] for text in texts.values()}
    assert len(openings) > 50
    assert texts[155] == prose.overview(catalogue, catalogue.by_id[155])


def test_overview_when_compared_then_is_not_tmdbs(get: Get, recorded: Callable[[str], Any]) -> None:
    """Where TMDB's own text is recorded, ours shares no run of six words with it."""
    for number, name in (
        (550, "movie-id-550__jdrouet-tmdb-api"),
        (348, "movie-id-348__krelinga-go-tmdb"),
        (120, "movie-id-120_append-to-response-many__kiwilan-php-tmdb"),
    ):
        ours, theirs = get(f"/movie/{number}")["overview"], recorded(name)["overview"]
        assert ours
        assert not _runs(ours) & _runs(theirs)


def test_find_when_imdb_id_is_known_then_gives_the_film(get: Get) -> None:
    """A film is found by IMDb's id; other sources find nothing."""
    found = get("/find/tt1375666", external_source="imdb_id")["movie_results"]
    assert [film["title"] for film in found] == ["Inception"]
    assert get("/find/81189", external_source="tvdb_id")["movie_results"] == []


def test_collection_when_asked_then_lists_its_films_in_order(get: Get) -> None:
    """The parts of a series come in the order of their release."""
    body = get("/collection/263")
    assert [part["id"] for part in body["parts"]] == [272, 155, 49026]


def test_keyword_when_followed_from_a_film_then_leads_back(get: Get) -> None:
    """The films of a keyword include the film that named it."""
    for keyword in get("/movie/155/keywords")["keywords"][:3]:
        assert get(f"/keyword/{keyword['id']}")["name"] == keyword["name"]
        body = get("/discover/movie", with_keywords=keyword["id"], with_people="")
        ids = {film["id"] for film in body["results"]}
        assert body["total_results"] > 20 or 155 in ids
        assert get(f"/keyword/{keyword['id']}/movies")["total_results"] == body["total_results"]


def _runs(text: str) -> set[tuple[str, ...]]:
    words = text.lower().split()
    return {tuple(words[start : start + 6]) for start in range(len(words) - 5)}
