"""Stable ids for what the facts name but do not number: people, keywords, credits, reviews."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable

# TMDB's own ids are below this, so that an id of ours never names somebody else there.
FIRST_ID = 10_000_000
ID_COUNT = 2_000_000_000


def number_names(names: Iterable[str], kind: str) -> dict[str, int]:
    """Return an id for each name: the same name has the same id, two names never share one.

    Ids lie in [10,000,000, 2,010,000,000], so they fit a signed 32-bit integer.
    """
    ids: dict[str, int] = {}
    taken: set[int] = set()
    for name in sorted(set(names)):
        number = FIRST_ID + zlib.crc32(f"{kind}:{name}".encode()) % ID_COUNT
        while number in taken:
            number += 1
        taken.add(number)
        ids[name] = number
    return ids


def hex_id(*parts: object) -> str:
    """Return 24 hexadecimal digits, the form of TMDB's credit and video ids."""
    text = ":".join(str(part) for part in parts)
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def draw(*parts: object) -> int:
    """Return a number of 32 bits that depends on the parts alone; a choice that never changes."""
    text = ":".join(str(part) for part in parts)
    # Not a checksum: its low bits follow the digits of an id too closely to look random.
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big")
