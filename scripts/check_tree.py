"""Fail where a file of the project holds a credential or names a path of somebody's machine.

Exceptions stand in `scripts/check_tree_allowed.toml`, each with its reason. One that is not
needed any more is a fault too.
"""

from __future__ import annotations

import fnmatch
import math
import re
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scripts.tree import tracked

ROOT = Path(__file__).resolve().parent.parent
ALLOWED = Path(__file__).with_name("check_tree_allowed.toml")

# Random text of 20 characters or more has over 3.5 bits a character; names and prose less.
RANDOM_BITS = 3.5

PATTERNS: dict[str, re.Pattern[str]] = {
    "private-key": re.compile(r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----"),
    # A TMDB read token is a JWT as well.
    "jwt": re.compile(r"\beyJ[A-Za-z0-9_-]{16,}"),
    # A TMDB API key is 32 hexadecimal digits.
    "hex-key": re.compile(r"(?<![0-9A-Za-z])(?:[0-9a-f]{32}|[0-9A-F]{32})(?![0-9A-Za-z])"),
    "cloud-key": re.compile(r"\b(?:AKIA[0-9A-Z]{16}|gh[pousr]_\w{36}|xox[abprs]-[\w-]{10,})"),
    "url-password": re.compile(r"[a-z]://[^/\s:@'\"]*:(?P<secret>[^/\s:@'\"{}<>$]{3,})@"),
    "assignment": re.compile(
        r"(?i:key|token|secret|passwor[dt]|passwd|credential)\w*[\"']?\s*[:=]\s*"
        r"[\"']?(?P<secret>[A-Za-z0-9+/_=.-]{20,})"
    ),
    "machine-path": re.compile(r"(?<![\w.~-])/(?:work|root|Users/\w+|home/\w+)/"),
}
# "a-secret-of-32-bytes": what tests plant, written so that a person sees it is none.
_WORD = r"(?:[A-Za-z]+|[A-Za-z0-9]{1,5}|0123456789abcdef)"
WORDS = re.compile(rf"{_WORD}(?:[-_.]{_WORD})*")
PLACEHOLDERS = ("password", "secret", "pass", "pw", "example", "change-me")


@dataclass(frozen=True)
class Finding:
    """Something that must not be there; `text` is shortened, so that CI does not publish it."""

    path: str
    line: int
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.kind}: {self.text}"


@dataclass(frozen=True)
class Exemption:
    """What a pattern finds and is nevertheless right; `path` is a glob, `kind` may be `*`."""

    path: str
    kind: str
    reason: str

    def covers(self, finding: Finding) -> bool:
        """Whether this exemption is about the finding."""
        return self.kind in ("*", finding.kind) and fnmatch.fnmatch(finding.path, self.path)


def exemptions(file: Path) -> list[Exemption]:
    """Read the exemptions; raise `ValueError` for one without a reason."""
    entries = tomllib.loads(file.read_text()).get("allowed", [])
    for entry in entries:
        if set(entry) != {"path", "kind", "reason"} or not entry["reason"].strip():
            raise ValueError(f"{file.name}: each entry needs path, kind and reason: {entry}")
    return [Exemption(**entry) for entry in entries]


def scan(path: str, text: str) -> Iterator[Finding]:
    """Find credentials and machine paths in one file's text."""
    for number, line in enumerate(text.splitlines(), 1):
        for kind, pattern in PATTERNS.items():
            for match in pattern.finditer(line):
                if _is_real(kind, match):
                    yield Finding(path, number, kind, match.group()[:12] + "...")


def _is_real(kind: str, match: re.Match[str]) -> bool:
    if kind == "url-password":
        return match["secret"].lower() not in PLACEHOLDERS
    if kind == "assignment":
        secret = match["secret"]
        random = any(char.isdigit() for char in secret) and _bits(secret) >= RANDOM_BITS
        return random and not WORDS.fullmatch(secret)
    return True


def _bits(text: str) -> float:
    """Return the Shannon entropy of a text in bits per character."""
    counts = Counter(text).values()
    return -sum(count / len(text) * math.log2(count / len(text)) for count in counts)


def findings(root: Path) -> Iterator[Finding]:
    """Scan every tracked text file."""
    for path in tracked(root):
        content = (root / path).read_bytes()
        if b"\0" not in content[:8192]:
            yield from scan(path, content.decode(errors="replace"))


def main(root: Path = ROOT, allowed: Path = ALLOWED) -> int:
    """Print what is wrong and return the exit code."""
    known = exemptions(allowed)
    used: set[Exemption] = set()
    wrong = []
    for finding in findings(root):
        covering = [exemption for exemption in known if exemption.covers(finding)]
        used.update(covering)
        if not covering:
            wrong.append(str(finding))
    wrong += [f"{allowed.name}: not needed: {entry}" for entry in known if entry not in used]
    print("\n".join(wrong) or "no credential and no machine path in any file")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
