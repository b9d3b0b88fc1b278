"""Pictures: an SVG with the title and year of a film or the name of a person, for any image path.

The catalogue has TMDB's image paths but no images; with these drawings a page without internet has
something to show. The answer is an SVG although the path ends in `.jpg`: browsers go by its type.
"""

from __future__ import annotations

import colorsys
import unicodedata
from dataclasses import dataclass
from xml.sax.saxutils import escape

from tmdb_stub.catalogue import Catalogue
from tmdb_stub.ids import draw
from tmdb_stub.providers import PROVIDERS, logo_path
from tmdb_stub.reference import ALL_SIZES

# kind -> width / height
_RATIOS = {"poster": 2 / 3, "backdrop": 16 / 9, "profile": 2 / 3, "logo": 1.0}
_ORIGINAL_WIDTHS = {"poster": 1000, "backdrop": 1920, "profile": 1000, "logo": 500}
_MAX_LINES = 7


@dataclass(frozen=True)
class Picture:
    """What an image path shows. `kind` is poster, backdrop, profile or logo."""

    kind: str
    title: str
    subtitle: str
    seed: int


class Pictures:
    """Finds and draws the picture of an image path. Immutable, safe for every thread."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._pictures: dict[str, Picture] = {}
        for number, name in PROVIDERS.items():
            self._add(logo_path(number), Picture("logo", name, "", number))
        for film in catalogue.films:
            for path, kind in ((film.poster_path, "poster"), (film.backdrop_path, "backdrop")):
                self._add(path, Picture(kind, film.title, film.year, film.id))
        for series in catalogue.collections.values():
            for path, kind in ((series.poster_path, "poster"), (series.backdrop_path, "backdrop")):
                self._add(path, Picture(kind, series.name, "", series.id))
        for person in catalogue.people.values():
            self._add(person.profile_path, Picture("profile", person.name, "", person.id))

    def find(self, size: str, path: str) -> bytes | None:
        """Return the SVG of a path such as `/abc.jpg` in a size of TMDB's, None if unknown."""
        picture = self._pictures.get(path)
        return draw_svg(picture, size) if picture and size in ALL_SIZES else None

    def _add(self, path: str | None, picture: Picture) -> None:
        if path:
            self._pictures.setdefault(path, picture)


def draw_svg(picture: Picture, size: str) -> bytes:
    """Return the picture as a complete SVG document in UTF-8."""
    width, height = dimensions(picture.kind, size)
    dark, light, ink = _colours(picture.seed)
    # The drawing has a fixed scale of its own; the size only sets how large it is shown.
    box_width = 600 if picture.kind != "backdrop" else 1280
    box_height = round(box_width / _RATIOS[picture.kind])
    font = 64 if len(picture.title) < 40 else 50
    lines = wrap(picture.title, box_width * 0.84 / font)
    line_height = round(font * 1.2)
    top = (box_height - line_height * len(lines)) // 2 + font
    texts = [
        f'<text x="50%" y="{top + number * line_height}" font-size="{font}">{clean(line)}</text>'
        for number, line in enumerate(lines)
    ]
    if picture.subtitle:
        y = box_height - 60
        texts.append(f'<text x="50%" y="{y}" font-size="44">{clean(picture.subtitle)}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {box_width} {box_height}" role="img">'
        f"<title>{clean(f'{picture.title} {picture.subtitle}'.strip())}</title>"
        f'<defs><linearGradient id="g" x1="0" y1="0" x2="1" y2="1"><stop offset="0" '
        f'stop-color="{dark}"/><stop offset="1" stop-color="{light}"/></linearGradient></defs>'
        f'<rect width="100%" height="100%" fill="url(#g)"/>'
        f'<g fill="{ink}" text-anchor="middle" font-family="sans-serif" font-weight="bold">'
        f"{''.join(texts)}</g></svg>"
    ).encode()


def dimensions(kind: str, size: str) -> tuple[int, int]:
    """Return width and height in pixels of a kind of picture in one of TMDB's sizes."""
    ratio = _RATIOS[kind]
    if size == "original":
        width = _ORIGINAL_WIDTHS[kind]
    elif size.startswith("h"):
        return round(int(size[1:]) * ratio), int(size[1:])
    else:
        width = int(size[1:])
    return width, round(width / ratio)


def wrap(text: str, width: float) -> list[str]:
    """Return the text in lines of at most `width` times the font size, at most seven of them.

    Wide scripts break between any two characters; a word that is too long is broken too.
    """
    lines: list[str] = []
    line = ""
    for piece in _pieces(text, width):
        if line and _width(line + piece.rstrip()) > width:
            lines.append(line.strip())
            line = ""
        line += piece
    lines.append(line.strip())
    if len(lines) > _MAX_LINES:
        lines = [*lines[: _MAX_LINES - 1], f"{lines[_MAX_LINES - 1].rstrip('.')}…"]
    return lines


def _pieces(text: str, width: float) -> list[str]:
    pieces: list[str] = []
    for word in text.split():
        start = len(pieces)
        for char in word:
            wide = unicodedata.east_asian_width(char) in "WF"
            full = len(pieces) > start and _width(pieces[-1] + char) > width
            if len(pieces) == start or wide or full:
                pieces.append(char)
            else:
                pieces[-1] += char
        pieces[-1] += " "
    return pieces


def _width(text: str) -> float:
    """Return an estimate of the width in font sizes: bold sans-serif, wide scripts are square."""
    return sum(
        1.0
        if unicodedata.east_asian_width(char) in "WF"
        else 0.72
        if char.isupper()
        else 0.3
        if char in " .,:;!'il|-"
        else 0.58
        for char in text
    )


def clean(text: str) -> str:
    """Return the text escaped for XML, without the characters that XML 1.0 forbids."""
    return escape("".join(char for char in text if _allowed(char)))


def _allowed(char: str) -> bool:
    code = ord(char)
    if code < 0x20:
        return char in "\t\n\r"
    return not 0xD800 <= code < 0xE000 and code not in (0xFFFE, 0xFFFF)


def _colours(seed: int) -> tuple[str, str, str]:
    """Return two background colours dark enough for the light text, and the text's colour."""
    hue = draw("colour", seed) % 360 / 360
    return (
        _hex(colorsys.hls_to_rgb(hue, 0.16, 0.5)),
        _hex(colorsys.hls_to_rgb((hue + 0.08) % 1, 0.34, 0.45)),
        "#f5f5f5",
    )


def _hex(rgb: tuple[float, float, float]) -> str:
    return "#" + "".join(f"{round(255 * part):02x}" for part in rgb)
