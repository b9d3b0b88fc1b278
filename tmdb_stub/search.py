"""Search by name: accents, case and punctuation folded, words matched by their beginnings."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")

# Letters that Unicode does not take apart into a letter and an accent.
_LETTERS = str.maketrans(
    {"ø": "o", "đ": "d", "ł": "l", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th", "ð": "d", "ħ": "h"}
)
_APOSTROPHES = re.compile(r"[’'`´ʼ]")
_BREAKS = re.compile(r"[^\w]+|_")


def fold(text: str) -> str:
    """Return the words of the text in lower case without accents, one blank between them.

    An apostrophe disappears (`Ocean's` -> `oceans`), other punctuation separates words.
    """
    text = unicodedata.normalize("NFKD", text.casefold()).translate(_LETTERS)
    text = "".join(char for char in text if not unicodedata.combining(char))
    return _BREAKS.sub(" ", _APOSTROPHES.sub("", text)).strip()


def _has_spaced_words(text: str) -> bool:
    """Whether the script separates words, so that only beginnings of words should match."""
    return all(ord(char) < 0x0E00 or 0x1E00 <= ord(char) < 0x2E80 for char in text)


class SearchIndex(Generic[T]):
    """Finds entries by their names. Immutable after construction, safe for every thread.

    `entries` are in the order in which equally good matches come, the most popular first. A scan
    over the folded names of 6,300 films takes about two milliseconds.
    """

    def __init__(self, entries: Iterable[T], names: Callable[[T], Sequence[str]]) -> None:
        self._entries: list[tuple[T, tuple[str, ...]]] = []
        for entry in entries:
            folded = dict.fromkeys(fold(name) for name in names(entry))
            self._entries.append((entry, tuple(f" {name}" for name in folded if name)))

    def find(self, query: str) -> list[T]:
        """Return the entries in which each word of the query begins a word, the best first."""
        return [entry for _, entry in self.find_ranked(query)]

    def find_ranked(self, query: str) -> list[tuple[int, T]]:
        """Return (rank, entry) like `find`; rank 0: the name itself, 1: it begins with the query,
        2: it holds the words of the query, 3: words that begin with them.
        """
        folded = fold(query)
        if not folded:
            return []
        words = folded.split(" ")
        parts = [f" {word}" if _has_spaced_words(word) else word for word in words]
        joined = folded.replace(" ", "")
        found: list[tuple[int, T]] = []
        for entry, names in self._entries:
            ranks = [rank for name in names if (rank := _rank(name, folded, parts, joined)) < 4]
            if ranks:
                found.append((min(ranks), entry))
        found.sort(key=lambda match: match[0])
        return found


def _rank(name: str, folded: str, parts: list[str], joined: str) -> int:
    if not all(part in name for part in parts):
        # `spiderman` finds `Spider-Man`, `walle` finds `WALL·E`.
        return 1 if len(joined) > 3 and name.replace(" ", "").startswith(joined) else 4
    if name == f" {folded}":
        return 0
    if name.startswith(f" {folded}"):
        return 1
    padded = f"{name} "
    return 2 if all(f"{part} " in padded for part in parts) else 3
