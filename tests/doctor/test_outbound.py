"""The way out: proxies, IPv4 first, and a memory of names with a bound."""

from __future__ import annotations

import io
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import requests
from bff.upstream.names import PAUSE_S, TTL_S, Names
from flask.testing import FlaskClient

import bff
from bff import context
from bff.context import Deadline, RequestContext
from bff.observability import logs
from bff.upstream import session, sockets
from config import Config
from tests.doctor import servers
from tests.doctor.conftest import Resolve, Serve
from tests.doctor.proxy import Proxy
from tests.doctor.servers import IMAGES

SECRET = "planted-proxy-password"


@pytest.fixture(autouse=True)
def _own_request(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give each test a deadline, and names that no other test has looked up."""
    monkeypatch.setattr(sockets, "NAMES", Names())
    before = context.current()
    context.enter(RequestContext("test", Deadline.after(10)))
    yield
    context.enter(before)


@pytest.fixture
def proxy() -> Iterator[Callable[..., Proxy]]:
    """Return a maker of proxies."""
    made: list[Proxy] = []

    def make(*args: Any) -> Proxy:
        made.append(Proxy(*args))
        return made[-1]

    yield make
    for one in made:
        one.close()


def fetch(url: str, via: str = "", timeout_s: float = 5) -> requests.Response:
    """GET as the guard does."""
    with session.build(2, via) as http:
        return http.get(url, timeout=timeout_s, proxies={})


# -- proxies


def test_proxy_when_the_target_is_http_then_it_gets_the_whole_address(
    serve: Serve, proxy: Callable[..., Proxy]
) -> None:
    """The name is the proxy's to resolve; user and password are sent to it and not on."""
    target = serve({"/3/x": (200, {}, {"a": 1})})
    via = proxy({"tmdb.test": target.port}, f"me:{SECRET}")

    response = fetch("http://tmdb.test/3/x", f"http://me:{SECRET}@127.0.0.1:{via.port}")

    assert response.json() == {"a": 1}
    assert via.seen == ["GET http://tmdb.test/3/x HTTP/1.1"]


def test_proxy_when_the_target_is_https_then_it_sees_the_name_only(
    serve: Serve,
    proxy: Callable[..., Proxy],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """CONNECT, then TLS with the target itself, whose certificate is checked."""
    file = servers.certificate(tmp_path, "tmdb.test")
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    target = serve({"/3/x": (200, {}, {"a": 1})}, tls=file)
    via = proxy({"tmdb.test": target.port, "other.test": target.port}, f"me:{SECRET}")
    address = f"http://me:{SECRET}@127.0.0.1:{via.port}"

    response = fetch("https://tmdb.test/3/x", address)
    with pytest.raises(requests.exceptions.SSLError):
        fetch("https://other.test/3/x", address)

    assert response.json() == {"a": 1}
    assert [line[:-1] for line in via.seen] == [
        "CONNECT tmdb.test:443 HTTP/1.",
        "CONNECT other.test:443 HTTP/1.",
    ]
    assert not any("Proxy-Authorization" in headers for _, headers in target.seen)


def test_proxy_when_it_is_silent_then_the_deadline_holds() -> None:
    """A proxy that takes the connection and never answers CONNECT costs no more than a timeout."""
    context.enter(RequestContext("test", Deadline.after(0.4)))
    begun = time.monotonic()
    with servers.talking(b"") as port, pytest.raises(requests.RequestException):
        fetch("https://tmdb.test/3/x", f"http://127.0.0.1:{port}")

    assert time.monotonic() - begun < 1


def test_environment_when_it_names_a_proxy_then_only_the_settings_count(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session without a proxy goes straight, whatever the environment says."""
    target = serve({"/x": (200, {}, {})})
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    assert fetch(f"http://127.0.0.1:{target.port}/x").status_code == 200


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Callable[..., FlaskClient]]:
    """Return a maker of apps with these settings."""
    made: list[Any] = []

    def make(**settings: str) -> FlaskClient:
        own = {
            "ENV_FILE": os.devnull,
            "CACHE_FILE": str(tmp_path / "cache.sqlite"),
            "USER_SERVICE_EVENTS": "false",
            "LOG_LEVEL": "DEBUG",
            "TMDB_READ_TOKEN": "t",
            "TMDB_BASE_URL": "http://tmdb.test/3",
            **settings,
        }
        with mock.patch.dict(os.environ, own, clear=True):
            made.append(bff.create_app(Config.from_env()))
        return made[-1].test_client()

    yield make
    for one in made:
        one.extensions["bff"].close()


def test_app_when_a_proxy_is_set_then_tmdb_is_reached_through_it_and_nothing_tells_of_it(
    serve: Serve, proxy: Callable[..., Proxy], app: Callable[..., FlaskClient]
) -> None:
    """Through the whole service; and where the password is wrong it shows nowhere."""
    sizes = {f"{kind}_sizes": ["w1"] for kind in ("poster", "profile", "backdrop")}
    images = {"images": {**IMAGES["images"], **sizes}}
    target = serve({"/3/configuration": (200, {}, images)})
    via = proxy({"tmdb.test": target.port}, f"me:{SECRET}")

    right = app(TMDB_PROXY=f"http://me:{SECRET}@127.0.0.1:{via.port}")
    wrong = app(TMDB_PROXY=f"http://me:{SECRET}-wrong@127.0.0.1:{via.port}", CACHE_ENABLED="false")
    log, everything = io.StringIO(), logging.getLogger()
    logs.configure("DEBUG", "json", "", log)
    keep, level = logging.StreamHandler(log), everything.level  # urllib3 and others
    everything.addHandler(keep)
    everything.setLevel(logging.DEBUG)
    try:
        seen = [client.get("/api/configuration") for client in (right, wrong)]
        seen.append(wrong.get("/api/movies/popular"))
    finally:
        everything.setLevel(level)
        everything.removeHandler(keep)

    assert [response.status_code // 100 for response in seen] == [2, 5, 5], seen[0].text
    assert len(via.seen) >= 3
    assert log.getvalue().count("upstream.call") >= 3  # a proxy that hangs up is asked again
    said = repr([(it.status, it.text, list(it.headers)) for it in seen])
    assert SECRET not in log.getvalue() + said


# -- names


class Resolver:
    """Answers in place of the system; counts; can fail and can be slow."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[str] = []
        self.fails = False
        self.gate = threading.Event()
        self.gate.set()
        monkeypatch.setattr(socket, "getaddrinfo", self)

    def __call__(self, host: str, port: int, *_: Any, **__: Any) -> Any:
        self.asked.append(host)
        self.gate.wait(5)
        if self.fails:
            raise socket.gaierror(-3, "Temporary failure in name resolution")
        return [
            (socket.AF_INET6, 1, 6, "", ("::1", port, 0, 0)),
            (socket.AF_INET, 1, 6, "", ("127.0.0.1", port)),
            (socket.AF_INET, 1, 6, "", ("127.0.0.2", port)),
        ]


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Resolver:
    """Return the resolver of the test."""
    return Resolver(monkeypatch)


def hosts(found: list[Any]) -> list[str]:
    """Return the addresses in their order."""
    return [address[4][0] for address in found]


def test_names_when_there_are_both_kinds_then_ipv4_comes_first(resolver: Resolver) -> None:
    """The rest stays in its order, behind."""
    assert hosts(Names().addresses("a.test", 80, 1)) == ["127.0.0.1", "127.0.0.2", "::1"]


def test_names_when_asked_again_then_the_resolver_is_spared_for_a_minute(
    resolver: Resolver,
) -> None:
    """One look-up in each minute; numbers are looked up by nobody."""
    clock = Clock()
    names = Names(clock=clock)
    for _ in range(5):
        names.addresses("a.test", 80, 1)
    clock.now += TTL_S - 1
    names.addresses("a.test", 80, 1)
    assert resolver.asked == ["a.test"]

    clock.now += 2
    names.addresses("a.test", 80, 1)
    assert resolver.asked == ["a.test", "a.test"]


def test_names_when_dns_fails_then_the_old_address_serves_and_is_not_retried_at_once(
    resolver: Resolver,
) -> None:
    """However old; a name that was never known fails."""
    clock = Clock()
    names = Names(clock=clock)
    names.addresses("a.test", 80, 1)
    clock.now += 100 * TTL_S
    resolver.fails = True

    assert hosts(names.addresses("a.test", 80, 1))[0] == "127.0.0.1"
    assert hosts(names.addresses("a.test", 80, 1))[0] == "127.0.0.1"
    assert len(resolver.asked) == 2
    clock.now += PAUSE_S + 1
    resolver.fails = False
    names.addresses("a.test", 80, 1)
    assert len(resolver.asked) == 3
    resolver.fails = True
    with pytest.raises(socket.gaierror):
        names.addresses("b.test", 80, 1)


def test_names_when_dns_is_silent_then_nobody_waits_longer_than_they_may(
    resolver: Resolver,
) -> None:
    """Without an old address it is a timeout, with one it serves; one thread asks for all."""
    clock = Clock()
    names = Names(clock=clock)
    names.addresses("a.test", 80, 1)
    clock.now += 2 * TTL_S
    resolver.gate.clear()
    begun = time.monotonic()

    assert hosts(names.addresses("a.test", 80, 0.2))[0] == "127.0.0.1"
    with pytest.raises(TimeoutError):
        names.addresses("b.test", 80, 0.1)
    with pytest.raises(TimeoutError):
        names.addresses("b.test", 80, 0.1)

    assert time.monotonic() - begun < 1
    assert resolver.asked == ["a.test", "a.test", "b.test"]
    resolver.gate.set()


def test_names_when_many_are_asked_for_then_the_memory_has_a_bound(resolver: Resolver) -> None:
    """128; the one that was not used for the longest time goes."""
    names = Names()
    for number in range(200):
        names.addresses(f"n{number}.test", 80, 1)
        names.addresses("kept.test", 80, 1)

    assert len(names) == 128
    assert resolver.asked.count("kept.test") == 1


def test_names_when_threads_ask_at_once_then_one_look_up_serves_all(resolver: Resolver) -> None:
    """No lock is held meanwhile: another name is resolved beside it."""
    names = Names()
    resolver.gate.clear()
    found: list[Any] = []
    threads = [
        threading.Thread(target=lambda: found.append(names.addresses("a.test", 80, 5)))
        for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    resolver.gate.set()
    for thread in threads:
        thread.join(5)

    assert len(found) == 20
    assert resolver.asked == ["a.test"]


def test_connect_when_ipv4_is_dead_then_the_next_address_serves_in_time(
    serve: Serve, resolve: Resolve
) -> None:
    """IPv6 is what falls back on, within the deadline."""
    server = serve({"/x": (200, {}, {})})
    with servers.black_hole() as hole:
        resolve("both.test", [("::1", server.port, 0, 0), ("127.0.0.1", hole)])
        begun = time.monotonic()
        with pytest.raises(requests.RequestException):  # ::1 refuses: the server is on IPv4
            fetch("http://both.test/x", timeout_s=0.8)
        took_s = time.monotonic() - begun
        resolve("four.test", [("127.0.0.1", hole), ("127.0.0.1", server.port)])
        assert fetch("http://four.test/x", timeout_s=1).status_code == 200

    assert took_s < 1.2
