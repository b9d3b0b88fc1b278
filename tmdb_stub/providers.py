"""Where to watch: invented services, so that the stub says nothing untrue about real ones."""

from __future__ import annotations

import re
from typing import Any

from tmdb_stub.catalogue import Film
from tmdb_stub.ids import draw
from tmdb_stub.search import fold

Entry = dict[str, Any]

# id -> name; the ids are far above TMDB's.
PROVIDERS: dict[int, str] = {
    90001: "Sample Stream",
    90002: "Sample Stream Plus",
    90003: "Sample Rental",
    90004: "Sample Library",
}
COUNTRIES = ("AU", "BR", "CA", "DE", "ES", "FR", "GB", "IN", "IT", "JP", "US")
# How a film can be watched at the service.
KINDS: dict[int, tuple[str, ...]] = {
    90001: ("flatrate",),
    90002: ("flatrate",),
    90003: ("rent", "buy"),
    90004: ("free",),
}


def logo_path(provider_id: int) -> str:
    """Return the path of the service's logo, which this stub draws."""
    return f"/provider-{provider_id}.jpg"


def offers(film: Film, country: str) -> dict[str, list[int]]:
    """Return kind (`flatrate`, `rent`, `buy`, `free`) -> services, the same at every start."""
    found: dict[str, list[int]] = {}
    if country not in COUNTRIES or not film.release_date:
        return found
    for provider_id, kinds in KINDS.items():
        if draw("offer", film.id, country, provider_id) % 3 == 0:
            for kind in kinds:
                found.setdefault(kind, []).append(provider_id)
    return found


def watch_providers(film: Film) -> dict[str, Entry]:
    """Return country -> `link` and the services by kind; a country without an offer is missing."""
    results: dict[str, Entry] = {}
    for country in COUNTRIES:
        kinds = offers(film, country)
        if kinds:
            slug = re.sub(r"[^a-z0-9]+", "-", fold(film.title)).strip("-")
            link = f"https://www.themoviedb.org/movie/{film.id}-{slug}/watch?locale={country}"
            results[country] = {"link": link} | {
                kind: [provider(number) for number in numbers] for kind, numbers in kinds.items()
            }
    return results


def provider(provider_id: int) -> Entry:
    """Return a service as it stands in a film's offers."""
    return {
        "logo_path": logo_path(provider_id),
        "provider_id": provider_id,
        "provider_name": PROVIDERS[provider_id],
        "display_priority": provider_id - 90001,
    }


def provider_list() -> list[Entry]:
    """Return the services with their priority per country."""
    return [
        {"display_priorities": dict.fromkeys(COUNTRIES, number - 90001)} | provider(number)
        for number in PROVIDERS
    ]
