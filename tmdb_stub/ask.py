"""What a request says beside the noun that it asks for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Ask:
    """What a request says beside the film: language, page, image languages, the own address."""

    language: str = "en-US"
    page: int = 1
    image_language: str = ""
    country: str = ""
    origin: str = ""
