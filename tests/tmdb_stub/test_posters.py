"""Pictures: well-formed for every title, of the right shape, cached, without a credential."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from flask.testing import FlaskClient

from tmdb_stub.catalogue import Catalogue
from tmdb_stub.posters import Picture, dimensions, draw_svg, wrap
from tmdb_stub.reference import BACKDROP_SIZES, POSTER_SIZES, PROFILE_SIZES

SVG = "{http://www.w3.org/2000/svg}"
POSTER = "/t/p/w342/qJ2tW6WMUDux911r6m7haRef0WH.jpg"


def test_poster_when_asked_then_is_a_cached_svg_with_title_and_year(client: FlaskClient) -> None:
    """A poster needs no credential, is an SVG and may be kept for a day."""
    response = client.get(POSTER)
    assert response.status_code == 200
    assert response.mimetype == "image/svg+xml"
    assert response.headers["Cache-Control"] == "public, max-age=86400"
    lines = ElementTree.fromstring(response.data).iter(f"{SVG}text")  # noqa: S314
    assert "".join(line.text or "" for line in lines) == "The DarkKnight2008"
    again = client.get(POSTER, headers={"If-None-Match": response.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


@pytest.mark.parametrize(
    "path", ["/t/p/w342/nothing.jpg", POSTER.replace("w342", "w343"), "/t/p/w342/", "/t/p/"]
)
def test_poster_when_path_or_size_is_unknown_then_404(client: FlaskClient, path: str) -> None:
    """Only TMDB's sizes and the catalogue's paths are served."""
    assert client.get(path).status_code == 404


@pytest.mark.parametrize(
    ("kind", "sizes", "ratio"),
    [
        ("poster", POSTER_SIZES, 2 / 3),
        ("profile", PROFILE_SIZES, 2 / 3),
        ("backdrop", BACKDROP_SIZES, 16 / 9),
    ],
)
def test_picture_when_drawn_in_a_size_then_has_its_shape(
    kind: str, sizes: tuple[str, ...], ratio: float
) -> None:
    """Width or height is the one of the size, the other follows the kind's ratio."""
    for size in sizes:
        width, height = dimensions(kind, size)
        assert width / height == pytest.approx(ratio, rel=0.02)
        if size != "original":
            assert (width if size[0] == "w" else height) == int(size[1:])


def test_picture_when_drawn_for_every_odd_title_then_says_it(catalogue: Catalogue) -> None:
    """Each title and name that is not plain letters gives XML that says it."""
    names = {film.title for film in catalogue.films}
    names |= {film.original_title for film in catalogue.films}
    names |= {person.name for person in catalogue.people.values()}
    odd = [name for name in names if not re.fullmatch(r"[A-Za-z ]*", name)]
    assert len(odd) > 1000
    for name in sorted(odd)[::3]:
        root = ElementTree.fromstring(draw_svg(Picture("poster", name, "1999", 1), "w500"))  # noqa: S314
        assert root.findtext(f"{SVG}title") == f"{name} 1999"


@pytest.mark.parametrize(
    "title", ["<b>&amp;\"'</b>", "a\x00b\x1fc\ufffe", "]]>", "\ud800", "x" * 500, " ", "😀" * 40]
)
def test_picture_when_title_is_bad_then_is_well_formed(title: str) -> None:
    """Markup is escaped and what XML forbids is left out."""
    ElementTree.fromstring(draw_svg(Picture("backdrop", title, "", 2), "original"))  # noqa: S314


@pytest.mark.parametrize(
    "title", ["word " * 30, "Donaudampfschiffahrtsgesellschaft" * 3, "千と千尋の神隠し" * 5]
)
def test_picture_when_title_is_long_then_no_line_is_wider(title: str) -> None:
    """Long titles break between words, long words and wide scripts within."""
    lines = wrap(title, 9)
    assert 1 < len(lines) <= 7
    assert all(len(line) <= 20 for line in lines)


def test_pictures_when_the_catalogue_names_a_path_then_it_is_served(
    client: FlaskClient, catalogue: Catalogue
) -> None:
    """No picture that an answer points to is missing."""
    paths = [p for f in catalogue.films[::97] for p in (f.poster_path, f.backdrop_path)]
    paths += [p.profile_path for p in list(catalogue.people.values())[::97]]
    paths += [s.poster_path for s in list(catalogue.collections.values())[::9]]
    for path in filter(None, paths):
        assert client.get(f"/t/p/original{path}").status_code == 200, path
