"""bff/api/web.py: how the page and its files are served; `tests/browser` uses them."""

from __future__ import annotations

import pytest

from bff.api.web import FILES, VIEWS
from tests.bff.app import TMDB, USERS, MakeClient
from tests.contract.client import ContractClient


@pytest.mark.parametrize("path", [view.replace("<number>", "550") for view in VIEWS])
def test_page_when_any_of_its_addresses_is_opened_then_it_is_the_same(
    client: ContractClient, path: str
) -> None:
    """The page's own router tells them apart; nothing foreign may run, connect or frame it."""
    response = client.get(path)

    assert response.data == (FILES / "index.html").read_bytes()
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'; script-src 'self'" in policy
    assert "img-src 'self' data: https://image.tmdb.org" in policy
    assert "connect-src 'self';" in policy
    assert response.headers["X-Frame-Options"] == "DENY"


def test_page_when_tmdb_is_the_stub_then_it_may_reach_the_stubs(make_client: MakeClient) -> None:
    """It switches their faults; beside the real TMDB there is nothing to switch."""
    stub = make_client(TMDB_READ_TOKEN="")
    origins = {"tmdb": TMDB.removesuffix("/3"), "users": USERS}

    assert stub.get("/web/dev.json").json == origins
    policy = stub.get("/").headers["Content-Security-Policy"]
    assert f"connect-src 'self' {TMDB.removesuffix('/3')} {USERS};" in policy
    assert make_client().get("/web/dev.json").json == {}


def test_file_when_the_browser_has_it_then_it_is_304(client: ContractClient) -> None:
    """Its type is told and not guessed; a copy that still holds is not sent again."""
    name = next(path.name for path in FILES.glob("*.css"))
    plain = client.get(f"/web/{name}")
    again = client.get(f"/web/{name}", headers={"If-None-Match": plain.headers["ETag"]})

    assert plain.data == (FILES / name).read_bytes()
    assert (plain.mimetype, plain.headers["X-Content-Type-Options"]) == ("text/css", "nosniff")
    assert (again.status_code, again.data) == (304, b"")


@pytest.mark.parametrize("name", ["nothing.js", "../api/web.py", "..%2fapi/web.py", "", "x.map"])
def test_file_when_it_is_none_of_the_pages_then_it_is_404(
    client: ContractClient, name: str
) -> None:
    """Nothing outside the folder of the page can be read."""
    assert client.get(f"/web/{name}").status_code == 404
