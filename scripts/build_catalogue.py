"""Build `tmdb_stub/catalogue.jsonl.gz`, the catalogue of the TMDB stub, from a file of film facts.

    python scripts/build_catalogue.py path/to/movies.jsonl [output]

The input has one JSON object per line: facts of real films as TMDB knows them (id, titles, release
date, genres, runtime, votes, popularity, image paths, companies, countries, languages, collection,
directors, cast, keywords). Not every film has every fact. It carries no descriptions, and the
output carries none either: the stub writes its own from the facts (`tmdb_stub/prose.py`).

The output is one gzip file of JSON lines, sorted by film id. The same input gives the same bytes:
keys are ordered and the gzip header has no time and no name. What is changed on the way:

- Facts that say nothing are left out (empty lists, zero budgets, an original title that equals the
  title); `tmdb_stub/catalogue.py` knows the defaults.
- Stray blanks in titles and names are taken out.
- A missing original language is taken from the only spoken language, else from the only country,
  else it is `en`: the films without one come from an American data set.
- Popularity is brought to one scale. The facts were taken in different years, and what was taken
  in the week of a release is far above what the same film has today. The popularity of a film
  older than a year is capped by its votes; see `current_popularity`.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import math
import sys
from datetime import date, timedelta
from pathlib import Path
from typing import Any

Fact = dict[str, Any]

OUTPUT = Path(__file__).resolve().parent.parent / "tmdb_stub" / "catalogue.jsonl.gz"
MAX_BYTES = 2 * 1024 * 1024

LANGUAGE_OF_COUNTRY = {
    "CN": "zh",
    "DE": "de",
    "DK": "da",
    "ES": "es",
    "FI": "fi",
    "FR": "fr",
    "GR": "el",
    "HK": "cn",
    "IT": "it",
    "JP": "ja",
    "KR": "ko",
    "NL": "nl",
    "NO": "no",
    "PL": "pl",
    "RU": "ru",
    "SE": "sv",
    "TR": "tr",
}


def tidy(text: str) -> str:
    """Return the text with one blank between words and none around them."""
    return " ".join(text.split())


def original_language(fact: Fact) -> str:
    """Return the language of the film, guessed where the facts do not say."""
    if fact.get("original_language"):
        return str(fact["original_language"])
    spoken = [language["iso_639_1"] for language in fact.get("spoken_languages") or []]
    if len(spoken) == 1:
        return str(spoken[0])
    countries = [country["iso_3166_1"] for country in fact.get("production_countries") or []]
    return LANGUAGE_OF_COUNTRY.get(countries[0], "en") if len(countries) == 1 else "en"


def current_popularity(fact: Fact, newest: str) -> float:
    """Return the popularity on today's scale, rounded to four digits as TMDB does.

    Recently taken facts follow 0.17 * sqrt(votes) closely (30,000 votes: about 29). A film older
    than a year has at most that; three times that where its cast is known, as those facts are the
    recent ones and some films are talked about again.
    """
    popularity = float(fact.get("popularity") or 0)
    released = str(fact.get("release_date") or "")
    year_before = (date.fromisoformat(newest) - timedelta(days=365)).isoformat()
    if released < year_before:
        usual = 0.17 * math.sqrt(int(fact.get("vote_count") or 0)) + 1
        popularity = min(popularity, 3 * usual if fact.get("cast") else usual)
    return round(popularity, 4)


def cast_member(member: Fact) -> str | list[Any]:
    """Return a name, or id, name, character, picture and credit where all of them are known."""
    if "id" not in member:
        return tidy(member["name"])
    keys = ("id", "name", "character", "profile_path", "credit_id")
    return [member[key] for key in keys]


def row(fact: Fact, newest: str) -> Fact:
    """Return one line of the catalogue: the facts of one film under short, ordered keys."""
    collection = fact.get("belongs_to_collection")
    cast = sorted(fact.get("cast") or [], key=lambda member: member["order"])
    values: Fact = {
        "id": fact["id"],
        "title": tidy(fact["title"]),
        "original_title": tidy(fact.get("original_title") or ""),
        "language": original_language(fact),
        "released": fact.get("release_date"),
        "genres": [genre["id"] for genre in fact.get("genres") or []],
        "runtime": fact.get("runtime"),
        "votes": fact.get("vote_count"),
        "average": fact.get("vote_average"),
        "popularity": current_popularity(fact, newest),
        "poster": fact.get("poster_path"),
        "backdrop": fact.get("backdrop_path"),
        "video": fact.get("video"),
        "budget": fact.get("budget"),
        "revenue": fact.get("revenue"),
        "imdb": fact.get("imdb_id"),
        "status": fact.get("status"),
        "companies": [
            [item["id"], item["name"]] for item in fact.get("production_companies") or []
        ],
        "countries": [item["iso_3166_1"] for item in fact.get("production_countries") or []],
        "spoken": [item["iso_639_1"] for item in fact.get("spoken_languages") or []],
        "collection": collection
        and [collection[key] for key in ("id", "name", "poster_path", "backdrop_path")],
        "directors": [tidy(name) for name in fact.get("directors") or []],
        "cast": [cast_member(member) for member in cast],
        "keywords": [tidy(word) for word in fact.get("keywords") or []],
    }
    if values["original_title"] == values["title"]:
        del values["original_title"]
    if values["status"] == "Released":
        del values["status"]
    return {key: value for key, value in values.items() if value}


def build(lines: list[str]) -> bytes:
    """Return the compressed catalogue for the lines of the facts."""
    facts = sorted((json.loads(line) for line in lines if line.strip()), key=lambda f: f["id"])
    if len({fact["id"] for fact in facts}) != len(facts):
        raise ValueError("a film id occurs twice")
    newest = max(str(fact.get("release_date") or "") for fact in facts)
    text = "".join(
        json.dumps(row(fact, newest), ensure_ascii=False, separators=(",", ":")) + "\n"
        for fact in facts
    )
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=buffer, compresslevel=9, mtime=0) as file:
        file.write(text.encode())
    return buffer.getvalue()


def main() -> int:
    """Read the facts, write the catalogue, say how large it is; 1 if it is too large."""
    parser = argparse.ArgumentParser(description="Build the catalogue of the TMDB stub.")
    parser.add_argument("facts", type=Path, help="file with one JSON object per film and line")
    parser.add_argument("output", type=Path, nargs="?", default=OUTPUT)
    arguments = parser.parse_args()
    lines = arguments.facts.read_text(encoding="utf-8").split("\n")
    data = build(lines)
    if len(data) > MAX_BYTES:
        print(f"{len(data)} bytes are more than the {MAX_BYTES} allowed", file=sys.stderr)
        return 1
    arguments.output.write_bytes(data)
    print(f"{arguments.output}: {len(data)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
