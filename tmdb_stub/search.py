"""Search by name: accents, case and punctuation folded, words matched by their beginnings."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")

# Letters that Unicode does not take apart into a letter and an accent (the last: a dotless i).
_LETTERS = str.maketrans(
    {"ø": "o", "đ": "d", "ł": "l", "æ": "ae", "œ": "oe", "þ": "th", "ð": "d", "\u0131": "i"}
)
# Straight, typographic and modifier apostrophes, grave and acute accents that stand alone.
_APOSTROPHES = re.compile("['`\u2018\u2019\u00b4\u02bc]")
_BREAKS = re.compile(r"[^\w]+|_")
_NO_MATCH = 4
# Shorter than this, a query without blanks matches the beginning of a name by accident.
_MIN_JOINED = 4


def fold(text: str) -> str:
    """Return the words of the text in lower case without accents, one blank between them.

    An apostrophe disappears (`Ocean's` -> `oceans`), other punctuation separates words.
    """
    text = _APOSTROPHES.sub("", text.casefold())
    if not text.isascii():
        text = unicodedata.normalize("NFKD", text).translate(_LETTERS)
        text = "".join(char for char in text if not unicodedata.combining(char))
    return _BREAKS.sub(" ", text).strip()


def _has_spaced_words(text: str) -> bool:
    """Whether the script separates words, so that only beginnings of words should match."""
    return all(ord(char) < 0x0E00 or 0x1E00 <= ord(char) < 0x2E80 for char in text)


class SearchIndex(Generic[T]):
    """Finds entries by their names. Immutable after construction, safe for every thread.

    `entries` are in the order in which equally good matches come, the most popular first. A
    search scans the folded names of all of them, which takes a millisecond or two.
    """

    def __init__(self, entries: Iterable[T], names: Callable[[T], Sequence[str]]) -> None:
        self._entries = list(entries)
        # Name, name without blanks, position of the entry; a blank in front of every word.
        self._names: list[tuple[str, str, int]] = []
        for position, entry in enumerate(self._entries):
            for name in dict.fromkeys(fold(name) for name in names(entry)):
                if name:
                    self._names.append((f" {name} ", name.replace(" ", ""), position))

    def find(self, query: str) -> list[T]:
        """Return the entries in which each word of the query begins a word, the best first."""
        return [entry for _, entry in self.find_ranked(query)]

    def find_ranked(self, query: str) -> list[tuple[int, T]]:
        """Return (rank, entry) like `find`.

        Rank 0: the name itself; 1: it begins with the query; 2: it holds the words of the query;
        3: it holds words that begin with them.
        """
        folded = fold(query)
        if not folded:
            return []
        parts = [f" {word}" if _has_spaced_words(word) else word for word in folded.split(" ")]
        joined = folded.replace(" ", "")
        if len(joined) < _MIN_JOINED:
            joined = "\n"  # Is in no name.
        ranks: dict[int, int] = {}
        first = parts[0]
        for name, compact, position in self._names:
            if first in name or compact.startswith(joined):
                rank = _rank(name, folded, parts, compact.startswith(joined))
                if rank < ranks.get(position, _NO_MATCH):
                    ranks[position] = rank
        best = sorted((rank, position) for position, rank in ranks.items())
        return [(rank, self._entries[position]) for rank, position in best]


def _rank(name: str, folded: str, parts: list[str], begins_joined: bool) -> int:
    if not all(part in name for part in parts):
        # `spiderman` finds `Spider-Man`, `walle` finds `WALL·E`.
        return 1 if begins_joined else _NO_MATCH
    if name == f" {folded} ":
        return 0
    if name.startswith(f" {folded}"):
        return 1
    return 2 if all(f"{part} " in name for part in parts) else 3
