"""What TMDB's configuration lists: countries, languages, time zones, jobs, image sizes."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import orjson

REFERENCE_FILE = Path(__file__).resolve().parent / "reference.json"

BACKDROP_SIZES = ("w300", "w780", "w1280", "original")
LOGO_SIZES = ("w45", "w92", "w154", "w185", "w300", "w500", "original")
POSTER_SIZES = ("w92", "w154", "w185", "w342", "w500", "w780", "original")
PROFILE_SIZES = ("w45", "w185", "h632", "original")
STILL_SIZES = ("w92", "w185", "w300", "original")
ALL_SIZES = frozenset((*BACKDROP_SIZES, *LOGO_SIZES, *POSTER_SIZES, *PROFILE_SIZES, *STILL_SIZES))

# Age ratings of films in the order of strictness; the meanings are put in words of this project.
CERTIFICATIONS: dict[str, tuple[tuple[str, str], ...]] = {
    "US": (
        ("NR", "Not rated."),
        ("G", "For every age."),
        ("PG", "Parents may want to watch along; some scenes are not for small children."),
        ("PG-13", "Parents should be careful; some scenes are not for children under 13."),
        ("R", "Under 17 only together with a parent or guardian."),
        ("NC-17", "Nobody of 17 or younger is admitted."),
    ),
    "GB": (
        ("U", "For every age from four years on."),
        ("PG", "For general viewing; parents decide for small children."),
        ("12A", "From 12 years, younger children only with an adult."),
        ("12", "From 12 years."),
        ("15", "From 15 years."),
        ("18", "For adults."),
    ),
    "DE": (
        ("0", "For every age."),
        ("6", "From 6 years."),
        ("12", "From 12 years, from 6 together with a parent."),
        ("16", "From 16 years."),
        ("18", "For adults."),
    ),
    "FR": (
        ("TP", "For every age."),
        ("12", "From 12 years."),
        ("16", "From 16 years."),
        ("18", "For adults."),
    ),
}


# Where the code of the country is not the one of the language (`cn` is TMDB's Cantonese).
_COUNTRY_OF_LANGUAGE = {
    "ar": "SA",
    "bn": "BD",
    "cn": "HK",
    "cs": "CZ",
    "da": "DK",
    "el": "GR",
    "en": "US",
    "et": "EE",
    "fa": "IR",
    "ga": "IE",
    "he": "IL",
    "hi": "IN",
    "ja": "JP",
    "ka": "GE",
    "ko": "KR",
    "ml": "IN",
    "sr": "RS",
    "sv": "SE",
    "ta": "IN",
    "te": "IN",
    "tl": "PH",
    "uk": "UA",
    "ur": "PK",
    "vi": "VN",
    "zh": "CN",
}


@cache
def reference() -> dict[str, Any]:
    """Return the lists of `reference.json`; read once per process, not to be changed."""
    data: dict[str, Any] = orjson.loads(REFERENCE_FILE.read_bytes())
    return data


@cache
def _countries() -> dict[str, str]:
    return {code: name for code, name, _ in reference()["countries"]}


@cache
def _languages() -> dict[str, tuple[str, str]]:
    return {code: (english, name) for code, english, name in reference()["languages"]}


def country_name(code: str) -> str:
    """Return the English name of an ISO 3166-1 code, or the code."""
    return _countries().get(code, code)


def country_of_language(code: str) -> str:
    """Return the country that TMDB usually names with a language, by a guess for rare ones."""
    return _COUNTRY_OF_LANGUAGE.get(code, code.upper())


def language_names(code: str) -> tuple[str, str]:
    """Return the English and the own name of an ISO 639-1 code; the own name may be empty."""
    return _languages().get(code, (code, ""))
