"""Each finding of the doctor, against the real thing on 127.0.0.1."""

from __future__ import annotations

import os
import resource
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bff.upstream import doctor
from bff.upstream.doctor import FAIL, OK, WARN, Finding, Findings, Subject
from tests.doctor import servers
from tests.doctor.conftest import Resolve, Serve
from tests.doctor.servers import IMAGES, USERS

Make = Callable[..., Subject]
CONFIGURATION = "/3/configuration"
RIGHT, WRONG = "planted-right", "planted-wrong"


def look(check: Callable[[Subject], Findings], subject: Subject) -> Findings:
    """Make one check as `examine` does."""
    return doctor._bounded(check, subject)


def told(findings: Findings, level: str, *words: str) -> Finding:
    """Return the one finding of this level that says these words; it is not without advice."""
    found = [it for it in findings if it.level == level and all(w in it.found for w in words)]
    assert len(found) == 1, findings
    assert level == OK or found[0].advice
    return found[0]


# -- TMDB


def test_tmdb_when_all_is_well_then_it_says_so(serve: Serve, subject: Make) -> None:
    """The credential is sent, and the clock is compared."""
    server = serve({CONFIGURATION: (200, {}, IMAGES)})

    found = look(doctor.tmdb, subject(tmdb_url=f"http://127.0.0.1:{server.port}/3"))

    assert [it.level for it in found] == [OK, OK]
    told(found, OK, "TMDB answers at 127.0.0.1")
    told(found, OK, "clock agrees")
    assert server.seen[0][1]["Authorization"] == "Bearer planted-tmdb-token"


def test_tmdb_when_the_name_has_no_address_then_it_is_dns(resolve: Resolve, subject: Make) -> None:
    """The resolver says that there is no such name."""
    resolve("tmdb.test", socket.gaierror(-2, "Name or service not known"))

    found = look(doctor.tmdb, subject(tmdb_url="https://tmdb.test/3"))

    told(found, FAIL, "DNS", "tmdb.test", "no address")


def test_tmdb_when_the_resolver_is_silent_then_it_is_dns_in_time(
    resolve: Resolve, subject: Make
) -> None:
    """A resolver that takes longer than the check is told as that."""
    resolve("tmdb.test", 2.5)
    begun = time.monotonic()

    found = look(doctor.tmdb, subject(tmdb_url="https://tmdb.test/3"))

    told(found, FAIL, "DNS", "not resolved")
    assert time.monotonic() - begun < 2


def test_tmdb_when_it_refuses_then_it_says_so(subject: Make) -> None:
    """Nobody listens."""
    with servers.refusing() as port:
        found = look(doctor.tmdb, subject(tmdb_url=f"http://127.0.0.1:{port}/3"))
        stub = look(doctor.tmdb, subject(tmdb_url=f"http://127.0.0.1:{port}/3", tmdb_is_live=False))

    told(found, FAIL, "refuses the connection")
    assert "start-all.sh" in told(stub, FAIL, "refuses the connection").advice


def test_tmdb_when_it_is_silent_then_a_proxy_is_advised(subject: Make) -> None:
    """Packets are dropped, as by a provider that blocks it."""
    with servers.black_hole() as port:
        found = look(doctor.tmdb, subject(tmdb_url=f"https://127.0.0.1:{port}/3"))

    advice = told(found, FAIL, "does not answer").advice
    assert "TMDB_PROXY" in advice
    assert "HTTPS_PROXY" in advice


def test_tmdb_when_it_takes_the_connection_only_then_a_proxy_is_advised(subject: Make) -> None:
    """A box in between that accepts everything and says nothing."""
    with servers.talking(b"") as port:
        found = look(doctor.tmdb, subject(tmdb_url=f"http://127.0.0.1:{port}/3"))

    assert "TMDB_PROXY" in told(found, FAIL, "does not answer").advice


@pytest.mark.parametrize(
    ("name", "days", "trusted", "words"),
    [
        ("127.0.0.1", 1, False, "signed by nobody"),
        ("127.0.0.1", -1, True, "has expired"),
        ("other.test", 1, True, "is for another"),
    ],
)
def test_tmdb_when_its_certificate_is_wrong_then_it_says_how(
    serve: Serve,
    subject: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    days: int,
    trusted: bool,
    words: str,
) -> None:
    """Unknown signer, expired, and another name are three different things."""
    file = servers.certificate(tmp_path, name, days)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
    server = serve({CONFIGURATION: (200, {}, IMAGES)}, tls=file)

    found = look(doctor.tmdb, subject(tmdb_url=f"https://127.0.0.1:{server.port}/3"))

    told(found, FAIL, "TLS", words)


def test_tmdb_when_its_certificate_is_trusted_then_all_is_well(
    serve: Serve, subject: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same server passes with the right certificate."""
    file = servers.certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    server = serve({CONFIGURATION: (200, {}, IMAGES)}, tls=file)

    found = look(doctor.tmdb, subject(tmdb_url=f"https://127.0.0.1:{server.port}/3"))

    told(found, OK, "TMDB answers")


def test_tmdb_when_the_port_speaks_no_tls_then_it_says_so(serve: Serve, subject: Make) -> None:
    """An http server where https is expected."""
    server = serve({})

    found = look(doctor.tmdb, subject(tmdb_url=f"https://127.0.0.1:{server.port}/3"))

    told(found, FAIL, "no TLS connection")


def test_tmdb_when_ipv6_leads_nowhere_then_it_warns_and_ipv4_serves(
    serve: Serve, subject: Make, resolve: Resolve
) -> None:
    """An IPv6 address that does not connect in time beside an IPv4 one that does."""
    server = serve({CONFIGURATION: (200, {}, IMAGES)})
    with servers.black_hole("::1") as hole:
        resolve("tmdb.test", [("::1", hole, 0, 0), ("127.0.0.1", server.port)])
        found = look(doctor.tmdb, subject(tmdb_url="http://tmdb.test/3"))

    told(found, WARN, "IPv6")
    told(found, OK, "TMDB answers")


def test_tmdb_when_it_refuses_the_credential_then_it_says_which_settings(
    serve: Serve, subject: Make
) -> None:
    """TMDB's own 401."""
    body = {"status_code": 7, "status_message": "Invalid API key", "success": False}
    server = serve({CONFIGURATION: (401, {}, body)})

    found = look(doctor.tmdb, subject(tmdb_url=f"http://127.0.0.1:{server.port}/3"))

    assert "TMDB_READ_TOKEN" in told(found, FAIL, "refuses the credential").advice


@pytest.mark.parametrize(("skew_s", "side"), [(3600, "behind"), (-120, "ahead of")])
def test_tmdb_when_the_clocks_differ_then_it_says_by_how_much(
    serve: Serve, subject: Make, skew_s: float, side: str
) -> None:
    """Measured against the Date header."""
    server = serve({CONFIGURATION: (200, {}, IMAGES)}, skew_s=skew_s)

    found = look(doctor.tmdb, subject(tmdb_url=f"http://127.0.0.1:{server.port}/3"))

    finding = told(found, WARN, "clock", side)
    assert any(str(abs(int(skew_s)) + off) in finding.found for off in (-1, 0, 1))


@pytest.mark.parametrize(
    ("answer", "level", "words"),
    [
        ((200, {}, b"<html>This site is blocked</html>"), FAIL, "is not TMDB"),
        ((302, {"Location": "http://blocked.test/"}, b""), FAIL, "is not TMDB"),
        ((403, {}, b"<html>no</html>"), FAIL, "is not TMDB"),
        ((200, {}, {"hello": "world"}), FAIL, "is not TMDB"),
        ((503, {}, b"busy"), WARN, "status 503"),
        ((429, {}, b"slower"), WARN, "asked too often"),
    ],
)
def test_tmdb_when_something_else_answers_then_it_is_not_taken_for_tmdb(
    serve: Serve, subject: Make, answer: Any, level: str, words: str
) -> None:
    """A provider's page, a redirect, another API; and TMDB in trouble."""
    server = serve({CONFIGURATION: answer})

    found = look(doctor.tmdb, subject(tmdb_url=f"http://127.0.0.1:{server.port}/3"))

    told(found, level, words)


def test_tmdb_when_the_proxy_is_down_or_says_no_then_the_proxy_is_named(subject: Make) -> None:
    """Refused, a wrong password, and a proxy that lets nothing through."""
    url = "https://tmdb.test/3"
    with servers.refusing() as port:
        down = look(doctor.tmdb, subject(tmdb_url=url, tmdb_proxy=f"http://127.0.0.1:{port}"))
    with servers.talking(b"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n") as port:
        proxy = f"http://me:{WRONG}@127.0.0.1:{port}"
        unknown = look(doctor.tmdb, subject(tmdb_url=url, tmdb_proxy=proxy))
        plain = look(doctor.tmdb, subject(tmdb_url="http://tmdb.test/3", tmdb_proxy=proxy))

    told(down, FAIL, "the proxy", "refuses")
    assert "TMDB_PROXY" in told(unknown, FAIL, "the proxy does not let through").advice
    told(plain, FAIL, "refuses the password")
    assert "planted" not in repr([down, unknown, plain])


# -- the user service


def test_users_when_all_is_well_then_the_token_was_sent(serve: Serve, subject: Make) -> None:
    """Health, a list and the stream."""
    server = serve(USERS)

    found = look(doctor.user_service, subject(users_url=f"http://127.0.0.1:{server.port}"))

    assert [it.level for it in found] == [OK, OK]
    assert server.seen[1][1]["Authorization"] == "Bearer planted-users-token"


def test_users_when_nobody_listens_then_it_says_how_to_start_it(subject: Make) -> None:
    """Missing."""
    with servers.refusing() as port:
        found = look(doctor.user_service, subject(users_url=f"http://127.0.0.1:{port}"))

    assert "start-all.sh" in told(found, FAIL, "refuses").advice


@pytest.mark.parametrize(
    ("changes", "level", "words"),
    [
        ({"/health": (503, {}, {"title": "Service Unavailable"})}, FAIL, "database is away"),
        ({"/health": (200, {}, {"status": "UP", "service": "billing"})}, FAIL, "'billing'"),
        ({"/health": (200, {}, b"ok")}, FAIL, "another service"),
        ({"/health": (404, {}, b"")}, FAIL, "another service"),
        ({"/favorites": (401, {}, {})}, FAIL, "refuses the token"),
        ({"/favorites": (200, {}, [1, 2])}, FAIL, "another contract"),
        ({"/favorites": (200, {}, {"items": []})}, FAIL, "another contract"),
        ({"/favorites": (404, {}, {})}, FAIL, "another contract"),
        ({"/events": (404, {}, {})}, WARN, "no stream of changes"),
    ],
)
def test_users_when_it_is_not_what_it_should_be_then_it_says_how(
    serve: Serve, subject: Make, changes: Any, level: str, words: str
) -> None:
    """Its database, another service, its token, another contract, no stream."""
    server = serve({**USERS, **changes})

    found = look(doctor.user_service, subject(users_url=f"http://127.0.0.1:{server.port}"))

    told(found, level, words)


def test_users_when_no_stream_is_wanted_then_none_is_missed(serve: Serve, subject: Make) -> None:
    """USER_SERVICE_EVENTS=false."""
    server = serve({**USERS, "/events": (404, {}, {})})
    url = f"http://127.0.0.1:{server.port}"

    found = look(doctor.user_service, subject(users_url=url, users_events=False))

    assert [it.level for it in found] == [OK]


# -- Redis


def test_redis_when_it_is_not_set_or_gone_then_it_says_so(subject: Make) -> None:
    """No REDIS_URL is well; one that leads nowhere is not."""
    told(look(doctor.redis_server, subject()), OK, "not used")
    with servers.refusing() as port:
        found = look(doctor.redis_server, subject(redis_url=f"redis://127.0.0.1:{port}/0"))

    told(found, FAIL, "cannot be reached")


def test_redis_when_the_password_is_wrong_then_it_is_not_told(
    subject: Make, tmp_path: Path
) -> None:
    """A wrong one, none, and the right one."""
    with servers.redis_with(RIGHT, tmp_path) as port:
        address = f"127.0.0.1:{port}/0"
        wrong = look(doctor.redis_server, subject(redis_url=f"redis://:{WRONG}@{address}"))
        none = look(doctor.redis_server, subject(redis_url=f"redis://{address}"))
        right = look(doctor.redis_server, subject(redis_url=f"redis://:{RIGHT}@{address}"))

    told(wrong, FAIL, "refuses the password")
    told(none, FAIL, "refuses the password")
    told(right, OK, "answers")
    assert "planted" not in repr([wrong, none, right])


def test_redis_when_it_is_too_old_then_it_says_what_is_needed(subject: Make) -> None:
    """Version 3.2 cannot run the scripts."""
    text = b"redis_version:3.2.12\r\n"
    with servers.talking(b"$%d\r\n%s\r\n" % (len(text), text)) as port:
        found = look(
            doctor.redis_server, subject(redis_url=f"redis://127.0.0.1:{port}/0?protocol=2")
        )

    assert "5.0" in told(found, FAIL, "3.2.12", "too old").advice


# -- this machine


def test_cache_when_it_cannot_be_written_then_it_says_where(subject: Make, tmp_path: Path) -> None:
    """A folder that is a file; and one that is well."""
    (tmp_path / "file").write_text("")

    told(look(doctor.cache_file, subject(cache_file=tmp_path / "file" / "x")), FAIL, "written")
    told(look(doctor.cache_file, subject(cache_file=tmp_path / "new" / "x")), OK)
    assert not list((tmp_path / "new").iterdir())


@pytest.mark.parametrize(("free_mb", "level"), [(1, FAIL), (100, WARN), (1000, OK)])
def test_cache_when_the_disk_is_full_then_it_says_what_is_left(
    subject: Make, monkeypatch: pytest.MonkeyPatch, free_mb: int, level: str
) -> None:
    """Little room is a warning, none is a failure."""
    usage = shutil.disk_usage(".")._replace(free=free_mb * 1024 * 1024)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)

    told(look(doctor.cache_file, subject()), level)


def test_port_when_it_is_free_then_it_says_so(subject: Make) -> None:
    """Nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        number = sock.getsockname()[1]

    told(look(doctor.port, subject(port=number)), OK, "is free")


def test_port_when_this_service_has_it_then_that_is_well(serve: Serve, subject: Make) -> None:
    """The doctor may be asked while the service runs."""
    server = serve({"/health": (200, {}, {"service": "movie-dashboard-bff"})})

    told(look(doctor.port, subject(port=server.port)), OK, "already runs")


def test_port_when_another_program_has_it_then_it_says_which(subject: Make) -> None:
    """Name and process id, where they can be seen."""
    script = (
        "import socket, sys\n"
        "s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True)\n"
        "sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-S", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        number = int(other.stdout.readline())
        found = look(doctor.port, subject(port=number))
        other.terminate()

    told(found, FAIL, "taken by", f"(process {other.pid})")


@pytest.mark.parametrize(
    ("soft", "hard", "level"),
    [(1160, 1160, OK), (1159, 4096, WARN), (1159, 1159, WARN), (200, 200, FAIL)],
)
def test_files_when_the_limit_is_low_then_the_formula_is_told(
    subject: Make, monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, level: str
) -> None:
    """1000 clients, 96 calls and 64 of its own."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, hard))

    finding = told(look(doctor.file_limit, subject()), level, "1160", "1000 clients + 96 upstream")

    assert level == OK or "LimitNOFILE=1160" in finding.advice


@pytest.mark.parametrize(
    ("workers", "threads", "level"), [(4, 16, OK), (1, 16, WARN), (10, 16, WARN), (4, 128, WARN)]
)
def test_processors_when_workers_do_not_fit_then_it_warns(
    subject: Make, monkeypatch: pytest.MonkeyPatch, workers: int, threads: int, level: str
) -> None:
    """On a machine of four processors."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)

    told(look(doctor.processors, subject(workers=workers, threads=threads)), level)


def test_settings_when_they_are_weak_then_it_warns(subject: Make) -> None:
    """A short secret, and a user service elsewhere without a token."""
    found = look(
        doctor.settings,
        subject(secret_is_short=True, users_url="http://users.test", users_token=""),
    )

    told(found, WARN, "JWT_SECRET")
    told(found, WARN, "USER_SERVICE_TOKEN")


# -- all together


def test_examine_when_nothing_answers_then_it_ends_in_time(subject: Make, resolve: Resolve) -> None:
    """Three black holes cost as much as one."""
    begun = time.monotonic()
    with servers.black_hole() as port:
        found = doctor.examine(
            subject(
                tmdb_url=f"https://127.0.0.1:{port}/3",
                users_url=f"http://127.0.0.1:{port}",
                redis_url=f"redis://127.0.0.1:{port}",
            )
        )

    assert time.monotonic() - begun < 2.5
    assert {it.check for it in found if it.level == FAIL} == {"tmdb", "users", "redis"}


def test_examine_when_a_check_has_a_bug_then_the_others_still_tell(
    subject: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The text of the error, which may hold anything, is not told."""

    def broken(_: int) -> None:
        raise RuntimeError("planted")

    monkeypatch.setattr(resource, "getrlimit", broken)
    found = doctor.examine(subject())

    assert [it for it in found if it.check == "file_limit" and it.level == FAIL]
    assert "planted" not in repr(found)
