"""The app finds routes as Flask does, without Flask's second look at the host."""

from __future__ import annotations

from typing import Any

from flask import Flask
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.exceptions import HTTPException
from werkzeug.routing import MapAdapter, RequestRedirect
from werkzeug.test import EnvironBuilder

HOSTS = (
    "localhost",
    "127.0.0.1:3000",
    "[::1]:3000",
    "Film.Example:80",
    "bücher.example",
    "a..b",
    "x" * 64 + ".example",
    "-",
    "",
    "a b",
    "a/b",
    "example:443",
)
PATHS = (
    "/api/movies/popular",
    "/api/movies/550",
    "//api/movies/550",
    "/api/movies/550/",
    "/",
    "",
    "/api/users/favorites/13",
    "/api/movies/%ff",
    "/ü",
    "/nothing",
    "/api/movies/x",
)
PARTS = ("server_name", "script_name", "subdomain", "url_scheme", "default_method")


def found(adapter: MapAdapter) -> object:
    """Return what a request comes to: a route, an address, or the kind of a refusal."""
    try:
        rule, arguments = adapter.match(return_rule=True)
    except RequestRedirect as redirect:
        return redirect.new_url
    except HTTPException as error:
        return type(error)
    return rule.endpoint, arguments


def made(make: Any, *given: object) -> tuple[object, ...]:
    """Return an adapter's parts and what it finds, or the kind of the refusal to make one."""
    try:
        adapter = make(*given)
    except HTTPException as error:
        return (type(error),)
    return (*(getattr(adapter, name) for name in PARTS), found(adapter))


@given(
    st.sampled_from(HOSTS) | st.text(st.characters(max_codepoint=0xFF), max_size=80),
    st.sampled_from(PATHS) | st.text(max_size=20).map(lambda text: f"/{text}"),
    st.sampled_from(("GET", "HEAD", "POST", "DELETE", "OPTIONS", "PURGE")),
    st.sampled_from(("http", "https")),
    st.sampled_from(("", "/bff")),
    st.sampled_from(({}, {"HTTP_CONNECTION": "upgrade", "HTTP_UPGRADE": "websocket"})),
    st.sampled_from((None, "HTTP_HOST", "PATH_INFO", "SCRIPT_NAME")),
)
def test_adapter_when_given_any_request_then_finds_what_flask_finds(
    app: Flask,
    host: str,
    path: str,
    method: str,
    scheme: str,
    root: str,
    more: dict[str, str],
    absent: str | None,
) -> None:
    """Also where the host is none, behind a prefix, and for a WebSocket."""
    environ = EnvironBuilder(path="/", method=method).get_environ()
    environ |= {
        "HTTP_HOST": host,
        "PATH_INFO": path.encode("utf-8", "replace").decode("latin1"),
        "QUERY_STRING": "a=%C3%BC&b",
        "wsgi.url_scheme": scheme,
        "SCRIPT_NAME": root,
        **more,
    }
    if absent is not None:
        del environ[absent]
    ours, theirs = app.request_class(environ), app.request_class(environ)

    assert made(app.create_url_adapter, ours) == made(Flask.create_url_adapter, app, theirs)
    assert ours.host == theirs.host
