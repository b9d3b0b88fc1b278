"""What the doctor finds at TMDB, the user service and Redis, each a real server here."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import redis

from bff.doctor import FAIL, OK, WARN
from bff.doctor import servers as checks
from tests.bff.doctor import servers
from tests.bff.doctor.conftest import RIGHT, WRONG, Make, Serve, only
from tests.bff.doctor.servers import IMAGES, USERS

CONFIGURATION = "/3/configuration"


def test_tmdb_when_all_is_well_then_the_credential_was_accepted(
    serve: Serve, subject: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The credential is sent, the clocks are compared, the environment's proxies do not count."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    server = serve({CONFIGURATION: (200, {}, IMAGES)})

    tmdb, clock = checks.tmdb(subject(tmdb_url=f"{server.url}/3", tmdb_query={"api_key": "k"}))

    assert (tmdb.level, clock.level) == (OK, OK)
    assert tmdb.found.startswith("TMDB answers at 127.0.0.1")
    path, headers = server.seen[0]
    assert path == f"{CONFIGURATION}?api_key=k"
    assert headers["Authorization"] == "Bearer planted-tmdb-token"


def test_tmdb_when_its_name_has_no_address_then_it_is_dns(
    subject: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The resolver knows no such name."""
    unknown = socket.gaierror(-2, "Name or service not known")
    monkeypatch.setattr(socket, "getaddrinfo", mock.Mock(side_effect=unknown))

    only(checks.tmdb(subject(tmdb_url="https://tmdb.test/3")), FAIL, "tmdb.test", "DNS")


def test_server_when_nobody_listens_then_the_advice_fits(subject: Make) -> None:
    """A proxy for the real TMDB, a start for the stub and for the user service."""
    with servers.refusing() as port:
        here = f"http://127.0.0.1:{port}"
        live = checks.tmdb(subject(tmdb_url=here))
        stub = checks.tmdb(subject(tmdb_url=here, tmdb_is_live=False))
        users = checks.user_service(subject(users_url=here))

        assert "TMDB_PROXY" in only(live, FAIL, "refuses the connection").advice
        assert "start-all.sh" in only(stub, FAIL, "refuses the connection").advice
        assert "start-all.sh" in only(users, FAIL, "refuses the connection").advice


def test_tmdb_when_it_is_silent_then_a_proxy_is_advised(
    subject: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is accepted and nothing is said."""
    monkeypatch.setattr(checks, "READ_S", 0.1)
    with servers.talking(b"") as port:
        found = checks.tmdb(subject(tmdb_url=f"http://127.0.0.1:{port}/3"))

        assert "TMDB_PROXY" in only(found, FAIL, "does not answer in time").advice


@pytest.mark.parametrize(
    ("name", "trusted", "level", "words"),
    [
        ("127.0.0.1", True, OK, "TMDB answers"),
        ("127.0.0.1", False, FAIL, "TLS: self-signed certificate"),
        ("other.test", True, FAIL, "TLS: IP address mismatch"),
        ("", False, FAIL, "TLS: no connection"),
    ],
)
def test_tmdb_when_it_is_https_then_the_certificate_is_checked(
    serve: Serve, subject: Make, tmp_path: Path, name: str, trusted: bool, level: str, words: str
) -> None:
    """The right one, an unknown signer, another name, and a port without TLS."""
    file = servers.certificate(tmp_path, name) if name else None
    port = serve({CONFIGURATION: (200, {}, IMAGES)}, tls=file).port
    bundle = {"DEFAULT_CA_BUNDLE_PATH": str(file)} if trusted else {"DEFAULT_POOLSIZE": 10}

    with mock.patch.multiple("requests.adapters", **bundle):
        only(checks.tmdb(subject(tmdb_url=f"https://127.0.0.1:{port}/3")), level, words)


def test_tmdb_when_time_is_wrong_then_it_warns(serve: Serve, subject: Make) -> None:
    """Clocks that differ; and longer than a call may take, as where dead IPv6 comes first."""
    server = serve({CONFIGURATION: (200, {}, IMAGES)}, skew_s=3600)
    late = subject(tmdb_url=f"{server.url}/3", tmdb_timeout_s=0)

    assert "TMDB_IPV4_ONLY" in only(checks.tmdb(late), WARN, "calls would time out").advice
    assert only(checks.tmdb(late), WARN, "s behind TMDB's").check == "clock"


@pytest.mark.parametrize(
    ("answer", "level", "words"),
    [
        ((401, {}, {"status_code": 7, "success": False}), FAIL, "refuses the credential"),
        ((401, {}, b"<html>log in</html>"), FAIL, "is not TMDB (status 401)"),
        ((200, {}, b"<html>This site is blocked</html>"), FAIL, "is not TMDB"),
        ((302, {"Location": "http://blocked.test/"}, b""), FAIL, "is not TMDB"),
        ((200, {}, {"hello": "world"}), FAIL, "is not TMDB"),
        ((503, {}, b"busy"), WARN, "status 503"),
        ((429, {}, {"status_code": 25}), WARN, "status 429"),
    ],
)
def test_tmdb_when_the_answer_is_another_then_it_says_which(
    serve: Serve, subject: Make, answer: Any, level: str, words: str
) -> None:
    """A wrong credential, a page of the provider, another API, TMDB in trouble."""
    server = serve({CONFIGURATION: answer})

    only(checks.tmdb(subject(tmdb_url=f"{server.url}/3")), level, words)


def test_tmdb_when_the_proxy_fails_then_the_proxy_is_named(subject: Make) -> None:
    """It is down, or refuses the password: for a tunnel and for plain http."""
    https, http = "https://tmdb.test/3", "http://tmdb.test/3"
    with servers.refusing() as port:
        proxy = f"http://me:{WRONG}@127.0.0.1:{port}"
        down = only(checks.tmdb(subject(tmdb_url=https, tmdb_proxy=proxy)), FAIL, "the proxy")
    with servers.talking(b"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n") as port:
        proxy = f"http://me:{WRONG}@127.0.0.1:{port}"
        tunnel = only(checks.tmdb(subject(tmdb_url=https, tmdb_proxy=proxy)), FAIL, "the proxy")
        plain = only(checks.tmdb(subject(tmdb_url=http, tmdb_proxy=proxy)), FAIL, "status 407")

    assert all("TMDB_PROXY" in finding.advice for finding in (down, tunnel, plain))


def test_users_when_all_is_well_then_the_token_was_accepted(serve: Serve, subject: Make) -> None:
    """The token is sent with the list and with the stream."""
    server = serve(USERS)

    only(checks.user_service(subject(users_url=server.url)), OK, "user service answers")

    sent = [(path, headers.get("Authorization")) for path, headers in server.seen]
    token = "Bearer planted-users-token"
    assert sent == [("/health", None), ("/favorites", token), ("/events", token)]


@pytest.mark.parametrize(
    ("changes", "events", "level", "words"),
    [
        ({"/health": (503, {}, {"title": "down"})}, True, FAIL, "no healthy user service"),
        ({"/health": (200, {}, {"service": "billing"})}, True, FAIL, "no healthy user service"),
        ({"/health": (200, {}, b"ok")}, True, FAIL, "no healthy user service"),
        ({"/favorites": (401, {}, {})}, True, FAIL, "refuses the token"),
        ({"/favorites": (200, {}, [1, 2])}, True, FAIL, "breaks the contract"),
        ({"/favorites": (404, {}, {})}, True, FAIL, "breaks the contract"),
        ({"/events": (404, {}, {})}, True, WARN, "no event stream"),
        ({"/events": (404, {}, {})}, False, OK, "user service answers"),
    ],
)
def test_users_when_the_answer_is_another_then_it_says_which(
    serve: Serve, subject: Make, changes: Any, events: bool, level: str, words: str
) -> None:
    """Its database, another service, its token, another contract, no stream where one is wanted."""
    url = serve({**USERS, **changes}).url

    only(checks.user_service(subject(users_url=url, users_events=events)), level, words)


def test_redis_when_it_is_not_set_then_limits_count_per_worker(subject: Make) -> None:
    """Which is well, and worth knowing."""
    finding = only(checks.redis_server(subject(workers=4)), OK, "each of the 4 workers")

    assert "RATE_LIMIT_PER_MINUTE" in finding.advice


def test_redis_when_it_cannot_be_used_then_it_says_so(subject: Make) -> None:
    """Nobody is there; or it is older than the client's protocol."""
    with servers.refusing() as port:
        only(checks.redis_server(subject(redis_url=f"redis://127.0.0.1:{port}")), FAIL, "Redis")
    with servers.talking(b"-ERR unknown command 'HELLO'\r\n") as port:
        found = checks.redis_server(subject(redis_url=f"redis://127.0.0.1:{port}"))
        assert "6.0" in only(found, FAIL, "cannot be used").advice


def test_redis_when_it_is_there_then_password_memory_and_pause_are_told(
    subject: Make, redis_client: redis.Redis
) -> None:
    """No password, a wrong one, a user who may not ask for INFO; full memory; Retry-After."""
    address = f"127.0.0.1:{redis_client.get_connection_kwargs()['port']}/0"
    redis_client.execute_command("ACL", "SETUSER", "bff", "on", f">{RIGHT}", "~*", "+@all", "-info")

    def found(login: str) -> Any:
        return checks.redis_server(subject(redis_url=f"redis://{login}{address}"))

    only(found(""), FAIL, "refuses the password")
    only(found(f":{WRONG}@"), FAIL, "refuses the password")
    assert [finding.level for finding in found(f":{RIGHT}@")] == [OK]
    assert [finding.level for finding in found(f"bff:{RIGHT}@")] == [OK]

    redis_client.set("bff:tmdb:pause", "1", ex=10_000)
    redis_client.config_set("maxmemory", "100mb")
    assert only(found(f":{RIGHT}@"), WARN, "TMDB has asked for a pause: ").check == "tmdb"
    only(found(f":{RIGHT}@"), WARN, "refuses writes")
