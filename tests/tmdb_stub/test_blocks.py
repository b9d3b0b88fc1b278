"""Details of films and people: appended blocks, languages, and where each leads."""

from __future__ import annotations

import pytest

from tests.tmdb_stub.conftest import Get
from tmdb_stub.catalogue import Catalogue

FILM = ["credits", "reviews", "similar", "recommendations", "videos", "images", "watch/providers"]
FILM += ["external_ids", "release_dates", "translations", "keywords", "alternative_titles"]
PERSON = ["movie_credits", "tv_credits", "combined_credits", "external_ids", "images"]


@pytest.mark.parametrize(("path", "names"), [("/movie/155", FILM), ("/person/190", PERSON)])
def test_details_when_all_blocks_are_appended_then_each_equals_its_endpoint(
    get: Get, catalogue: Catalogue, path: str, names: list[str]
) -> None:
    """A block is the same, appended or alone, apart from the id."""
    if names is PERSON:  # somebody who acted and directed
        person = next(p for p in catalogue.people.values() if p.name == "Clint Eastwood")
        path = f"/person/{person.id}"
    body = get(path, append_to_response=",".join(names))
    for name in names:
        alone = get(f"{path}/{name}")
        alone.pop("id", None)
        assert body[name] == alone, name
    assert get(path).keys() == body.keys() - set(names)
    if names is PERSON:
        assert "Clint Eastwood" in body["biography"]
        combined = body["combined_credits"]["cast"][0]
        assert combined.pop("media_type") == "movie"
        assert combined == body["movie_credits"]["cast"][0]


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


def test_language_when_foreign_then_texts_are_empty_and_pictures_filtered(get: Get) -> None:
    """A missing translation is empty; `include_image_language` brings pictures back."""
    for language in ("de", "de-DE", "ja"):
        body = get("/movie/155", language=language)
        assert (body["overview"], body["title"]) == ("", "The Dark Knight")
        assert get("/movie/155/reviews", language=language)["results"] == []
    for language in ("en", "en-GB", ""):
        assert get("/movie/155", language=language)["overview"]
    pictures = get("/movie/155/images")
    assert len(pictures["posters"]) == len(pictures["backdrops"]) == 1
    german = get("/movie/155/images", language="de")
    assert german["posters"] == german["backdrops"] == []
    assert get("/movie/155/images", language="de", include_image_language="en,null") == pictures


def test_language_when_it_is_the_films_own_then_title_is_the_original(get: Get) -> None:
    """The original title is the title in the original language."""
    assert get("/movie/129")["title"] == "Spirited Away"
    assert get("/movie/129", language="ja-JP")["title"] == "千と千尋の神隠し"
    results = get("/search/movie", query="spirited away", language="ja")["results"]
    assert results[0]["title"] == "千と千尋の神隠し"


def test_credits_when_asked_then_name_cast_and_director(get: Get) -> None:
    """The cast is in order and the director is in the crew; both lead to the person."""
    body = get("/movie/155/credits")
    assert body["cast"][0]["name"] == "Christian Bale"
    assert [member["order"] for member in body["cast"]] == list(range(len(body["cast"])))
    [director] = body["crew"]
    assert (director["name"], director["job"]) == ("Christopher Nolan", "Director")
    work = get(f"/person/{director['id']}/movie_credits")
    assert 155 in {film["id"] for film in work["crew"]}


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


def test_keyword_when_followed_from_a_film_then_leads_back(get: Get) -> None:
    """The films of a keyword include the film that named it."""
    for keyword in get("/movie/155/keywords")["keywords"][:3]:
        assert get(f"/keyword/{keyword['id']}")["name"] == keyword["name"]
        body = get("/discover/movie", with_keywords=keyword["id"], with_people="")
        assert body["total_results"] > 20 or 155 in {film["id"] for film in body["results"]}
        assert get(f"/keyword/{keyword['id']}/movies")["total_results"] == body["total_results"]
