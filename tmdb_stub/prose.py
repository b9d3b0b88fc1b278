"""Texts in words of this project: overviews, biographies and reviews, composed from the facts.

Every choice of words depends on an id alone, so a film reads the same at every start.
"""

from __future__ import annotations

from collections.abc import Sequence

from tmdb_stub.catalogue import Catalogue, Collection, Film, Person
from tmdb_stub.genres import MOVIE_GENRES
from tmdb_stub.ids import draw
from tmdb_stub.reference import country_name

# Keywords that describe the making or the mood rather than the story.
_NOT_THEMES = (
    *("stinger", "based on", "sequel", "prequel", "remake", "spin off", "director", "black and"),
    *("independent film", "live action", "cheerful", "romantic", "admiring", "intense", "wistful"),
    *("compassionate", "amused", "awestruck", "nonlinear", "storylines", "breaking the fourth"),
    *("reboot", "short film", "3d", "imax", "technicolor", "anthology", "dramatic", "suspenseful"),
    *("lighthearted", "complex", "hilarious", "whimsical", "playful", "anxious", "biography"),
    *("anime", "pre-code", "duology", "trilogy", "franchise", "excited", "thoughtful", "tense"),
)
_SOURCES = {
    "based on novel or book": "a book",
    "based on young adult novel": "a novel for young readers",
    "based on children's book": "a children's book",
    "based on comic": "a comic",
    "based on graphic novel": "a graphic novel",
    "based on manga": "a manga",
    "based on play or musical": "a work for the stage",
    "based on short story": "a short story",
    "based on true story": "true events",
    "based on tv series": "a television series",
    "based on video game": "a video game",
    "based on toy": "a line of toys",
    "based on memoir or autobiography": "a memoir",
}
_GENRE_WORDS = {
    "Action": "action film",
    "Adventure": "adventure film",
    "Animation": "animated film",
    "Crime": "crime film",
    "Family": "family film",
    "Fantasy": "fantasy film",
    "History": "historical film",
    "Horror": "horror film",
    "Music": "film about music",
    "Romance": "romance",
    "Science Fiction": "science fiction film",
    "TV Movie": "television film",
    "War": "war film",
}
_ADJECTIVES = {
    "Action": "action",
    "Animation": "animated",
    "Crime": "crime",
    "Family": "family",
    "Fantasy": "fantasy",
    "History": "historical",
    "Horror": "horror",
    "Romance": "romantic",
    "Science Fiction": "science fiction",
    "War": "war",
    "Adventure": "adventure",
}


def join(words: Sequence[str]) -> str:
    """Return the words as a list in a sentence: `a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else list(words))


def with_article(noun: str) -> str:
    """Return the noun behind `a` or `an`."""
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"


def _upper_first(text: str) -> str:
    return text[:1].upper() + text[1:]


def genre_noun(film: Film) -> str:
    """Return what kind of film it is in a few words, such as `crime drama`."""
    names = [MOVIE_GENRES[number] for number in film.genre_ids if number in MOVIE_GENRES]
    if not names:
        return "film"
    for noun in ("Drama", "Comedy", "Thriller", "Western", "Documentary"):
        others = [_ADJECTIVES[name] for name in names if name in _ADJECTIVES]
        if noun in names:
            return f"{others[0]} {noun.lower()}" if others else noun.lower()
    return _GENRE_WORDS.get(names[0], "film")


def themes(catalogue: Catalogue, film: Film) -> list[str]:
    """Return the keywords that say what the story is about, in the order of the facts."""
    words = [catalogue.keywords[number] for number in film.keyword_ids]
    return [word for word in words if not any(part in word for part in _NOT_THEMES)]


def overview(catalogue: Catalogue, film: Film) -> str:
    """Return two to five sentences; an empty text for a film of which little is known."""
    if not film.genre_ids or not film.release_date:
        return ""
    sentences = [
        _opening(catalogue, film),
        _cast_sentence(catalogue, film),
        _theme_sentence(catalogue, film),
        _source_sentence(catalogue, film),
    ]
    if film.collection_id is not None:
        name = catalogue.collections[film.collection_id].name
        sentences.append(f"It belongs to the {name.removeprefix('The ')}.")
    return " ".join(sentence for sentence in sentences if sentence)


def _opening(catalogue: Catalogue, film: Film) -> str:
    noun = genre_noun(film)
    directors = join([catalogue.people[number].name for number in film.director_ids])
    places = join([_place(code) for code in film.countries[:2]])
    made = f" made in {places}" if places else ""
    if not directors:
        return f"{_upper_first(with_article(noun))} from {film.year}{made}."
    forms = (
        f"{_upper_first(with_article(noun))} from {film.year}{made}, directed by {directors}.",
        f"{directors} directed this {noun} of {film.year}{made and ',' + made}.",
        f"In this {noun} of {film.year}, {directors} directs{_lead(catalogue, film)}.",
        f"Directed by {directors}, this {noun}{made} came out in {film.year}.",
    )
    return forms[_form(film)]


def _place(code: str) -> str:
    name = country_name(code)
    names = ("United", "Netherlands", "Philippines", "Czech", "Dominican", "Bahamas")
    return f"the {name}" if name.startswith(names) else name


def _form(film: Film) -> int:
    return draw("opening", film.id) % 4


def _lead(catalogue: Catalogue, film: Film) -> str:
    names = [catalogue.people[member.person_id].name for member in film.cast[:2]]
    return f" {join(names)}" if names else ""


def _cast_sentence(catalogue: Catalogue, film: Film) -> str:
    names = [catalogue.people[member.person_id].name for member in film.cast]
    if film.director_ids and _form(film) == 2:
        names = names[2:]
        return f"{join(names[:3])} {'is' if len(names) == 1 else 'are'} also seen." if names else ""
    if not names:
        return ""
    if len(names) == 1:
        return f"{names[0]} plays the main part."
    forms = (
        f"{join(names[:3])} lead the cast.",
        f"The cast includes {join(names[:4])}.",
        f"With {join(names[:3])}.",
    )
    return forms[draw("cast", film.id) % len(forms)]


def _theme_sentence(catalogue: Catalogue, film: Film) -> str:
    words = themes(catalogue, film)[:4]
    if not words:
        return ""
    forms = (
        f"Its themes: {join(words)}.",
        f"The story touches on {join(words)}.",
        f"It deals with {join(words)}.",
        f"What it is about, in a few words: {join(words)}.",
    )
    return forms[draw("themes", film.id) % len(forms)]


def _source_sentence(catalogue: Catalogue, film: Film) -> str:
    for number in film.keyword_ids:
        source = _SOURCES.get(catalogue.keywords[number])
        if source:
            return f"It is based on {source}."
    return ""


def collection_overview(collection: Collection) -> str:
    """Return one or two sentences about a series of films."""
    films = collection.films
    titles = join([film.title for film in films[:3]])
    count = "One film" if len(films) == 1 else f"{len(films)} films"
    return f"{count} of this series {'is' if len(films) == 1 else 'are'} known here: {titles}."


def biography(person: Person) -> str:
    """Return one or two sentences about somebody's films in the catalogue."""
    sentences = []
    if person.acted_in:
        titles = join([film.title for film in person.acted_in[:3]])
        sentences.append(f"{person.name} acts in films such as {titles}.")
    if person.directed:
        titles = join([film.title for film in person.directed[:3]])
        who = "Also directed" if person.acted_in else f"{person.name} directed"
        sentences.append(f"{who} {titles}.")
    return " ".join(sentences)
